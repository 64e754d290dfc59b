// Readers of molecule files: path → records of text.
export type { OnBytes } from "./byte-source.js";
export { FILE_FORMATS, type FileFormat } from "./file-format.js";
export { inputBytes, readRecords } from "./read-records.js";
export type { ReaderOptions } from "./reader-options.js";
export { isReject, type ReadItem } from "./record-parser.js";
export { tableColumns } from "./table-file.js";
