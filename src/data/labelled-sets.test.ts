// The known data sets against the copies that go around: their columns, sizes and missing labels.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ConfigError, DatasetError } from "../errors.js";
import { columnsOfSet, LABELLED_SETS, labelledSet } from "./labelled-sets.js";
import { readRecords, tableColumns } from "./readers/index.js";

let root = dirname(fileURLToPath(import.meta.url));
while (!existsSync(join(root, "package.json"))) root = dirname(root);
const data = join(root, "../shared/data/moleculenet");
const skip = existsSync(data) ? false : "no ../shared/data";

/** Headers of DeepChem's copies, as its loaders name them. */
const DEEPCHEM: Readonly<Record<string, readonly string[]>> = {
  bbbp: ["num", "name", "p_np", "smiles"],
  bace: ["mol", "CID", "Class", "Model", "pIC50", "MW"],
  hiv: ["smiles", "activity", "HIV_active"],
  esol: ["Compound ID", "Molecular Weight", "measured log solubility in mols per litre", "smiles"],
  freesolv: ["iupac", "smiles", "expt", "calc"],
  lipo: ["CMPD_CHEMBLID", "exp", "smiles"],
};

describe("known data sets", () => {
  test("the eleven of MoleculeNet, QM9 and PCQM4Mv2", () => {
    const tasks = Object.fromEntries(
      LABELLED_SETS.map((set) => [
        set.name,
        set.labels.kind === "named" ? set.labels.columns.length : set.labels.count,
      ]),
    );
    assert.deepEqual(tasks, {
      ...{ bbbp: 1, bace: 1, clintox: 2, tox21: 12, toxcast: 617, sider: 27, hiv: 1, muv: 17 },
      ...{ esol: 1, freesolv: 1, lipo: 1, qm9: 12, pcqm4mv2: 1 },
    });
    assert.equal(labelledSet("HIV").metric, "roc-auc");
    assert.throws(() => labelledSet("qm10"), ConfigError);
  });

  test("columns of DeepChem's copies", () => {
    const labels = (name: string) => columnsOfSet(labelledSet(name), "x.csv", DEEPCHEM[name]);
    assert.deepEqual(labels("bbbp"), { smiles: "smiles", labels: ["p_np"] });
    assert.deepEqual(labels("bace"), { smiles: "mol", labels: ["Class"] });
    assert.deepEqual(labels("hiv").labels, ["HIV_active"]);
    assert.deepEqual(labels("esol").labels, ["measured log solubility in mols per litre"]);
    assert.deepEqual(labels("freesolv").labels, ["expt"]);
    assert.deepEqual(labels("lipo").labels, ["exp"]);
  });

  test("another file than the one that was named", () => {
    assert.throws(() => columnsOfSet(labelledSet("tox21"), "x.csv", ["smiles", "NR-AR"]), {
      ...{
        name: "DatasetError",
        message: /x\.csv: expected a label of tox21 in the column NR-AR-LBD, got the columns smiles, NR-AR/,
      },
    });
    assert.throws(
      () => columnsOfSet(labelledSet("toxcast"), "x.csv", ["smiles", "a"]),
      /expected 617 label columns of toxcast, got 1/,
    );
    assert.throws(() => columnsOfSet(labelledSet("toxcast"), "x.sdf", null), DatasetError);
    assert.deepEqual(columnsOfSet(labelledSet("pcqm4mv2"), "folder", null).labels, ["homolumogap"]);
  });

  for (const set of LABELLED_SETS.filter((one) => one.smilesColumns.length > 0)) {
    test(`${set.name}: size and labels of chemprop's copy`, { skip }, async () => {
      const stem = set.name === "esol" ? "delaney" : set.name;
      const path = [`${stem}.csv`, `${stem}.csv.gz`].map((name) => join(data, name)).find(existsSync) ?? "";
      const { smiles, labels } = columnsOfSet(set, path, await tableColumns(path));
      let rows = 0;
      let known = 0;
      for await (const item of readRecords(path, { smilesColumn: smiles })) {
        rows++;
        const properties = "properties" in item ? item.properties : {};
        for (const label of labels) if ((properties[label] ?? "").trim() !== "") known++;
      }
      assert.equal(rows, set.molecules);
      assert.ok(known > 0.1 * rows && known <= rows * labels.length, `${known} labels`);
    });
  }
});
