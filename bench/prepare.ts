// SMILES → corpus beside RDKit's own parsing of the same molecules, each on every core in turn and on one.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadRdkit } from "../src/chem/rdkit.js";
import { isReject, readRecords } from "../src/data/readers/index.js";
import { prepare } from "../src/tasks/prepare.js";
import { peakMemoryMB, report } from "./measure.js";

const [input = "data/nci-xtb/nci-xtb.sdf.gz", limit = "20000"] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "moleblend-prepare-"));
const list = join(folder, "molecules.smi");
const smiles: string[] = [];
for await (const record of readRecords(input)) {
  if (isReject(record)) continue;
  const text = record.format === "smiles" ? record.text : record.properties["SMILES"];
  if (text) smiles.push(text);
  if (smiles.length === Number(limit)) break;
}
writeFileSync(list, `${smiles.join("\n")}\n`);
const rdkit = await loadRdkit();
const start = performance.now();
for (const text of readFileSync(list, "utf8").trim().split("\n")) {
  try {
    const molecule = rdkit.parse(text);
    molecule.get_as_uint8array("{}");
    molecule.delete();
  } catch {
    // What RDKit refuses costs time as well.
  }
}
const alone = (smiles.length / (performance.now() - start)) * 1000;
for (const workers of [0, 2]) {
  const { molecules, seconds, moleculesPerSecond } = await prepare([list], join(folder, `corpus-${workers}`), {
    workers,
  });
  report("SMILES to corpus", {
    workers,
    molecules,
    seconds,
    moleculesPerSecond,
    rdkitParseAlonePerSecond: alone,
    ratio: moleculesPerSecond / alone,
    peakMemoryMB: peakMemoryMB(),
  });
}
rmSync(folder, { recursive: true });
