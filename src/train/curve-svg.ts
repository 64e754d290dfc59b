// Curves as SVG files that any viewer shows: white ground, one legend, linear or logarithmic scale.

import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";

export interface Series {
  readonly name: string;
  readonly x: ArrayLike<number>;
  /** As long as x; values that are not finite leave a gap. */
  readonly y: ArrayLike<number>;
}

export interface Curve {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly Series[];
  /** Logarithmic y; values of 0 or less leave a gap. */
  readonly logScale?: boolean;
  /** Draws a running mean over the pale values, for noisy curves of many points. */
  readonly smooth?: boolean;
}

/** Okabe and Ito's colours, which colour-blind readers tell apart, without the yellow. */
const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

const WIDTH = 760;
const HEIGHT = 400;
const FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif";
const LEGEND_TOP = 50;
const LEGEND_ROW = 18;

/** More points than this are averaged in groups: no screen shows more. */
const MAX_POINTS = 1500;
/** Curves of fewer points show each one. */
const FEW_POINTS = 40;

interface Point {
  readonly x: number;
  readonly y: number;
}

/** One chart as the text of an SVG file. */
export function curveSvg(curve: Curve): string {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const rows = legendRows(curve.series.map((series) => series.name));
  const marginTop = LEGEND_TOP + LEGEND_ROW * rows.length + 16;
  const lines = curve.series.map((series) => pointsOf(series, curve.logScale ?? false));
  const decades = curve.logScale ? decadesOf(lines) : null;
  const chart = Plot.plot({
    // linkedom's document has all that Plot calls, but is typed by an implementation of its own.
    document: document as unknown as NonNullable<Plot.PlotOptions["document"]>,
    width: WIDTH,
    height: HEIGHT + marginTop,
    marginTop,
    marginLeft: 72,
    marginRight: 24,
    marginBottom: 52,
    style: { background: "white", color: "#222", fontFamily: FONT, fontSize: "13px" },
    x: {
      label: curve.xLabel,
      labelAnchor: "center",
      labelArrow: "none",
      labelOffset: 42,
      ...xTicks(lines),
      nice: true,
    },
    y: { label: null, ...(decades ? { type: "log", domain: decades.domain, axis: null } : LINEAR_Y) },
    marks: [
      // An axis of its own, because a logarithmic scale's leaves out labels at its discretion.
      ...(decades ? [Plot.gridY(decades.ticks), Plot.axisY(decades.ticks, { text: tickText, label: null })] : []),
      Plot.frame({ stroke: "#ccc" }),
      ...lines.flatMap((points, i) => marksOf(points, colorOf(i), curve.smooth ?? false)),
    ],
  }) as unknown as SvgElement;
  decorate(document as unknown as SvgDocument, chart, curve, rows, marginTop);
  return `<?xml version="1.0" encoding="UTF-8"?>\n${chart.outerHTML}\n`;
}

/** What is used of a document and an element; the browser's types are not among this project's. */
interface SvgDocument {
  createElementNS(namespace: string, name: string): SvgElement;
}

interface SvgElement {
  readonly outerHTML: string;
  textContent: string | null;
  setAttribute(name: string, value: string): void;
  append(child: SvgElement): void;
  prepend(child: SvgElement): void;
}

const colorOf = (index: number): string => COLORS[index % COLORS.length];

function pointsOf({ x, y }: Series, logScale: boolean): Point[] {
  const group = Math.ceil(x.length / MAX_POINTS);
  const points: Point[] = [];
  for (let first = 0; first < x.length; first += group) {
    const last = Math.min(first + group, x.length);
    let [sumX, sumY] = [0, 0];
    for (let i = first; i < last; i++) {
      sumX += x[i] / (last - first);
      sumY += y[i] / (last - first);
    }
    points.push({ x: sumX, y: Number.isFinite(sumY) && (sumY > 0 || !logScale) ? sumY : Number.NaN });
  }
  return points;
}

/** Mean over a window of a fortieth of the curve, centred; gaps do not count. */
function runningMean(points: readonly Point[]): Point[] {
  const half = Math.max(1, Math.floor(points.length / 80));
  return points.map(({ x }, i) => {
    const near = points.slice(Math.max(0, i - half), i + half + 1).filter(({ y }) => Number.isFinite(y));
    return { x, y: near.reduce((sum, { y }) => sum + y, 0) / near.length };
  });
}

function marksOf(points: readonly Point[], stroke: string, smooth: boolean): Plot.Markish[] {
  const line = (data: readonly Point[], strokeWidth: number, strokeOpacity: number) =>
    Plot.lineY(data, { x: "x", y: "y", stroke, strokeWidth, strokeOpacity, strokeLinejoin: "round" });
  if (smooth && points.length > FEW_POINTS) return [line(points, 1, 0.3), line(runningMean(points), 2.2, 1)];
  if (points.length > FEW_POINTS) return [line(points, 1.8, 1)];
  return [line(points, 1.8, 1), Plot.dot(points, { x: "x", y: "y", r: 2.8, fill: stroke })];
}

/** Whole numbers such as epochs get no ticks between them. */
function xTicks(lines: readonly (readonly Point[])[]) {
  const values = lines.flat().map(({ x }) => x);
  const span = values.reduce((a, b) => Math.max(a, b), -Infinity) - values.reduce((a, b) => Math.min(a, b), Infinity);
  const ticks = values.every(Number.isInteger) ? Math.max(1, Math.min(8, span)) : 8;
  return { ticks, tickFormat: tickText };
}

const LINEAR_Y = { grid: true, nice: true, ticks: 6, tickFormat: tickText };

/** Whole decades around all values, with ticks at powers of ten, and at 2 and 5 times those where there are few. */
function decadesOf(lines: readonly (readonly Point[])[]): { domain: [number, number]; ticks: number[] } {
  const values = lines.flat().flatMap(({ y }) => (Number.isFinite(y) ? [y] : []));
  if (values.length === 0) return { domain: [0.1, 1], ticks: [0.1, 1] };
  const low = Math.floor(Math.log10(values.reduce((a, b) => Math.min(a, b))));
  const high = Math.max(low + 1, Math.ceil(Math.log10(values.reduce((a, b) => Math.max(a, b)))));
  const digits = high - low <= 3 ? [1, 2, 5] : [1];
  const powers = Array.from({ length: high - low + 1 }, (_, i) => low + i);
  const ticks = powers.flatMap((power) => digits.map((digit) => Number(`${digit}e${power}`)));
  const top = Number(`1e${high}`);
  return { domain: [Number(`1e${low}`), top], ticks: ticks.filter((tick) => tick <= top) };
}

function tickText(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return Number(value.toPrecision(3)).toExponential();
  return value.toLocaleString("en-US", { maximumSignificantDigits: 6 });
}

interface LegendItem {
  readonly name: string;
  readonly index: number;
  readonly x: number;
}

/** Breaks the names into rows by their estimated width; a single series needs no legend beyond the title. */
function legendRows(names: readonly string[]): LegendItem[][] {
  const rows: LegendItem[][] = [];
  if (names.length < 2) return rows;
  let x = Infinity;
  names.forEach((name, index) => {
    const width = 34 + 7.2 * name.length;
    if (x + width > WIDTH - 24) {
      rows.push([]);
      x = 72;
    }
    rows[rows.length - 1].push({ name, index, x });
    x += width + 10;
  });
  return rows;
}

/** Title, name of the y axis and legend; drawn here because Plot makes its own legend in HTML. */
function decorate(
  ...[document, chart, curve, rows, marginTop]: [SvgDocument, SvgElement, Curve, LegendItem[][], number]
): void {
  const add = (name: string, attributes: Record<string, string | number>, text = ""): SvgElement => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, `${value}`);
    element.textContent = text;
    return element;
  };
  const font = { "font-family": FONT, fill: "#222", "text-anchor": "start" };
  chart.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  chart.prepend(add("rect", { width: "100%", height: "100%", fill: "white" }));
  chart.append(add("text", { ...font, x: 24, y: 26, "font-size": 17, "font-weight": "bold" }, curve.title));
  chart.append(add("text", { ...font, x: 24, y: marginTop - 14, "font-size": 13 }, curve.yLabel));
  rows.forEach((row, line) => {
    for (const { name, index, x } of row) {
      const y = LEGEND_TOP + LEGEND_ROW * line - 4;
      const stroke = { stroke: colorOf(index), "stroke-width": 3, "stroke-linecap": "round" };
      chart.append(add("line", { x1: x, x2: x + 20, y1: y - 4, y2: y - 4, ...stroke }));
      chart.append(add("text", { ...font, x: x + 28, y, "font-size": 13 }, name));
    }
  });
}
