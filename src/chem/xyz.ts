// XYZ text with bonds given in its comment line, or perceived → V3000 MOL block, which RDKit reads.
import { MoleculeError, type SourceLocation } from "../errors.js";
import { perceiveBonds } from "./perceive-bonds.js";

interface XyzAtom {
  readonly element: string;
  readonly position: readonly [string, string, string];
}

interface XyzBond {
  readonly begin: number;
  readonly end: number;
  /** 1, 2, 3 or 1.5 (aromatic) */
  readonly order: number;
}

/** A MOL block and what was assumed to write it. */
export interface XyzConversion {
  readonly molBlock: string;
  readonly notes: readonly string[];
}

/**
 * Formal charge that an atom carries when its bond orders sum up to something other than its usual valence. Atoms not listed
 * here are left neutral, as radicals or with RDKit's judgement of their valence.
 */
const CHARGE_BY_VALENCE: Readonly<Record<string, Readonly<Record<number, number>>>> = {
  B: { 4: -1 },
  N: { 2: -1, 4: 1 },
  O: { 1: -1, 3: 1 },
  P: { 4: 1 },
  S: { 1: -1, 3: 1 },
  F: { 0: -1 },
  Cl: { 0: -1 },
  Br: { 0: -1 },
  I: { 0: -1 },
  H: { 0: 1 },
  Li: { 0: 1 },
  Na: { 0: 1 },
  K: { 0: 1 },
  Mg: { 0: 2 },
  Ca: { 0: 2 },
  Zn: { 0: 2 },
};

/**
 * Converts one XYZ record: a line with the number of atoms, a comment line, one line `element x y z` (Å) an atom. The comment
 * holds extended-XYZ keys: `bonds="0-1:1 1-2:1.5"` (atoms from 0; or `bonds="perceive"`; required for more than one atom unless `perceive` is set), `charges="3:1 7:-1"`
 * (formal charges, atoms from 0), `charge=0` (their sum, checked).
 *
 * All atoms are taken to be there, hydrogens included; a record without any hydrogen gets those that RDKit implies.
 *
 * @param perceive guess the bonds where none are given (see `perceiveBonds`); the total charge is that of the comment, or 0
 * @throws MoleculeError where the record is cut off, malformed, has no bonds, or its charges do not sum up.
 */
export function xyzToMolBlock(text: string, location: SourceLocation, perceive = false): XyzConversion {
  const fail = (reason: string): never => {
    throw new MoleculeError("unparsable-record", `XYZ: ${reason}`, location);
  };
  const lines = text.split(/\r\n|\n|\r/);
  const count = /^\s*\d+\s*$/.test(lines[0])
    ? Number(lines[0])
    : fail(`expected the number of atoms, got ${quote(lines[0])}`);
  if (count === 0) throw new MoleculeError("no-atoms", "XYZ: the record has no atoms", location);
  const comment = lines[1] ?? "";
  const atoms: XyzAtom[] = [];
  for (let i = 0; i < count; i++) {
    const line = lines[i + 2];
    if (line === undefined || line.trim() === "") {
      throw new MoleculeError("truncated-record", `XYZ: ends after ${i} of ${count} atoms`, location);
    }
    atoms.push(parseAtom(line) ?? fail(`expected "element x y z" for atom ${i}, got ${quote(line)}`));
  }
  const bondText = commentValue(comment, "bonds");
  if (bondText === "perceive" || (bondText === null && perceive)) return perceived(atoms, comment, fail);
  if (bondText === null && count > 1) {
    fail(
      'no bonds given; put bonds="0-1:1 1-2:2 ..." (atoms from 0, orders 1, 2, 3, 1.5) into the comment line, use SDF, or have bonds perceived (--perceive-bonds)',
    );
  }
  const bonds = (bondText ?? "")
    .split(/[\s,;]+/)
    .filter(Boolean)
    .map((item) => {
      return (
        parseBond(item, count) ?? fail(`expected a bond like 0-1:1 between atoms below ${count}, got ${quote(item)}`)
      );
    });
  return writeMolBlock(atoms, bonds, formalCharges(atoms, bonds, comment, fail));
}

function perceived(atoms: readonly XyzAtom[], comment: string, fail: (reason: string) => never): XyzConversion {
  const total = commentValue(comment, "charge");
  const charge = total === null ? 0 : Number(total);
  if (!Number.isInteger(charge)) fail(`charge=${total}: expected a whole number`);
  const positions = atoms.flatMap(({ position }) => position.map((value) => Number(value.replace(/[dD]/, "e"))));
  const found = perceiveBonds(
    atoms.map((atom) => atom.element),
    positions,
    charge,
  );
  if ("reason" in found) return fail(found.reason);
  const { molBlock } = writeMolBlock(atoms, found.bonds, found.charges, true);
  return { molBlock, notes: ["perceived-bonds: guessed from the distances of the atoms"] };
}

function quote(text: string | undefined): string {
  return text === undefined ? "the end" : JSON.stringify(text.slice(0, 60));
}

function parseAtom(line: string): XyzAtom | null {
  const [symbol, x, y, z] = line.trim().split(/\s+/);
  if (!/^[A-Za-z]{1,2}$/.test(symbol) || z === undefined) return null;
  const position = [x, y, z] as const;
  const valid = position.every((value) => /^[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?$|^[-+]?(nan|inf)$/i.test(value));
  if (!valid) return null;
  const element = symbol[0].toUpperCase() + symbol.slice(1).toLowerCase();
  return { element, position };
}

function parseBond(item: string, atoms: number): XyzBond | null {
  const match = /^(\d+)-(\d+)(?::(1|2|3|1\.5|1\.0|2\.0|3\.0))?$/.exec(item);
  if (!match) return null;
  const bond = { begin: Number(match[1]), end: Number(match[2]), order: Number(match[3] ?? 1) };
  return bond.begin < atoms && bond.end < atoms && bond.begin !== bond.end ? bond : null;
}

/** The value of `key=value` or `key="a value"` in an extended-XYZ comment line. */
function commentValue(comment: string, key: string): string | null {
  const match = new RegExp(`(?:^|\\s)${key}=(?:"([^"]*)"|(\\S+))`, "i").exec(comment);
  return match ? (match[1] ?? match[2]) : null;
}

function formalCharges(
  atoms: readonly XyzAtom[],
  bonds: readonly XyzBond[],
  comment: string,
  fail: (reason: string) => never,
): readonly number[] {
  const given = commentValue(comment, "charges");
  const charges = atoms.map(() => 0);
  if (given !== null) {
    for (const item of given.split(/[\s,;]+/).filter(Boolean)) {
      const match = /^(\d+):([-+]?\d)$/.exec(item) ?? fail(`expected a charge like 3:-1, got ${quote(item)}`);
      if (Number(match[1]) >= atoms.length) fail(`a charge is for atom ${match[1]} of ${atoms.length}`);
      charges[Number(match[1])] = Number(match[2]);
    }
  } else {
    const valences = sumOrders(atoms.length, bonds);
    const aromatic = new Set(bonds.filter((bond) => bond.order === 1.5).flatMap((bond) => [bond.begin, bond.end]));
    atoms.forEach((atom, i) => {
      if (!aromatic.has(i)) charges[i] = CHARGE_BY_VALENCE[atom.element]?.[valences[i]] ?? 0;
    });
  }
  const total = commentValue(comment, "charge");
  const sum = charges.reduce((a, b) => a + b, 0);
  if (total !== null && Number(total) !== sum) {
    fail(
      `charge=${total}, but the formal charges ${given === null ? "that follow from the bonds" : "given"} sum up to ${sum}; say charges="atom:charge ..."`,
    );
  }
  return charges;
}

function sumOrders(atoms: number, bonds: readonly XyzBond[]): number[] {
  const sums = new Array<number>(atoms).fill(0);
  for (const { begin, end, order } of bonds) {
    sums[begin] += order;
    sums[end] += order;
  }
  return sums;
}

const MOL_ORDER: Readonly<Record<string, number>> = { "1": 1, "2": 2, "3": 3, "1.5": 4 };

function writeMolBlock(
  atoms: readonly XyzAtom[],
  bonds: readonly XyzBond[],
  charges: readonly number[],
  complete = atoms.some((atom) => atom.element === "H"),
): XyzConversion {
  const valences = sumOrders(atoms.length, bonds);
  const lines = ["", "  moleblend         3D", "", "  0  0  0     0  0            999 V3000", "M  V30 BEGIN CTAB"];
  lines.push(`M  V30 COUNTS ${atoms.length} ${bonds.length} 0 0 0`, "M  V30 BEGIN ATOM");
  atoms.forEach(({ element, position }, i) => {
    const charge = charges[i] ? ` CHG=${charges[i]}` : "";
    // VAL keeps RDKit from adding hydrogens that the record does not have; a sum with aromatic halves says too little.
    const whole =
      Number.isInteger(valences[i]) &&
      !bonds.some((bond) => bond.order === 1.5 && (bond.begin === i || bond.end === i));
    const valence = complete && whole ? ` VAL=${valences[i] || -1}` : "";
    const [x, y, z] = position.map((value) => value.replace(/[dD]/, "e"));
    lines.push(`M  V30 ${i + 1} ${element} ${x} ${y} ${z} 0${charge}${valence}`);
  });
  lines.push("M  V30 END ATOM", "M  V30 BEGIN BOND");
  bonds.forEach(({ begin, end, order }, i) => {
    lines.push(`M  V30 ${i + 1} ${MOL_ORDER[String(order)]} ${begin + 1} ${end + 1}`);
  });
  lines.push("M  V30 END BOND", "M  V30 END CTAB", "M  END", "");
  const notes = complete
    ? []
    : ["implicit-hydrogens: the XYZ record has no hydrogens; those that the valences imply count"];
  return { molBlock: lines.join("\n"), notes };
}
