// metrics.jsonl: one JSON object a line, appended while a run goes on and cut back to the checkpoint when it resumes.

import { closeSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { CheckpointError } from "../errors.js";

export type LogValue = number | string | boolean | null;

/** One line: the step it belongs to and any named values; numbers that are not finite are written as null. */
export interface LogRecord {
  readonly step: number;
  readonly [name: string]: LogValue;
}

export interface RunLog {
  readonly path: string;
  /** Appends one line; the operating system has it when this returns. */
  append(record: LogRecord): void;
  /** Waits until the disk has every line; call it before a checkpoint is saved. */
  sync(): void;
  close(): void;
}

/**
 * Opens a log for appending and drops all lines after `resumeStep`, also a last line that a killed process left
 * unfinished, so that no step is listed twice. A new run passes 0; what an earlier run wrote to the file is then dropped.
 * @throws CheckpointError if a line before the last is not JSON with a step.
 */
export function openRunLog(path: string, resumeStep: number): RunLog {
  const descriptor = openSync(path, "a+");
  try {
    ftruncateSync(descriptor, keptLength(readFileSync(path), path, resumeStep));
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
  return {
    path,
    append(record) {
      const plain = (_key: string, value: unknown) =>
        typeof value === "number" && !Number.isFinite(value) ? null : value;
      const line = Buffer.from(`${JSON.stringify(record, plain)}\n`);
      for (let done = 0; done < line.length; ) done += writeSync(descriptor, line, done);
    },
    sync: () => fsyncSync(descriptor),
    close: () => closeSync(descriptor),
  };
}

/** Bytes up to the first line that is later than the step or unfinished. */
function keptLength(bytes: Buffer, path: string, resumeStep: number): number {
  let start = 0;
  for (let number = 1; ; number++) {
    const end = bytes.indexOf("\n", start);
    if (end < 0) return start;
    if (parseStep(bytes.toString("utf8", start, end), `${path}:${number}`) > resumeStep) return start;
    start = end + 1;
  }
}

function parseStep(line: string, place: string): number {
  let record: unknown;
  try {
    record = JSON.parse(line);
  } catch (error) {
    throw new CheckpointError(`${place}: expected a JSON object, got ${JSON.stringify(line)}`, { cause: error });
  }
  const step = (record as { step?: unknown } | null)?.step;
  if (typeof step !== "number") throw new CheckpointError(`${place}: expected a "step", got ${JSON.stringify(line)}`);
  return step;
}

/** All finished lines of a log. @throws CheckpointError naming the line that is not JSON with a step. */
export function readRunLog(path: string): LogRecord[] {
  const lines = readFileSync(path, "utf8").split("\n").slice(0, -1);
  lines.forEach((line, i) => void parseStep(line, `${path}:${i + 1}`));
  return lines.map((line) => JSON.parse(line) as LogRecord);
}
