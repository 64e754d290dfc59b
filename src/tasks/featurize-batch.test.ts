// Outcomes of a batch: rejects keep their place in line, and a defect is never taken for a bad molecule.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { RawRecord, Reject } from "../chem/molecule.js";
import { loadRdkit, type Rdkit } from "../chem/rdkit.js";
import { featurizeBatch } from "./featurize-batch.js";

const settings = { hydrogens: false, maxAtoms: 50, labels: ["gap"] };
const record = (line: number, text: string, gap?: string): RawRecord => ({
  format: "smiles",
  text,
  name: `m${line}`,
  file: "x.smi",
  line,
  record: line,
  properties: gap === undefined ? {} : { gap },
});
const cutOff: Reject = { file: "x.smi", line: 2, record: 2, name: "", code: "empty-line", reason: "empty" };

describe("featurizeBatch", () => {
  it("keeps molecules and rejects in input order, the reader's among the featurizer's", async () => {
    const items = [record(1, "C1C"), cutOff, record(3, "CCO"), record(4, "?"), record(5, "CN")];
    const { molecules, rejects } = featurizeBatch(await loadRdkit(), items, settings);
    assert.deepEqual(
      molecules.map((molecule) => molecule.name),
      ["m3", "m5"],
    );
    assert.deepEqual(
      rejects.map((reject) => [reject.line, reject.code]),
      [
        [1, "unparsable-smiles"],
        [2, "empty-line"],
        [4, "unparsable-smiles"],
      ],
    );
  });

  it("tells missing labels from unreadable ones", async () => {
    const texts = ["1e-3", " -2 ", "", "nan", "N/A", "high", "inf", undefined];
    const items = texts.map((text, at) => record(at + 1, "C", text));
    const { molecules, notes } = featurizeBatch(await loadRdkit(), items, settings);
    assert.deepEqual(
      molecules.map((molecule) => molecule.labels["gap"]),
      [1e-3, -2, Number.NaN, Number.NaN, Number.NaN, Number.NaN, Number.NaN, Number.NaN],
    );
    assert.deepEqual(notes, { "missing-label": 4, "unparsable-label": 2 });
  });

  it("stops at a failure that is not the molecule's, and says at which record", () => {
    const broken = {
      parse: () => {
        throw new TypeError("defect");
      },
    } as unknown as Rdkit;
    const message = /x.smi:7 \(record 7, "m7"\): could not be featurized: TypeError: defect/;
    assert.throws(() => featurizeBatch(broken, [record(7, "C")], settings), { name: "DatasetError", message });
  });
});
