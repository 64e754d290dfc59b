// Bonds from distances: hand-made molecules, what must be refused, and real geometries whose bonds are known.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { featurize } from "./featurize.js";
import type { Molecule, RawRecord } from "./molecule.js";
import { perceiveBonds } from "./perceive-bonds.js";
import { loadRdkit } from "./rdkit.js";

const rdkit = await loadRdkit();

/** `C 0 0 0; O 0 0 1.13` → total order of each bond and the charges. */
function perceive(text: string, charge = 0): string {
  const atoms = text.split(";").map((atom) => atom.trim().split(/\s+/));
  const positions = atoms.flatMap(([, ...xyz]) => xyz.map(Number));
  const found = perceiveBonds(
    atoms.map(([element]) => element),
    positions,
    charge,
  );
  if ("reason" in found) return found.reason;
  const bonds = found.bonds.map(({ begin, end, order }) => `${begin}${"?-=#"[order]}${end}`).sort();
  return `${bonds.join(" ")} ${found.charges
    .map((one, i) => (one ? `${i}:${one}` : ""))
    .filter(Boolean)
    .join(" ")}`.trim();
}

describe("perceived bonds", () => {
  test("small molecules and ions", () => {
    assert.equal(perceive("C 0 0 0; O 0 0 1.13"), "0#1 0:-1 1:1");
    assert.equal(perceive("O 0 0 -1.16; C 0 0 0; O 0 0 1.16"), "0=1 1=2");
    assert.equal(perceive("N 0 0 0; N 0 0 1.1"), "0#1");
    assert.equal(perceive("C 0 0 0; N 0 0 1.16", -1), "0#1 0:-1");
    assert.equal(perceive("H 0 0 0; H 0 0 0.74"), "0-1");
    assert.equal(perceive("Na 0 0 0; Cl 0 0 6"), "0:1 1:-1");
    assert.equal(perceive("N 0 0 0; N 1.13 0 0; N 2.4 0 0; H 2.7 0.9 0"), "0=1 1=2 2-3 0:-1 1:1");
  });

  test("water and its ions", () => {
    assert.equal(perceive("O 0 0 0; H 0.76 0.59 0; H -0.76 0.59 0"), "0-1 0-2");
    assert.equal(perceive("O 0 0 0; H 0.96 0 0", -1), "0-1 0:-1");
  });

  test("what does not work out is said, not guessed", () => {
    assert.match(perceive("O 0 0 0; H 0.96 0 0"), /no bond orders with usual valences and a charge of 0 exist/);
    assert.match(perceive("C 0 0 0; C 0 0 1.54"), /no bond orders|too far apart/);
    assert.match(perceive("C 0 0 0; C 0 0 0.1"), /lie on one another/);
    assert.match(perceive("Fe 0 0 0"), /bonds of Fe cannot be perceived/);
    assert.match(perceive("C 0 0 0; C 0 0 nan"), /not finite/);
  });
});

const record = (format: RawRecord["format"], text: string, name: string): RawRecord => ({
  ...{ format, text, name, file: "", line: 1, record: 1, properties: {} },
});

/** The geometry of a V2000 block as XYZ without bonds. */
function asXyz(block: string): string {
  const lines = block.split("\n");
  const atoms = lines.slice(4, 4 + Number.parseInt(lines[3].slice(0, 3), 10));
  let charge = 0;
  for (const line of lines.filter((one) => one.startsWith("M  CHG"))) {
    const fields = line.trim().split(/\s+/).slice(3);
    for (let i = 1; i < fields.length; i += 2) charge += Number(fields[i]);
  }
  return [atoms.length, `charge=${charge}`, ...atoms.map((line) => `${line.slice(31, 34)} ${line.slice(0, 30)}`)].join(
    "\n",
  );
}

const options = { hydrogens: false, maxAtoms: 256, perceiveBonds: true };

function compare(file: string, count: number, same: (given: Molecule, guessed: Molecule) => boolean): void {
  const text = gunzipSync(readFileSync(file)).toString("latin1");
  const differing: string[] = [];
  for (const block of text.split("$$$$\n").slice(0, count)) {
    const name = block.split("\n", 1)[0];
    const given = featurize(rdkit, record("mol", `${block.split("M  END")[0]}M  END\n`, name), options).molecule;
    const guessed = featurize(rdkit, record("xyz", asXyz(block), name), options);
    assert.ok(guessed.notes.some((note) => note.startsWith("perceived-bonds")));
    if (!same(given, guessed.molecule)) differing.push(name);
  }
  assert.deepEqual(differing, []);
}

/** Elements and hydrogens of each atom, and between which atoms there are bonds. */
function skeleton({ atomFeatures, bonds }: Molecule): string {
  const atoms = Array.from(atomFeatures).filter((_, i) => i % 9 === 0 || i % 9 === 4);
  const pairs = Array.from({ length: bonds.length / 2 }, (_, i) =>
    [bonds[2 * i], bonds[2 * i + 1]].sort((a, b) => a - b).join(),
  );
  return `${atoms} ${pairs.sort()}`;
}

describe("against bonds that are known", () => {
  let root = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(root, "package.json"))) root = dirname(root);

  test("the embedded molecules: the same skeletons and hydrogens", () => {
    // Molecules that keep a hydrogen atom for the stereo of their C=NH differ in which atoms there are.
    const alike = (given: Molecule, guessed: Molecule) =>
      given.atomFeatures.length !== guessed.atomFeatures.length || skeleton(given) === skeleton(guessed);
    compare(join(root, "data/nci-xtb/nci-xtb.sdf.gz"), 400, alike);
  });

  const openff = join(root, "../shared/data/openff-industry/qm-03.sdf.gz");
  test("OpenFF: the same structures, ions and stereo included", {
    skip: existsSync(openff) ? false : "no ../shared/data",
  }, () => {
    compare(openff, 200, (given, guessed) => given.structureKey === guessed.structureKey);
  });
});
