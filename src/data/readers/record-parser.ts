// What the parsers of the file formats share: they take lines and give records or rejects.
import type { RawRecord, Reject } from "../../chem/molecule.js";
import type { RejectCode } from "../../errors.js";

/** Told apart by `isReject`. */
export type ReadItem = RawRecord | Reject;

/** Takes the lines of one file in order; `emit` is called as records become complete. */
export interface RecordParser {
  line(text: string, number: number): void;
  end(): void;
}

export type Emit = (item: ReadItem) => void;

export function isReject(item: ReadItem): item is Reject {
  return "code" in item;
}

/** A reject at a place of a file. */
export function reject(
  place: { readonly file: string; readonly line: number; readonly record: number; readonly name?: string },
  code: RejectCode,
  reason: string,
): Reject {
  return { file: place.file, line: place.line, record: place.record, name: place.name ?? "", code, reason };
}
