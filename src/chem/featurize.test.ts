// Featurization against OGB's own output, hand-worked molecules, real files, and text that makes no sense.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { MoleculeError } from "../errors.js";
import { featurize } from "./featurize.js";
import { atomCount, type Molecule, type RawRecord } from "./molecule.js";
import { loadRdkit } from "./rdkit.js";

const root = projectRoot();
const rdkit = await loadRdkit();
const options = { hydrogens: false, maxAtoms: 512 };

function projectRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

function record(text: string, format: RawRecord["format"] = "smiles"): RawRecord {
  return {
    format,
    text,
    name: "",
    file: "test.smi",
    line: 7,
    record: 3,
    properties: { gap: "1.5", note: "x", empty: "" },
  };
}

function molecule(text: string, format: RawRecord["format"] = "smiles", more = {}): Molecule {
  return featurize(rdkit, record(text, format), { ...options, ...more }).molecule;
}

function rows(values: ArrayLike<number>, width: number): number[][] {
  return Array.from({ length: values.length / width }, (_, i) => Array.from(values).slice(i * width, (i + 1) * width));
}

/** V2000 block; coordinates are given as 30-character fields or as numbers. */
function molBlock(
  atoms: readonly (readonly [string, string | readonly number[]])[],
  bonds: readonly number[][],
  flag = "3D",
) {
  const count = (n: number) => String(n).padStart(3);
  const lines = [
    "a name",
    "  program".padEnd(20) + flag,
    "",
    `${count(atoms.length)}${count(bonds.length)}  0  0  0  0  0  0  0  0999 V2000`,
  ];
  for (const [element, at] of atoms) {
    const fields = typeof at === "string" ? at : at.map((value) => value.toFixed(4).padStart(10)).join("");
    lines.push(`${fields} ${element.padEnd(3)} 0  0  0  0  0  0  0  0  0  0  0  0`);
  }
  for (const [begin, end, order] of bonds) lines.push(`${count(begin)}${count(end)}${count(order)}  0`);
  return [...lines, "M  END", ""].join("\n");
}

/** SMILES where hydrogens are folded, or where RDKit's first look at the stereochemistry takes some of it away. */
const NEEDS_WHOLE_PERCEPTION = [
  ...["[H]OC([2H])C", "[D]C(C)O", "[#1]C", "C[C@]([H])(F)Cl", "[H][H]", "F/C=C/[H]", "C[CH2:3]O |atomProp:0.a.b|"],
  "COC1=CC=C2N=CC=C([C@@H](O)[C@@H]3C[C@@H]4CC[N@]3C[C@@H]4C=C)C2=C1",
  "CC1=C2NC(\\C=C3/N=C(/C=C4\\N\\C(=C/C5=N/C(=C\\2)/C(C=C)=C5C)C(C=C)=C4C)C(C)=C3CCC([O-])=O)=C1CCC([O-])=O",
];

test("options with which RDKit does less work give the same molecules as the full ones", () => {
  const golden = readFileSync(join(root, "test/golden/featurize/molecules.jsonl"), "utf8").trim().split("\n");
  const smiles = golden.map((line) => (JSON.parse(line) as { smiles: string }).smiles);
  const asked: string[] = [];
  const spy = {
    ...rdkit,
    parse: (text: string, details?: string) => rdkit.parse(text, asked[asked.push(`${details}`) - 1]),
  };
  const full = { ...rdkit, parse: (text: string) => rdkit.parse(text, '{"removeHs":true}') };
  const get = (by: typeof rdkit, text: string) => {
    try {
      return featurize(by, record(text), options).molecule;
    } catch (error) {
      return String(error);
    }
  };
  for (const text of [...smiles, ...NEEDS_WHOLE_PERCEPTION]) assert.deepEqual(get(spy, text), get(full, text), text);
  const least = asked.filter((details) => details.includes("assignStereo")).length;
  assert.ok(least > asked.length / 2, `${least} of ${asked.length} without stereochemistry`);
  assert.ok(asked.slice(-NEEDS_WHOLE_PERCEPTION.length).every((details) => details === '{"removeHs":true}'));
});

/** Molecules whose perception changed between the reference's RDKit 2022.09 and 2026.09. */
const CHANGED_SINCE_REFERENCE: Readonly<Record<string, string>> = {
  "N->[Pt](Cl)(Cl)<-N": "hybridization of atoms that give a dative bond",
  "C1(N2CCCC2)=[Pd]C=C1": "conjugation through metals",
  "CCCCN(CCCC)C1=[S+][Zn]2(S1)SC(=[S+]2)N(CCCC)CCCC": "conjugation through metals",
  "CC1=[O+][Al]23([O+]=C(C)C1)([O+]=C(C)CC(=[O+]2)C)[O+]=C(C)CC(=[O+]3)C": "refused: neutral aluminium with six bonds",
  "CCCCCCCCCCCCCCCC[N+](C)(C)CC1=CC=CC=C1.F[P](F)(F)(F)(F)F": "refused: neutral phosphorus with six bonds",
};
const ACCEPTED_SINCE_REFERENCE = new Set(["Cl[Pt](Cl)([NH3])[NH3]", "[NH3][Pt](Cl)(Cl)[NH3]", "F[Si-2](F)(F)(F)(F)F"]);

describe("against OGB", () => {
  const lines = readFileSync(join(root, "test/golden/featurize/molecules.jsonl"), "utf8").trim().split("\n");

  test("atoms, bonds and their order", () => {
    let compared = 0;
    for (const line of lines) {
      const expected = JSON.parse(line) as { smiles: string; atoms: number[][]; bonds: number[][] };
      if (CHANGED_SINCE_REFERENCE[expected.smiles]) continue;
      const got = molecule(expected.smiles);
      assert.deepEqual(rows(got.atomFeatures, 9), expected.atoms, expected.smiles);
      const bonds = rows(got.bonds, 2).map((pair, i) => [...pair, ...rows(got.bondFeatures, 3)[i]]);
      assert.deepEqual(bonds, expected.bonds, expected.smiles);
      compared++;
    }
    assert.equal(compared, lines.length - Object.keys(CHANGED_SINCE_REFERENCE).length);
  });

  test("what the reference rejects is rejected", () => {
    const texts = JSON.parse(readFileSync(join(root, "test/golden/featurize/unparsable.json"), "utf8")) as string[];
    for (const text of texts) {
      if (ACCEPTED_SINCE_REFERENCE.has(text)) continue;
      assert.throws(() => molecule(text), { name: "MoleculeError", code: "unparsable-smiles" }, text);
    }
  });
});

describe("single molecules", () => {
  test("exotic atoms and bonds never throw", () => {
    const texts = [
      "*C",
      "[*:5]CC",
      "C~C",
      "N->[Fe]",
      "[2H]C([2H])([2H])O",
      "[13CH3:300]O",
      "[Og]",
      "[Fe+6]",
      "[CH3]",
      "C$C",
      "[#6]",
    ];
    for (const text of [...texts, "C[C@H](F)Cl |o1:1|", "CC |$R1;$|", "[H][H]", "[H+]"])
      assert.ok(atomCount(molecule(text)) > 0, text);
    assert.deepEqual(rows(molecule("*C").atomFeatures, 9)[0].slice(0, 3), [118, 0, 1]);
    assert.equal(molecule("[Fe+6]").atomFeatures[3], 11);
    assert.equal(molecule("N->[Fe]").bondFeatures[0], 4);
  });

  test("query atoms and bonds, and an atom list, of a MOL block", () => {
    const block = molBlock(
      [
        ["A", [0, 0, 0]],
        ["C", [1.5, 0, 0.1]],
        ["R#", [3, 0, 0]],
      ],
      [
        [1, 2, 8],
        [2, 3, 1],
      ],
    );
    assert.deepEqual(
      rows(molecule(block, "mol").bondFeatures, 3).map((row) => row[0]),
      [4, 0],
    );
  });

  test("hydrogens are folded by default, with their coordinates, and kept on request", () => {
    const water = molBlock(
      [
        ["H", [0.9, 0, 0]],
        ["O", [0.1, 0.2, 0.3]],
        ["H", [0, 0.9, 0]],
      ],
      [
        [1, 2, 1],
        [2, 3, 1],
      ],
    );
    const folded = molecule(water, "mol");
    assert.deepEqual([atomCount(folded), ...(folded.positions ?? [])], [1, ...Float32Array.of(0.1, 0.2, 0.3)]);
    assert.equal(folded.atomFeatures[4], 2);
    const kept = molecule(water, "mol", { hydrogens: true });
    assert.equal(atomCount(kept), 3);
    assert.equal(kept.positions?.length, 9);
    assert.notEqual(kept.structureKey, folded.structureKey);
    assert.equal(folded.structureKey, molecule("O").structureKey);
  });

  test("handedness comes from the coordinates", () => {
    const place = [
      [0, 0, 0],
      [0, 0, 1.4],
      [1.6, 0, -0.5],
      [-0.8, 1.4, -0.5],
      [-0.8, -1.4, -0.5],
    ];
    const bonds = [
      [1, 2, 1],
      [1, 3, 1],
      [1, 4, 1],
      [1, 5, 1],
    ];
    const elements = ["C", "F", "Cl", "Br", "I"];
    const keys = [1, -1].map((sign) => {
      const atoms = elements.map((element, i) => [element, place[i].map((v, k) => (k === 0 ? sign * v : v))] as const);
      return molecule(molBlock(atoms, bonds), "mol").structureKey;
    });
    assert.notEqual(keys[0], keys[1]);
    const fromSmiles = ["F[C@](Cl)(Br)I", "F[C@@](Cl)(Br)I"].map((text) => molecule(text).structureKey);
    assert.deepEqual(keys.toSorted(), fromSmiles.toSorted());
  });

  test("V3000 gives what V2000 gives, unreadable coordinates included", () => {
    const held = rdkit.parse("C[C@H](N)/C=C/O |(0,0,0;1.5,0,0.1;2,1.4,0;2,-0.7,1.2;3.3,-0.7,1.4;4,0.3,2)|");
    const [v2000, v3000] = [held.get_molblock(), held.get_v3Kmolblock()];
    held.delete();
    assert.match(v3000, /V3000/);
    const [old, young] = [molecule(v2000, "mol"), molecule(v3000, "mol")];
    assert.deepEqual(young, old);
    assert.ok(young.positions);
    const damaged = featurize(rdkit, record(v3000.replace(/1 C 0\.?0* /, "1 C nan "), "mol"), options);
    assert.deepEqual(damaged.notes, ["no-3d: coordinates that are not finite numbers"]);
    assert.deepEqual(damaged.molecule.atomFeatures.length, old.atomFeatures.length);
  });

  test("more than 255 atoms, and chains longer than RDKit's own stack holds", () => {
    for (const atoms of [256, 300, 2000]) {
      const long = molecule("C".repeat(atoms), "smiles", { maxAtoms: 5000 });
      assert.equal(atomCount(long), atoms);
      assert.deepEqual(Array.from(long.bonds.slice(-2)), [atoms - 2, atoms - 1]);
    }
    assert.throws(() => molecule("C".repeat(3_000_000)), { code: "too-many-atoms" });
    assert.throws(() => molecule(`${"C(".repeat(40_000)}C${")".repeat(40_000)}`), { code: "too-many-atoms" });
    assert.equal(atomCount(molecule("CCO")), 3);
  });

  test("errors say where and why", () => {
    const error = (text: string, format: RawRecord["format"], more = {}) => {
      try {
        molecule(text, format, more);
      } catch (thrown) {
        if (thrown instanceof MoleculeError) return [thrown.code, thrown.message];
        throw thrown;
      }
      return [];
    };
    assert.deepEqual(error("C1CC", "smiles"), [
      "unparsable-smiles",
      "test.smi:7 (record 3): SMILES Parse Error: unclosed ring for input: 'C1CC'",
    ]);
    assert.equal(error("  ", "smiles")[0], "empty-line");
    assert.equal(error("CCCC", "smiles", { maxAtoms: 3 })[1], "test.smi:7 (record 3): 4 atoms, at most 3 are allowed");
    assert.equal(error(molBlock([], []), "mol")[0], "no-atoms");
    assert.equal(error("garbage\n\n\n", "mol")[0], "unparsable-record");
  });

  test("labels are numbers or NaN", () => {
    assert.deepEqual(molecule("C", "smiles", { labels: ["gap", "note", "empty", "absent"] }).labels, {
      gap: 1.5,
      note: Number.NaN,
      empty: Number.NaN,
      absent: Number.NaN,
    });
  });
});

describe("records without usable coordinates", () => {
  const bond = [[1, 2, 1]];
  const cases: readonly (readonly [string, string, string])[] = [
    [
      "all zero",
      molBlock(
        [
          ["C", [0, 0, 0]],
          ["O", [0, 0, 0]],
        ],
        bond,
      ),
      "no-3d: all coordinates are zero",
    ],
    [
      "2D depiction",
      molBlock(
        [
          ["C", [0, 0, 0]],
          ["O", [1.5, 0, 0]],
        ],
        bond,
        "2D",
      ),
      "no-3d: a 2D depiction",
    ],
    [
      "NaN",
      molBlock(
        [
          ["C", "       nan       nan       nan"],
          ["O", [1, 0, 0]],
        ],
        bond,
      ),
      "no-3d: coordinates that are not finite numbers",
    ],
    [
      "overflow",
      molBlock(
        [
          ["C", [0, 0, 1]],
          ["O", "**********    0.0000    0.0000"],
        ],
        bond,
      ),
      "no-3d: coordinates that are not finite numbers",
    ],
  ];
  for (const [name, block, note] of cases) {
    test(name, () => {
      const result = featurize(rdkit, record(block, "mol"), options);
      assert.deepEqual(result.notes, [note]);
      assert.equal(result.molecule.positions, null);
      assert.equal(result.molecule.structureKey, molecule("CO").structureKey);
    });
  }

  test("a molecule in a plane keeps its coordinates", () => {
    assert.equal(
      molecule(
        molBlock(
          [
            ["C", [0, 0, 0]],
            ["O", [1.4, 0, 0]],
          ],
          bond,
        ),
        "mol",
      ).positions?.[3],
      Math.fround(1.4),
    );
  });

  test("coordinates of CXSMILES", () => {
    const cx = "CO |(0.5,0,0.1;1.5,0.25,0)|";
    assert.deepEqual(Array.from(molecule(cx).positions ?? []), Array.from(Float32Array.of(0.5, 0, 0.1, 1.5, 0.25, 0)));
  });
});

describe("XYZ with bonds", () => {
  const xyz = (comment: string, atoms: readonly string[]) => [String(atoms.length), comment, ...atoms].join("\n");
  const methanol = ["C 0 0 0", "O 1.4 0 0.1", "H 0 1 0", "H 0 -1 0", "H -1 0 0", "H 1.7 0.9 0"];

  test("bonds and hydrogens", () => {
    const text = xyz('energy=1 bonds="0-1:1 0-2:1 0-3 0-4:1 1-5:1" charge=0', methanol);
    const got = molecule(text, "xyz");
    assert.equal(got.structureKey, molecule("CO").structureKey);
    assert.equal(got.positions?.[3], Math.fround(1.4));
  });

  test("formal charges follow from bonds and must sum up", () => {
    const nitro = ["N 0 0 0", "O 1 0 0", "O 0 1 0", "C 0 0 1.5", "H 1 0 2", "H 0 1 2", "H -1 0 2"];
    const bonds = 'bonds="0-1:2 0-2:1 0-3:1 3-4:1 3-5:1 3-6:1"';
    assert.equal(molecule(xyz(bonds, nitro), "xyz").structureKey, molecule("C[N+](=O)[O-]").structureKey);
    assert.throws(
      () => molecule(xyz(`${bonds} charge=-1`, nitro), "xyz"),
      /charge=-1, but the formal charges .* sum up to 0/,
    );
    const hydroxide = xyz('bonds="0-1:1" charges="0:-1" charge=-1', ["O 0 0 0", "H 1 0 0"]);
    assert.equal(molecule(hydroxide, "xyz").structureKey, molecule("[OH-]").structureKey);
  });

  test("aromatic orders and radicals", () => {
    const ring = Array.from({ length: 6 }, (_, i) => [Math.cos((i * Math.PI) / 3), Math.sin((i * Math.PI) / 3)]);
    const atoms = [...ring.map(([x, y]) => `c ${x} ${y} 0`), ...ring.map(([x, y]) => `H ${2 * x} ${2 * y} 0`)];
    const bonds = ring.map((_, i) => `${i}-${(i + 1) % 6}:1.5 ${i}-${i + 6}:1`).join(" ");
    assert.equal(molecule(xyz(`bonds="${bonds}"`, atoms), "xyz").structureKey, molecule("c1ccccc1").structureKey);
    const methyl = xyz('bonds="0-1 0-2 0-3"', ["C 0 0 0", "H 1 0 0", "H 0 1 0", "H 0 0 1"]);
    assert.equal(molecule(methyl, "xyz").atomFeatures[5], 1);
  });

  test("what is wrong is said", () => {
    const reasons: readonly (readonly [string, RegExp])[] = [
      [xyz("", methanol), /no bonds given/],
      [xyz('bonds="0-9:1"', methanol), /expected a bond like 0-1:1 between atoms below 6, got "0-9:1"/],
      [xyz('bonds="0-1:1"', ["C 0 0 0", "O 1 x 0"]), /expected "element x y z" for atom 1/],
      ["3\nbonds=0-1\nC 0 0 0", /ends after 1 of 3 atoms/],
      ["three\n", /expected the number of atoms, got "three"/],
      ["0\n\n", /no atoms/],
    ];
    for (const [text, reason] of reasons) assert.throws(() => molecule(text, "xyz"), reason);
  });
});

describe("text that makes no sense gives a molecule or a MoleculeError", () => {
  function survives(text: string, format: RawRecord["format"]): void {
    try {
      molecule(text, format);
    } catch (error) {
      assert.ok(error instanceof MoleculeError, String(error));
    }
  }
  const smilesLike = fc.string({ unit: fc.constantFrom(..."CNOcno()[]=#123%@/\\+-.HF*~$:&;l |,"), maxLength: 40 });
  const sound = molBlock(
    [
      ["C", [0, 0, 0]],
      ["N", [1, 0, 0.5]],
      ["O", [2, 1, 0]],
    ],
    [
      [1, 2, 1],
      [2, 3, 2],
    ],
  );

  test("SMILES", () => {
    fc.assert(
      fc.property(fc.oneof(smilesLike, fc.string(), fc.string({ unit: "binary" })), (text) => survives(text, "smiles")),
      {
        numRuns: 1000,
      },
    );
  });

  test("mutated MOL blocks", () => {
    const edit = fc.tuple(fc.nat(sound.length), fc.nat(6), fc.string({ maxLength: 6 }));
    const mutate = (text: string, [at, cut, put]: readonly [number, number, string]) =>
      text.slice(0, at) + put + text.slice(at + cut);
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) =>
        survives(edits.reduce(mutate, sound), "mol"),
      ),
      {
        numRuns: 1000,
      },
    );
  });

  test("XYZ", () => {
    const line = fc.oneof(
      fc.constantFrom("3", "2", "C 0 0 0", "H 1 0 0", 'bonds="0-1:2"', ""),
      fc.string({ maxLength: 20 }),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 6 }), (lines) => survives(lines.join("\n"), "xyz")),
      { numRuns: 500 },
    );
  });

  test("RDKit still works afterwards", () => assert.equal(atomCount(molecule("c1ccccc1O")), 7));
});

test("memory stays flat over 20,000 molecules", () => {
  const texts = readFileSync(join(root, "test/golden/featurize/molecules.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { smiles: string }).smiles)
    .filter((smiles) => smiles.length < 60);
  const round = (molecules: number) => {
    for (let i = 0; i < molecules; i++) {
      try {
        molecule(texts[i % texts.length]);
      } catch (error) {
        assert.ok(error instanceof MoleculeError);
      }
    }
    return process.memoryUsage().rss;
  };
  const before = round(4000);
  const after = round(20_000);
  // Undeleted molecules of this size would cost about 300 MB.
  assert.ok(after - before < 60e6, `grew by ${Math.round((after - before) / 1e6)} MB`);
});

const openff = join(root, "../shared/data/openff-industry/qm-00.sdf.gz");
test("conformers of OpenFF share the key of their SMILES", {
  skip: existsSync(openff) ? false : "no ../shared/data",
}, () => {
  const records = gunzipSync(readFileSync(openff)).toString("utf8").split("$$$$\n").slice(0, 400);
  let same = 0;
  for (const text of records) {
    const smiles = />\s*<SMILES QCArchive>\r?\n(.*)/.exec(text)?.[1] ?? "";
    const got = molecule(text.slice(0, text.indexOf("M  END") + 7), "mol");
    assert.ok(got.positions);
    if (got.structureKey === molecule(smiles).structureKey) same++;
  }
  // The rest have centres whose handedness their SMILES leaves open and their coordinates fix.
  assert.ok(same >= records.length * 0.95, `${same} of ${records.length}`);
});
