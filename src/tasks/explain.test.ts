import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { featurize } from "../chem/featurize.js";
import { FINGERPRINT_BYTES } from "../chem/fingerprint.js";
import { loadRdkit } from "../chem/rdkit.js";
import { writeSmiles, writtenOrder } from "../chem/write-smiles.js";
import { ConfigError } from "../errors.js";
import { NO_DROPOUT } from "../model/config.js";
import type { TaskConfig } from "../model/task-graphs.js";
import { Random } from "../random.js";
import { saveFinetuned, taskSlots } from "../train/finetuned-model.js";
import { type Explanation, explain } from "./explain.js";

const folder = mkdtempSync(join(tmpdir(), "moleblend-explain-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const MODEL = {
  ...{ layers: 2, width: 16, heads: 4, feedForward: 16, kernels: 4, geometryHidden: 8 },
  geometryTarget: "distance",
} as const;

async function savedModel(name: string, task: TaskConfig): Promise<string> {
  const { slots, length } = taskSlots(MODEL, task);
  const random = Random.fromSeed(5);
  const parameters = new Float32Array(length);
  for (const { name: parameter, offset, size } of slots) {
    const isScale = /norm\.weight$/.test(parameter);
    for (let i = 0; i < size; i++) parameters[offset + i] = (isScale ? 1 : 0) + 0.3 * random.normal();
  }
  const dir = join(folder, name);
  const targets = task.kind === "classes" ? ["kind"] : Array.from({ length: task.outputs }, (_, i) => `target ${i}`);
  await saveFinetuned(dir, {
    ...{ model: MODEL, task, dropout: NO_DROPOUT, metric: "rmse", conformers: 1, pretrained: null },
    targets: targets.map((target) => ({ name: target, mean: 0, std: 1 })),
    reading: { hydrogens: false, maxAtoms: 64 },
    seeds: [1, 2].map((seed) => ({ seed, bestEpoch: 1, validation: {}, parameters: parameters.map((v) => v * seed) })),
    fingerprints: new Uint8Array(FINGERPRINT_BYTES),
  });
  return dir;
}

function readExplanations(path: string): Explanation[] {
  return readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Explanation);
}

const input = join(folder, "molecules.smi");
writeFileSync(input, "CC(=O)Oc1ccccc1 phenyl acetate\nnonsense bad\nO=C(C)Oc1ccccc1 the same\n[Na+].[Cl-] salt\n");

test("every molecule has its contributions and a drawing, whatever the order of its atoms", async () => {
  const model = await savedModel("regression", { kind: "regression", outputs: 1, readout: "cls", mode: "2d" });
  const summary = await explain({ model, inputs: [input], outDir: join(folder, "out"), threads: 1 });
  assert.deepEqual([summary.molecules, summary.drawings, summary.rejects], [3, 3, { "unparsable-smiles": 1 }]);
  const [first, second] = readExplanations(summary.explanations);
  assert.equal(first.atoms.length, 10);
  assert.ok(Math.abs(first.atoms.reduce((sum, { attention }) => sum + attention, 0) - 1) < 1e-6);
  assert.ok(first.atoms.some(({ contribution }) => contribution !== 0));
  const sorted = ({ atoms }: Explanation) => atoms.map(({ contribution }) => contribution).sort((a, b) => a - b);
  const [a, b] = [sorted(first), sorted(second)];
  for (const [i, value] of a.entries()) assert.ok(Math.abs(value - b[i]) < 1e-4, `${value} and ${b[i]}`);
  const svg = readFileSync(join(folder, "out", "0001.svg"), "utf8");
  assert.match(svg, /phenyl acetate/);
  assert.equal(svg.match(/class='atom-0' {1,2}style|class='atom-0'/g) !== null, true);
  assert.ok(existsSync(join(folder, "out", "rejects.jsonl")));
});

test("a model that takes coordinates is explained with them", async () => {
  const model = await savedModel("geometry", { kind: "binary", outputs: 2, readout: "sum", mode: "both" });
  const atoms = [
    ["O", 0],
    ["C", 1.2],
    ["N", 2.5],
  ] as const;
  const lines = atoms.map(([element, x]) => `${x.toFixed(4).padStart(10)}    0.1000    0.2000 ${element}   0  0`);
  const block = `formamide\n\n\n  3  2  0  0  0  0  0  0  0  0999 V2000\n${lines.join("\n")}\n  1  2  2  0\n  2  3  1  0\nM  END\n$$$$\n`;
  const path = join(folder, "formamide.sdf");
  writeFileSync(path, block);
  const job = { model, inputs: [path, input], outDir: join(folder, "geometry-out"), target: "target 1", threads: 1 };
  const summary = await explain(job);
  assert.deepEqual([summary.molecules, summary.rejects["no-geometry"]], [1, 3]);
  const [only] = readExplanations(summary.explanations);
  assert.deepEqual([only.output, only.atoms.map(({ atomicNumber }) => atomicNumber)], ["target 1", [8, 6, 7]]);
});

test("of classes the one predicted is explained, and names that are none are refused", async () => {
  const model = await savedModel("classes", { kind: "classes", outputs: 3, readout: "mean", mode: "2d" });
  const job = { model, inputs: [input], outDir: join(folder, "classes-out"), threads: 1 };
  const { explanations } = await explain({ ...job, limit: 1 });
  const [only] = readExplanations(explanations);
  assert.ok(only.prediction >= 1 / 3, `${only.output} with ${only.prediction}`);
  await assert.rejects(explain({ ...job, target: "kind class 7" }), ConfigError);
});

test("drawn atoms are the molecule's own", async () => {
  const rdkit = await loadRdkit();
  for (const smiles of ["CC(=O)Oc1ccccc1C(=O)O", "C1CC2(C1)OCC(F)N2.Cl", "N#Cc1ccc2[nH]cc(CC(Br)I)c2c1"]) {
    const raw = { format: "smiles", text: smiles, name: "", file: "", line: 1, record: 1, properties: {} } as const;
    const { molecule } = featurize(rdkit, raw, { hydrogens: false, maxAtoms: 99 });
    const again = featurize(rdkit, { ...raw, text: writeSmiles(molecule) }, { hydrogens: false, maxAtoms: 99 });
    const order = writtenOrder(molecule);
    const element = (features: Uint8Array, atom: number) => features[atom * 9];
    order.forEach((atom, at) => {
      assert.equal(element(again.molecule.atomFeatures, at), element(molecule.atomFeatures, atom), smiles);
    });
    assert.equal(again.molecule.structureKey, molecule.structureKey);
  }
});
