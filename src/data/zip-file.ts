// Reads small ZIP archives (stored or deflated entries, no ZIP64) from memory.
import { inflateRawSync } from "node:zlib";
import { DatasetError } from "../errors.js";

const END_OF_DIRECTORY = 0x06054b50;
const DIRECTORY_ENTRY = 0x02014b50;
const LOCAL_HEADER = 0x04034b50;

/** The files of a ZIP archive by name, unpacked when called. @throws DatasetError (RangeError within) where it is damaged */
export function zipEntries(bytes: Uint8Array): Map<string, () => Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = bytes.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== END_OF_DIRECTORY) end--;
  if (end < 0) throw new DatasetError("the ZIP archive is cut off");
  const files = new Map<string, () => Uint8Array>();
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left--) {
    if (view.getUint32(at, true) !== DIRECTORY_ENTRY)
      throw new DatasetError("the directory of the ZIP archive is damaged");
    const [nameLength, extra, comment] = [28, 30, 32].map((field) => view.getUint16(at + field, true));
    const name = Buffer.from(bytes.subarray(at + 46, at + 46 + nameLength)).toString("utf8");
    const [packed, local] = [view.getUint32(at + 20, true), view.getUint32(at + 42, true)];
    const method = view.getUint16(at + 10, true);
    files.set(name, () => zipContent(bytes, view, local, packed, method));
    at += 46 + nameLength + extra + comment;
  }
  return files;
}

function zipContent(bytes: Uint8Array, view: DataView, local: number, packed: number, method: number): Uint8Array {
  if (view.getUint32(local, true) !== LOCAL_HEADER) throw new DatasetError("the ZIP archive is damaged");
  const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
  const content = bytes.subarray(start, start + packed);
  if (method === 0) return content;
  if (method === 8) return inflateRawSync(content);
  throw new DatasetError(`the ZIP archive uses method ${method}`);
}
