// Event files that TensorBoard shows: scalars as TFRecord-framed protobuf messages, by a writer of a few lines.

import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";

export interface EventWriter {
  readonly path: string;
  /** Appends one event with all given scalars, such as `loss/spd`. */
  scalars(step: number, values: Readonly<Record<string, number>>): void;
  close(): void;
}

export interface EventWriterOptions {
  /** Hides what earlier files of the folder hold from this step on: the first step that a resumed run writes. */
  readonly firstStep?: number;
  /** Seconds since 1970. */
  readonly now?: () => number;
}

/** Status START of a session log message. */
const SESSION_START = 1;

/** Opens a new event file in the folder. Its name sorts after those of earlier runs, as TensorBoard wants it. */
export function openEventWriter(directory: string, options: EventWriterOptions = {}): EventWriter {
  const now = options.now ?? (() => Date.now() / 1000);
  mkdirSync(directory, { recursive: true });
  const stamp = `${Math.floor(now())}`.padStart(10, "0");
  const base = join(directory, `events.out.tfevents.${stamp}.${hostname()}.${process.pid}`);
  const { path, descriptor } = openNew(base);
  const write = (step: number, content: readonly number[]) => {
    const frame = frameRecord(Uint8Array.from([...doubleField(1, now()), ...integerField(2, step), ...content]));
    for (let done = 0; done < frame.length; ) done += writeSync(descriptor, frame, done);
  };
  write(0, textField(3, "brain.Event:2"));
  if (options.firstStep) write(options.firstStep, bytesField(7, integerField(1, SESSION_START)));
  return {
    path,
    scalars: (step, values) => write(step, bytesField(5, Object.entries(values).flatMap(summaryValue))),
    close: () => closeSync(descriptor),
  };
}

/** Several writers of one process may begin within the same second. */
function openNew(base: string): { path: string; descriptor: number } {
  for (let n = 0; ; n++) {
    const path = `${base}.${n}`;
    try {
      return { path, descriptor: openSync(path, "ax") };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
}

/** Field 1 of a Summary message: tag (1) and simple_value (2, float32). */
function summaryValue([tag, value]: readonly [string, number]): number[] {
  const bits = new Uint8Array(Float32Array.of(value).buffer);
  return bytesField(1, [...textField(1, tag), (2 << 3) | 5, ...bits]);
}

function variableInteger(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return [...bytes, rest];
}

function integerField(field: number, value: number): number[] {
  return [field << 3, ...variableInteger(value)];
}

function doubleField(field: number, value: number): number[] {
  return [(field << 3) | 1, ...new Uint8Array(Float64Array.of(value).buffer)];
}

function bytesField(field: number, bytes: readonly number[]): number[] {
  return [(field << 3) | 2, ...variableInteger(bytes.length), ...bytes];
}

function textField(field: number, text: string): number[] {
  return bytesField(field, [...new TextEncoder().encode(text)]);
}

/** Length (uint64), masked CRC of the length, the data, masked CRC of the data; all little-endian. */
function frameRecord(data: Uint8Array): Uint8Array {
  const frame = new Uint8Array(data.length + 16);
  const view = new DataView(frame.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc(frame.subarray(0, 8)), true);
  frame.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(data), true);
  return frame;
}

/** TFRecord's mask keeps a CRC over data that holds CRCs from degenerating. */
function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** Castagnoli polynomial, reflected. */
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** CRC-32C of the bytes, as an unsigned integer. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 255];
  return (crc ^ 0xffffffff) >>> 0;
}
