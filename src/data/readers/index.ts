// Readers of molecule files: path → records of text.
export type { OnBytes } from "./byte-source.js";
export type { FileFormat } from "./file-format.js";
export { type ReaderOptions, readRecords } from "./read-records.js";
export { isReject, type ReadItem } from "./record-parser.js";
