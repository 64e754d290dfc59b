import assert from "node:assert/strict";
import { test } from "node:test";
import { loadRdkit, RdkitFailure } from "./rdkit.js";
import { murckoScaffold } from "./scaffold.js";

const rdkit = await loadRdkit();

test("scaffolds of known molecules", () => {
  const known: Record<string, string> = {
    "CC(=O)Oc1ccccc1C(=O)O": "c1ccccc1",
    CCO: "",
    "[Na+].[Cl-]": "",
    C1CC1: "C1CC1",
    // Doubly bound atoms of rings and linkers stay, those of side chains do not.
    "CC1CCC(=O)CC1": "O=C1CCCCC1",
    "O=C(C)c1ccccc1": "c1ccccc1",
    "O=C(c1ccccc1)c1ccccc1": "O=C(c1ccccc1)c1ccccc1",
    "ON=C(c1ccccc1)c1ccccc1": "N=C(c1ccccc1)c1ccccc1",
    "O=S(=O)(c1ccccc1)NC1CC1": "O=S(=O)(NC1CC1)c1ccccc1",
    // Atoms in place of which nothing is left get hydrogens, also where aromaticity rests on them.
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C": "O=c1[nH]c(=O)c2[nH]cnc2[nH]1",
    "C[n+]1ccccc1": "c1cc[nH+]cc1",
    // Fragments without rings vanish.
    "CCCCO.Cc1ccncc1": "c1ccncc1",
  };
  for (const [smiles, scaffold] of Object.entries(known)) assert.equal(murckoScaffold(rdkit, smiles), scaffold, smiles);
});

test("stereo counts where it is asked for and still there", () => {
  const alkene = "C1CC1/C=C/C1CC1";
  assert.equal(murckoScaffold(rdkit, alkene), "C(=CC1CC1)C1CC1");
  assert.equal(murckoScaffold(rdkit, alkene, { chirality: true }), "C(=C\\C1CC1)/C1CC1");
  assert.notEqual(
    murckoScaffold(rdkit, alkene, { chirality: true }),
    murckoScaffold(rdkit, "C1CC1/C=C\\C1CC1", { chirality: true }),
  );
  // The methyl group made it a stereocentre.
  assert.equal(murckoScaffold(rdkit, "C[C@H]1CCCO1", { chirality: true }), "C1CCOC1");
});

test("a scaffold is its own scaffold, and does not depend on how the molecule is written", () => {
  const same = ["c1ccc(CCN2CCCC2)cc1Cl", "Clc1cc(CCN2CCCC2)ccc1", "C1CCN(C1)CCc1cccc(Cl)c1"];
  const scaffolds = same.map((smiles) => murckoScaffold(rdkit, smiles));
  assert.deepEqual(new Set(scaffolds), new Set(["c1ccc(CCN2CCCC2)cc1"]));
  assert.equal(murckoScaffold(rdkit, scaffolds[0]), scaffolds[0]);
});

test("text that is no molecule is refused, and the stereo perception is left as it was", () => {
  assert.throws(() => murckoScaffold(rdkit, "c1ccc"), RdkitFailure);
  murckoScaffold(rdkit, "c1ccccc1C");
  const legacy = rdkit.useLegacyStereo(true);
  assert.equal(legacy, true);
});
