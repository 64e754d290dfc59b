// Ctrl-C and SIGTERM ask a job to end in good order; a second one ends the process at once.
import { constants } from "node:os";
import { printRemark } from "./output.js";

export interface StopRequest {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal;
  /** Whether a signal came. */
  requested(): boolean;
  /** 130 after SIGINT, 143 after SIGTERM, 0 when none came. */
  exitCode(): number;
  /** Gives the signals their usual effect back. */
  dispose(): void;
}

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
/** Milliseconds in which further signals are taken for the same one: npm passes on a Ctrl-C that the terminal sent too. */
const SAME = 1000;

/** @param announcement what is said when the first signal comes */
export function listenForStop(announcement: string): StopRequest {
  const controller = new AbortController();
  let code = 0;
  let first = 0;
  const onSignal = (name: NodeJS.Signals) => {
    const now = performance.now();
    if (code === 0) {
      code = 128 + constants.signals[name];
      first = now;
      printRemark(`\n${name}: ${announcement}; a second signal ends at once`);
      controller.abort();
    } else if (now - first > SAME) {
      process.exit(128 + constants.signals[name]);
    }
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  return {
    signal: controller.signal,
    requested: () => code !== 0,
    exitCode: () => code,
    dispose: () => {
      for (const name of SIGNALS) process.off(name, onSignal);
    },
  };
}

/**
 * A job that prepares molecules and then writes what it has when it is asked to stop. Null where the signal came while it was still
 * preparing: that is said, and the exit code set.
 */
export async function afterPreparing<T>(stop: StopRequest, job: () => Promise<T>): Promise<T | null> {
  try {
    return await job();
  } catch (error) {
    if (!(stop.requested() && (error as Error).name === "AbortError")) throw error;
    printRemark("ended while the molecules were being prepared; nothing was written");
    process.exitCode = stop.exitCode();
    return null;
  } finally {
    stop.dispose();
  }
}
