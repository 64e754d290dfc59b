// Tells the format of a molecule file by its name, else by how its content begins.

const TEXT_FORMATS = ["smiles", "csv", "tsv", "jsonl", "sdf", "xyz", "qm9-xyz"] as const;
export const FILE_FORMATS = [...TEXT_FORMATS, "parquet", "arrow", "lmdb"] as const;

export type FileFormat = (typeof FILE_FORMATS)[number];
export type TextFormat = (typeof TEXT_FORMATS)[number];

export function isTextFormat(format: FileFormat): format is TextFormat {
  return TEXT_FORMATS.some((text) => text === format);
}

const BY_EXTENSION: Readonly<Record<string, FileFormat | "tar">> = {
  smi: "smiles",
  smiles: "smiles",
  ism: "smiles",
  cxsmiles: "smiles",
  txt: "smiles",
  csv: "csv",
  tsv: "tsv",
  tab: "tsv",
  jsonl: "jsonl",
  ndjson: "jsonl",
  sdf: "sdf",
  sd: "sdf",
  mol: "sdf",
  mdl: "sdf",
  xyz: "xyz",
  extxyz: "xyz",
  parquet: "parquet",
  pq: "parquet",
  arrow: "arrow",
  arrows: "arrow",
  feather: "arrow",
  ipc: "arrow",
  lmdb: "lmdb",
  mdb: "lmdb",
  tar: "tar",
  tgz: "tar",
  tbz: "tar",
  tbz2: "tar",
};

/** QM9's own files, one molecule each. */
const QM9_NAME = /(^|[/\\])dsgdb9nsd_\d+\.xyz(\.gz|\.bz2)?$/;

/** The format by the ending of the name, `.gz` and `.bz2` aside; null where that says nothing. */
export function formatByName(path: string): FileFormat | "tar" | null {
  if (QM9_NAME.test(path)) return "qm9-xyz";
  const extension = /\.([^./\\]+)$/.exec(path.toLowerCase().replace(/\.(gz|bz2)$/, ""))?.[1];
  return (extension !== undefined && BY_EXTENSION[extension]) || null;
}

/** The binary formats by the first bytes of a file. */
export function binaryFormatByContent(first: Buffer): FileFormat | null {
  if (first.toString("latin1", 0, 4) === "PAR1") return "parquet";
  if (first.toString("latin1", 0, 6) === "ARROW1") return "arrow";
  if (first.length >= 20 && first.readUInt32LE(16) === 0xbeefc0de) return "lmdb";
  return null;
}

/** The format of text by the first bytes (unpacked). SMILES is what remains when nothing else fits. */
export function formatByContent(first: Buffer): FileFormat | "tar" {
  if (first.toString("latin1", 257, 262) === "ustar") return "tar";
  const lines = first.toString("utf8", 0, 1 << 16).split(/\r\n|\n|\r/);
  if (/V[23]000\s*$/.test(lines[3] ?? "") || lines.some((line) => line.startsWith("M  END"))) return "sdf";
  if (/^\s*\d+\s*$/.test(lines[0]) && /^\s*[A-Za-z]{1,2}(\s+[-+\d.eE]+){3}/.test(lines[2] ?? "")) return "xyz";
  if (/^\s*\{.*\}\s*$/.test(lines[0])) return "jsonl";
  const header = lines[0].toLowerCase();
  if (/(^|[,\t;"])[a-z_]*smiles"?($|[,\t;])/.test(header) && /[,\t;]/.test(header))
    return header.includes("\t") ? "tsv" : "csv";
  return "smiles";
}
