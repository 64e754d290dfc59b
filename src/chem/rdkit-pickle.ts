// Reads RDKit's binary molecule pickle: the only output of its WebAssembly build that holds every feature and exact coordinates.
import { MoleblendError } from "../errors.js";

/** What RDKit knows of a molecule, numbered as RDKit numbers it. */
export interface PickledMolecule {
  readonly atoms: number;
  readonly bonds: number;
  /** [atoms]; 0 for dummies */
  readonly atomicNumber: Uint8Array;
  /** RDKit `Atom::ChiralType`. [atoms] */
  readonly chirality: Uint8Array;
  /** [atoms] */
  readonly charge: Int8Array;
  /** RDKit `Atom::HybridizationType`. [atoms] */
  readonly hybridization: Uint8Array;
  /** Hydrogens that are not atoms of their own. [atoms] */
  readonly hydrogens: Uint8Array;
  /** [atoms] */
  readonly radicalElectrons: Uint8Array;
  /** Mass number where one was given, else 0. [atoms] */
  readonly isotope: Uint16Array;
  /** 1 where the text fixes the hydrogens (brackets in SMILES), so that none are implied. [atoms] */
  readonly noImplicit: Uint8Array;
  /** 0 or 1. [atoms] */
  readonly aromatic: Uint8Array;
  /** 0 or 1. [atoms] */
  readonly inRing: Uint8Array;
  /** Begin and end atom. [bonds, 2] */
  readonly bondAtoms: Uint16Array;
  /** RDKit `Bond::BondType`. [bonds] */
  readonly bondType: Uint8Array;
  /** RDKit `Bond::BondStereo`. [bonds] */
  readonly bondStereo: Uint8Array;
  /** 0 or 1. [bonds] */
  readonly conjugated: Uint8Array;
  /** The first conformer, or null. Coordinates in Å, [atoms, 3]. `is3D` is RDKit's judgement. */
  readonly conformer: { readonly is3D: boolean; readonly positions: Float64Array } | null;
}

/** Options for `RdkitMolecule.get_as_uint8array` that make the pickle this reader reads: float64 coordinates, no properties. */
export const PICKLE_OPTIONS = '{"propertyFlags":{"CoordsAsDouble":true}}';

/** Pickle versions that were checked against RDKit field by field (the format of 16.x is RDKit's `MolPickler.cpp`). */
const SUPPORTED_VERSION = { major: 16, minor: 4 } as const;

/** A pickle that is cut off or holds something this reader does not know. */
export class PickleError extends MoleblendError {}

/** Marks in the byte stream (RDKit `MolPickler::Tags`). */
const Tag = {
  beginAtom: 1,
  beginBond: 11,
  beginRings: 20,
  endMolecule: 22,
  atomMap: 24,
  beginQuery: 25,
  queryValue: 26,
  queryNegated: 27,
  queryChildren: 28,
  queryAnd: 30,
  queryOr: 31,
  queryXor: 32,
  queryEquals: 33,
  queryLessEqual: 37,
  queryRange: 38,
  querySet: 39,
  queryNull: 40,
  queryAtomRing: 41,
  endQuery: 43,
  dummyLabel: 44,
  substanceGroup: 61,
  stereoGroup: 62,
  conformersDouble: 64,
  queryTypeLabel: 65,
  beginSymmetricRings: 66,
  beginFastRings: 67,
  beginOtherRings: 68,
  queryProperty: 69,
} as const;

const SP3 = 4;
const SINGLE = 1;

/** A place in the bytes that moves on as values are read. All numbers are little-endian. */
class Cursor {
  private readonly view: DataView;
  at = 0;
  /** Atom indices take one byte, or four in molecules of more than 255 atoms. */
  wide = false;

  constructor(readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  uint8(): number {
    if (this.at >= this.bytes.length) throw new PickleError(`RDKit pickle: ends at byte ${this.at}, expected more`);
    return this.bytes[this.at++];
  }

  int32(): number {
    if (this.at + 4 > this.bytes.length) throw new PickleError(`RDKit pickle: ends at byte ${this.at}, expected more`);
    const value = this.view.getInt32(this.at, true);
    this.at += 4;
    return value;
  }

  peekInt32(at: number): number {
    if (at < 0 || at + 4 > this.bytes.length) throw new PickleError(`RDKit pickle: no number at byte ${at}`);
    return this.view.getInt32(at, true);
  }

  index(): number {
    return this.wide ? this.int32() : this.uint8();
  }

  float64At(at: number): number {
    return this.view.getFloat64(at, true);
  }

  skip(bytes: number): void {
    if (bytes < 0 || this.at + bytes > this.bytes.length) {
      throw new PickleError(`RDKit pickle: ${bytes} bytes at byte ${this.at} do not lie within it`);
    }
    this.at += bytes;
  }

  skipString(): void {
    this.skip(this.int32());
  }

  expect(tag: number, what: string): void {
    const got = this.uint8();
    if (got !== tag) {
      throw new PickleError(`RDKit pickle: expected ${what} (tag ${tag}) at byte ${this.at - 1}, got tag ${got}`);
    }
  }
}

/**
 * Reads a pickle made with `PICKLE_OPTIONS`.
 *
 * @throws MoleblendError if the pickle is of a version this reader was not checked against.
 * @throws PickleError if it is cut off or holds a recursive query or monomer records.
 */
export function readPickle(bytes: Uint8Array): PickledMolecule {
  const cursor = new Cursor(bytes);
  readHeader(cursor);
  const atoms = cursor.int32();
  const bonds = cursor.int32();
  if (atoms > 0xffff) throw new PickleError(`RDKit pickle: ${atoms} atoms, at most ${0xffff} can be numbered`);
  // Every atom and bond takes more than one byte: larger counts come from damage.
  if (atoms < 0 || bonds < 0 || atoms + bonds > bytes.length) {
    throw new PickleError(`RDKit pickle: ${atoms} atoms and ${bonds} bonds do not fit in its ${bytes.length} bytes`);
  }
  cursor.wide = atoms > 255;
  cursor.uint8();
  const molecule = emptyMolecule(atoms, bonds);
  cursor.expect(Tag.beginAtom, "the atoms");
  for (let atom = 0; atom < atoms; atom++) readAtom(cursor, molecule, atom);
  cursor.expect(Tag.beginBond, "the bonds");
  for (let bond = 0; bond < bonds; bond++) readBond(cursor, molecule, bond);
  const next = readRings(cursor, molecule.inRing);
  return { ...molecule, conformer: readConformer(cursor, next, atoms) };
}

function readHeader(cursor: Cursor): void {
  const magic = cursor.int32() >>> 0;
  if (magic !== 0xdeadbeef)
    throw new PickleError(`RDKit pickle: expected magic number deadbeef, got ${magic.toString(16)}`);
  cursor.int32();
  const major = cursor.int32();
  const minor = cursor.int32();
  cursor.int32();
  if (major !== SUPPORTED_VERSION.major || minor !== SUPPORTED_VERSION.minor) {
    const { major: wantedMajor, minor: wantedMinor } = SUPPORTED_VERSION;
    throw new MoleblendError(
      `RDKit pickle: expected version ${wantedMajor}.${wantedMinor} (@rdkit/rdkit 2026.9.1), got ${major}.${minor}`,
    );
  }
}

type MoleculeArrays = Omit<PickledMolecule, "conformer">;

/** Zeroed arrays in one block of memory, which is much faster to get than a dozen; what outlives the rest stands alone. */
function emptyMolecule(atoms: number, bonds: number): MoleculeArrays {
  const block = new ArrayBuffer(11 * atoms + 3 * bonds);
  const ofAtoms = (place: number) => new Uint8Array(block, place * atoms, atoms);
  const ofBonds = (place: number) => new Uint8Array(block, 11 * atoms + place * bonds, bonds);
  return {
    atoms,
    bonds,
    isotope: new Uint16Array(block, 0, atoms),
    atomicNumber: ofAtoms(2),
    chirality: ofAtoms(3),
    charge: new Int8Array(block, 4 * atoms, atoms),
    hybridization: ofAtoms(5),
    hydrogens: ofAtoms(6),
    radicalElectrons: ofAtoms(7),
    noImplicit: ofAtoms(8),
    aromatic: ofAtoms(9),
    inRing: ofAtoms(10),
    bondAtoms: new Uint16Array(bonds * 2),
    bondType: ofBonds(0),
    bondStereo: ofBonds(1),
    conjugated: ofBonds(2),
  };
}

function readAtom(cursor: Cursor, out: MoleculeArrays, atom: number): void {
  out.atomicNumber[atom] = cursor.uint8();
  const flags = cursor.uint8();
  const present = cursor.int32();
  if (present & 2) out.charge[atom] = cursor.uint8();
  if (present & 4) out.chirality[atom] = cursor.uint8();
  out.hybridization[atom] = present & 8 ? cursor.uint8() : SP3;
  let hydrogens = present & 16 ? cursor.uint8() : 0;
  if (present & 32) cursor.uint8(); // explicit valence
  if (present & 64) hydrogens += cursor.uint8(); // implicit valence
  out.hydrogens[atom] = hydrogens;
  if (present & 128) out.radicalElectrons[atom] = cursor.uint8();
  if (present & 256) out.isotope[atom] = cursor.int32();
  out.aromatic[atom] = (flags >> 6) & 1;
  out.noImplicit[atom] = (flags >> 5) & 1;
  if (flags & 16) skipQuery(cursor);
  if (flags & 8) {
    cursor.expect(Tag.atomMap, "an atom map number");
    if (cursor.uint8() === 255) cursor.int32();
  }
  if (flags & 4) {
    cursor.expect(Tag.dummyLabel, "a dummy label");
    cursor.skipString();
  }
  if (flags & 2) throw new PickleError("RDKit pickle: monomer records are not supported");
}

function readBond(cursor: Cursor, out: MoleculeArrays, bond: number): void {
  out.bondAtoms[2 * bond] = cursor.index();
  out.bondAtoms[2 * bond + 1] = cursor.index();
  const flags = cursor.uint8();
  out.bondType[bond] = flags & 8 ? cursor.uint8() : SINGLE;
  if (flags & 4) cursor.uint8(); // direction of the wedge or slash
  if (flags & 2) {
    out.bondStereo[bond] = cursor.uint8();
    for (let rest = cursor.uint8(); rest > 0; rest--) cursor.index();
  }
  out.conjugated[bond] = (flags >> 5) & 1;
  if (flags & 16) skipQuery(cursor);
  if (flags & 1) {
    cursor.skipString(); // V3000 ENDPTS
    cursor.skipString(); // V3000 ATTACH
  }
}

/** Passes over the query of a query atom or bond: its plain features stand beside it. */
function skipQuery(cursor: Cursor): void {
  cursor.expect(Tag.beginQuery, "a query");
  skipQueryNode(cursor);
  cursor.expect(Tag.endQuery, "the end of a query");
}

function skipQueryNode(cursor: Cursor): void {
  cursor.skipString();
  let kind = cursor.uint8();
  if (kind === Tag.queryTypeLabel) {
    cursor.skipString();
    kind = cursor.uint8();
  }
  if (kind === Tag.queryNegated) kind = cursor.uint8();
  if ((kind >= Tag.queryEquals && kind <= Tag.queryLessEqual) || kind === Tag.queryAtomRing) {
    cursor.expect(Tag.queryValue, "a query value");
    cursor.skip(8);
  } else if (kind === Tag.queryRange) {
    cursor.expect(Tag.queryValue, "a query range");
    cursor.skip(13);
  } else if (kind === Tag.querySet) {
    cursor.expect(Tag.queryValue, "a query set");
    cursor.skip(4 * cursor.int32());
  } else if (kind === Tag.queryProperty) {
    cursor.expect(Tag.queryValue, "a query property");
    cursor.skipString();
  } else if (kind !== Tag.queryAnd && kind !== Tag.queryOr && kind !== Tag.queryXor && kind !== Tag.queryNull) {
    throw new PickleError(`RDKit pickle: query of unknown kind (tag ${kind}) at byte ${cursor.at - 1}`);
  }
  cursor.expect(Tag.queryChildren, "the children of a query");
  for (let rest = cursor.uint8(); rest > 0; rest--) skipQueryNode(cursor);
}

/** Marks ring atoms; returns the tag that follows the rings. */
function readRings(cursor: Cursor, inRing: Uint8Array): number {
  const tag = cursor.uint8();
  const isRings =
    tag === Tag.beginRings ||
    tag === Tag.beginSymmetricRings ||
    tag === Tag.beginFastRings ||
    tag === Tag.beginOtherRings;
  if (!isRings) return tag;
  for (let rings = cursor.int32(); rings > 0; rings--) {
    for (let size = cursor.index(); size > 0; size--) inRing[cursor.index()] = 1;
  }
  return cursor.uint8();
}

/**
 * The conformers are the last block before the end mark. After substance or stereo groups, which vary in form, it is
 * found from the end: its size follows from the number of conformers, and its own length field confirms the place.
 */
function readConformer(cursor: Cursor, next: number, atoms: number): PickledMolecule["conformer"] {
  const end = cursor.bytes.length - 1;
  if (cursor.bytes[end] !== Tag.endMolecule) throw new PickleError("RDKit pickle: its end mark is missing");
  const header = cursor.wide ? 9 : 6; // is3D, id, number of atoms
  const size = header + atoms * 24;
  let block = cursor.at - 1;
  if (next === Tag.substanceGroup || next === Tag.stereoGroup) {
    block = findConformerBlock(cursor, end, size);
  } else if (next !== Tag.conformersDouble) {
    throw new PickleError(
      `RDKit pickle: expected conformers (tag ${Tag.conformersDouble}) at byte ${block}, got tag ${next}`,
    );
  }
  const conformers = cursor.peekInt32(block + 5);
  if (conformers === 0) return null;
  const start = block + 9 + header;
  if (start + atoms * 24 > end) throw new PickleError("RDKit pickle: its conformer is cut off");
  const positions = new Float64Array(atoms * 3);
  for (let i = 0; i < positions.length; i++) positions[i] = cursor.float64At(start + 8 * i);
  return { is3D: cursor.bytes[block + 9] !== 0, positions };
}

function findConformerBlock(cursor: Cursor, end: number, size: number): number {
  for (let conformers = 0; ; conformers++) {
    const block = end - 4 - conformers * size - 5;
    if (block < cursor.at - 1) throw new PickleError("RDKit pickle: found no conformers after its groups");
    const fits =
      cursor.bytes[block] === Tag.conformersDouble &&
      cursor.peekInt32(block + 1) === end - block - 5 &&
      cursor.peekInt32(block + 5) === conformers;
    if (fits) return block;
  }
}
