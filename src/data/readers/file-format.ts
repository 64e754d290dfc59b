// Tells the format of a molecule file by its name, else by how its content begins.

export type FileFormat = "smiles" | "csv" | "tsv" | "sdf" | "xyz";

const BY_EXTENSION: Readonly<Record<string, FileFormat | "tar">> = {
  smi: "smiles",
  smiles: "smiles",
  ism: "smiles",
  cxsmiles: "smiles",
  txt: "smiles",
  csv: "csv",
  tsv: "tsv",
  tab: "tsv",
  sdf: "sdf",
  sd: "sdf",
  mol: "sdf",
  mdl: "sdf",
  xyz: "xyz",
  extxyz: "xyz",
  tar: "tar",
  tgz: "tar",
};

/** The format by the ending of the name, `.gz` aside; null where that says nothing. */
export function formatByName(path: string): FileFormat | "tar" | null {
  const extension = /\.([^./\\]+)$/.exec(path.toLowerCase().replace(/\.gz$/, ""))?.[1];
  return (extension !== undefined && BY_EXTENSION[extension]) || null;
}

/** The format by the first bytes (unpacked). SMILES is what remains when nothing else fits. */
export function formatByContent(first: Buffer): FileFormat | "tar" {
  if (first.toString("latin1", 257, 262) === "ustar") return "tar";
  const lines = first.toString("utf8", 0, 1 << 16).split(/\r\n|\n|\r/);
  if (/V[23]000\s*$/.test(lines[3] ?? "") || lines.some((line) => line.startsWith("M  END"))) return "sdf";
  if (/^\s*\d+\s*$/.test(lines[0]) && /^\s*[A-Za-z]{1,2}(\s+[-+\d.eE]+){3}/.test(lines[2] ?? "")) return "xyz";
  const header = lines[0].toLowerCase();
  if (/(^|[,\t;"])[a-z_]*smiles"?($|[,\t;])/.test(header) && /[,\t;]/.test(header))
    return header.includes("\t") ? "tsv" : "csv";
  return "smiles";
}
