// Live progress of a run: one line that is redrawn on a terminal, a plain line every few seconds elsewhere, or nothing.

export type ProgressMode = "terminal" | "lines" | "silent";

/** Where progress goes; `process.stderr` is one. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface ProgressOptions {
  /** What is being done, such as "pretrain". */
  readonly label: string;
  /** Steps in all, those before a resume included. */
  readonly total: number;
  /** Steps that were done before this process. */
  readonly start?: number;
  /** Unit of the steps where they are an amount, such as "kB". */
  readonly stepUnit?: string;
  /** What is counted, for the rate; "molecules" by default. */
  readonly unit?: string;
  readonly stream: ProgressStream;
  /** The default is a terminal's live line if the stream is one, else plain lines. */
  readonly mode?: ProgressMode;
  /** Milliseconds since any moment. */
  readonly now?: () => number;
}

export interface Progress {
  /** Reports a finished step: the values to show (losses, learning rate) and how many units it took in. */
  update(step: number, values: Readonly<Record<string, number>>, units: number): void;
  /** Writes a line of its own above the live line; nothing in silent mode. */
  message(text: string): void;
  /** Shows the last state and leaves the line. */
  finish(): void;
}

/** Milliseconds between two redraws, and between two plain lines. */
const REDRAW = 100;
const PLAIN = 5000;
/** The rate is that of the last half minute, so that it follows changes. */
const RATE_WINDOW = 30_000;

const MIN_BAR = 8;
const MAX_BAR = 30;

const CLEAR_LINE = "\r\u001b[2K";

interface Sample {
  readonly time: number;
  readonly step: number;
  /** Units taken in since the start of the process. */
  readonly units: number;
}

interface Rates {
  /** Per second; 0 as long as nothing is known. */
  readonly units: number;
  readonly steps: number;
}

export function createProgress(options: ProgressOptions): Progress {
  const { stream, start = 0, unit = "molecules", now = () => performance.now() } = options;
  const mode = options.mode ?? (stream.isTTY ? "terminal" : "lines");
  if (mode === "silent") return { update() {}, message() {}, finish() {} };

  const began = now();
  const samples: Sample[] = [{ time: began, step: start, units: 0 }];
  let shown = mode === "terminal" ? -Infinity : began;
  let values: Readonly<Record<string, number>> = {};
  let pending = false;

  const draw = () => {
    const last = samples[samples.length - 1];
    const rates = ratesOf(samples);
    const state = { ...options, unit, step: last.step, values, rates, elapsed: (now() - began) / 1000 };
    stream.write(
      mode === "terminal" ? CLEAR_LINE + liveLine(state, (stream.columns ?? 80) - 1) : `${plainLine(state)}\n`,
    );
    pending = false;
  };
  return {
    update(step, newValues, units) {
      const time = now();
      samples.push({ time, step, units: samples[samples.length - 1].units + units });
      while (samples.length > 2 && time - samples[1].time > RATE_WINDOW) samples.shift();
      values = newValues;
      pending = true;
      if (time - shown < (mode === "terminal" ? REDRAW : PLAIN)) return;
      shown = time;
      draw();
    },
    message(text) {
      stream.write(mode === "terminal" ? `${CLEAR_LINE}${text}\n` : `${text}\n`);
      if (mode === "terminal" && samples.length > 1) draw();
    },
    finish() {
      if (pending) draw();
      if (mode === "terminal") stream.write("\n");
    },
  };
}

function ratesOf(samples: readonly Sample[]): Rates {
  const first = samples[0];
  const last = samples[samples.length - 1];
  const seconds = (last.time - first.time) / 1000;
  if (seconds <= 0) return { units: 0, steps: 0 };
  return { units: (last.units - first.units) / seconds, steps: (last.step - first.step) / seconds };
}

interface State {
  readonly label: string;
  readonly stepUnit?: string;
  readonly total: number;
  readonly unit: string;
  readonly step: number;
  readonly values: Readonly<Record<string, number>>;
  readonly rates: Rates;
  /** Seconds. */
  readonly elapsed: number;
}

/** As much as fits into one line: the bar shrinks first, then the last values, the bar and the rate are left out. */
function liveLine(state: State, width: number): string {
  const { label, step, total, stepUnit } = state;
  const share = Math.min(1, total > 0 ? step / total : 1);
  const head = `${label} ${`${Math.floor(100 * share)}%`.padStart(4)}`;
  const counts = `${step}/${total}${stepUnit ? ` ${stepUnit}` : ""}`;
  const values = valueParts(state.values);
  const rate = rateText(state);
  const time = timeText(state);
  for (let kept = values.length; kept >= Math.min(1, values.length); kept--) {
    const tail = [counts, ...values.slice(0, kept), rate, time].filter(Boolean).join("  ");
    const room = width - head.length - tail.length - 2;
    if (room >= MIN_BAR) return `${head} ${bar(share, Math.min(MAX_BAR, room))} ${tail}`;
  }
  const shorter = [
    [head, counts, values[0], rate, time],
    [head, counts, values[0], time],
    [head, counts, time],
  ].map((parts) => parts.filter(Boolean).join("  "));
  return shorter.find((line) => line.length <= width) ?? shorter[2].slice(0, width);
}

function plainLine(state: State): string {
  const { label, step, total, values, stepUnit } = state;
  const position = stepUnit ? `${step}/${total} ${stepUnit}` : `step ${step}/${total}`;
  return [`${label} ${position}`, ...valueParts(values), rateText(state), timeText(state)].filter(Boolean).join(", ");
}

function bar(share: number, width: number): string {
  const eighths = Math.round(share * width * 8);
  const full = "█".repeat(Math.floor(eighths / 8));
  const part = eighths % 8 ? " ▏▎▍▌▋▊▉"[eighths % 8] : "";
  return (full + part).padEnd(width, "░");
}

function valueParts(values: Readonly<Record<string, number>>): string[] {
  return Object.entries(values).map(([name, value]) => `${name} ${formatValue(value)}`);
}

/** Four significant digits; very small and very large numbers with an exponent. */
function formatValue(value: number): string {
  const size = Math.abs(value);
  if (value === 0 || (size >= 1e-3 && size < 1e5)) return Number(value.toPrecision(4)).toString();
  return value.toExponential(1);
}

function rateText({ rates, unit }: State): string {
  if (rates.units <= 0) return "";
  return `${rates.units >= 100 ? Math.round(rates.units) : rates.units.toPrecision(3)} ${unit}/s`;
}

function timeText({ rates, step, total, elapsed }: State): string {
  if (step >= total) return `${formatDuration(elapsed)} in all`;
  return rates.steps > 0 ? `${formatDuration((total - step) / rates.steps)} left` : "";
}

/** `45s`, `3m08s`, `2h05m`, `3d04h` */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (n: number) => `${Math.floor(n)}`.padStart(2, "0");
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)}h${two((whole % 3600) / 60)}m`;
  return `${Math.floor(whole / 86_400)}d${two((whole % 86_400) / 3600)}h`;
}
