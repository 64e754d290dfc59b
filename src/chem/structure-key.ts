// Names a labelled molecular graph by 64 bits that do not depend on the order of its atoms.
import { distanceSums, type Rows } from "./distance-sums.js";
import { ATOM_FEATURES, BOND_FEATURES } from "./molecule.js";

const CHIRALITY = ATOM_FEATURES.findIndex((feature) => feature.name === "chirality");
const BOND_STEREO = BOND_FEATURES.findIndex((feature) => feature.name === "stereo");
const ATOM_WIDTH = ATOM_FEATURES.length;
const BOND_WIDTH = BOND_FEATURES.length;
const CLOCKWISE = 1;
const COUNTERCLOCKWISE = 2;
/** Stands for either hand until the neighbours' colours tell which. */
const HANDED = 7;

/** Symmetric classes larger than this are not taken apart one member at a time: a cage could cost seconds. */
const MAX_CLASS = 24;
const MAX_DEPTH = 2;

/** Avalanche of a 32-bit word (the finalizer of MurmurHash3). */
function mix(word: number): number {
  let x = word;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return x ^ (x >>> 16);
}

/** The graph in compressed rows; the neighbours of an atom stand in bond order, to which chirality tags refer. */
interface Graph extends Rows {
  readonly bonds: number;
  /** Beside `neighbour`. */
  readonly bondCode: Int32Array;
  /** CLOCKWISE, COUNTERCLOCKWISE or 0. [atoms] */
  readonly tag: Uint8Array;
}

/** Room that every key needs again: a key takes microseconds, of which fresh arrays would be a large part. */
interface Room {
  readonly atoms: number;
  readonly bonds: number;
  readonly start: Int32Array;
  readonly neighbour: Int32Array;
  readonly bondCode: Int32Array;
  readonly tag: Uint8Array;
  readonly low: Int32Array;
  readonly high: Int32Array;
  readonly nextLow: Int32Array;
  readonly nextHigh: Int32Array;
  readonly sums: Int32Array;
  /** Colours that were met and the round in which: open addressing, half empty at least. The length is a power of 2. */
  readonly table: Int32Array;
  readonly rounds: Int32Array;
}

function roomFor(atoms: number, bonds: number): Room {
  const each = () => new Int32Array(atoms);
  const slots = 2 ** Math.ceil(Math.log2(2 * atoms));
  return {
    ...{ atoms, bonds, start: new Int32Array(atoms + 2), tag: new Uint8Array(atoms) },
    ...{ neighbour: new Int32Array(2 * bonds), bondCode: new Int32Array(2 * bonds) },
    ...{ low: each(), high: each(), nextLow: each(), nextHigh: each(), sums: each() },
    ...{ table: new Int32Array(slots), rounds: new Int32Array(slots) },
  };
}

let room = roomFor(64, 80);
/** The round that `room.rounds` was last marked with. */
let round = 0;

/** Two 32-bit colours an atom, and which chiral atoms still await a meaning that does not depend on atom order. */
interface Colouring {
  /** At least one value an atom, like `high`. */
  readonly low: Int32Array;
  readonly high: Int32Array;
  readonly open: number[];
}

/**
 * 16 hex digits, equal for equal labelled graphs whatever the atom order: Weisfeiler-Lehman refinement over all atom and
 * bond features and topological distances to a stable colouring. A chirality tag (clockwise as seen in bond order) becomes the parity of the
 * neighbours in order of colour; where neighbours tie, as in 1,4-dimethylcyclohexane, each tied atom is singled out in
 * turn and the smallest key counts.
 *
 * @param atomFeatures OGB values. [atoms, 9]
 * @param bonds [bonds, 2]
 * @param bondFeatures OGB values. [bonds, 3]
 */
export function structureKey(atomFeatures: Uint8Array, bonds: Uint16Array, bondFeatures: Uint8Array): string {
  const graph = buildGraph(atomFeatures, bonds, bondFeatures);
  const { atoms, tag } = graph;
  const colouring: Colouring = { low: room.low, high: room.high, open: [] };
  for (let atom = 0; atom < atoms; atom++) {
    let low = 0;
    let high = 0x5bd1e995;
    for (let k = 0; k < ATOM_WIDTH; k++) {
      const value = k === CHIRALITY && tag[atom] ? HANDED : atomFeatures[atom * ATOM_WIDTH + k];
      low = mix(low + value + 0x9e3779b9);
      high = Math.imul(high, 0x01000193) ^ value;
    }
    colouring.low[atom] = low;
    colouring.high[atom] = mix(high);
    if (tag[atom]) colouring.open.push(atom);
  }
  addDistances(graph, colouring);
  const key = settle(graph, colouring, 0);
  return (key[0] >>> 0).toString(16).padStart(8, "0") + (key[1] >>> 0).toString(16).padStart(8, "0");
}

/** The same for the graph without stereochemistry: equal for all stereoisomers, whether they are specified or not. */
export function connectivityKey(atomFeatures: Uint8Array, bonds: Uint16Array, bondFeatures: Uint8Array): string {
  const atoms = atomFeatures.slice();
  const stereo = bondFeatures.slice();
  for (let at = CHIRALITY; at < atoms.length; at += ATOM_WIDTH) atoms[at] = 0;
  for (let at = BOND_STEREO; at < stereo.length; at += BOND_WIDTH) stereo[at] = 0;
  return structureKey(atoms, bonds, stereo);
}

function buildGraph(atomFeatures: Uint8Array, bonds: Uint16Array, bondFeatures: Uint8Array): Graph {
  const atoms = atomFeatures.length / ATOM_WIDTH;
  if (atoms > room.atoms || bonds.length > 2 * room.bonds) {
    room = roomFor(Math.max(2 * atoms, room.atoms), Math.max(bonds.length, room.bonds));
    round = 0;
  }
  const { start, neighbour, bondCode, tag } = room;
  start.fill(0, 0, atoms + 2);
  for (let i = 0; i < bonds.length; i++) start[bonds[i] + 2]++;
  for (let atom = 0; atom < atoms; atom++) start[atom + 2] += start[atom + 1];
  for (let bond = 0; 2 * bond < bonds.length; bond++) {
    const code = bondFeatures[bond * BOND_WIDTH] * 64 + bondFeatures[bond * BOND_WIDTH + 1] * 4;
    const mixed = mix(code + bondFeatures[bond * BOND_WIDTH + 2] + 1);
    for (let end = 0; end < 2; end++) {
      const slot = start[bonds[2 * bond + end] + 1]++;
      neighbour[slot] = bonds[2 * bond + 1 - end];
      bondCode[slot] = mixed;
    }
  }
  for (let atom = 0; atom < atoms; atom++) {
    const chirality = atomFeatures[atom * ATOM_WIDTH + CHIRALITY];
    tag[atom] = chirality === CLOCKWISE || chirality === COUNTERCLOCKWISE ? chirality : 0;
  }
  return { atoms, bonds: bonds.length / 2, start, neighbour, bondCode, tag };
}

/** Mixes into each colour what lies at which distance. Neighbourhoods alone cannot tell decalin from bicyclopentyl, or one large ring from two small ones. */
function addDistances(graph: Graph, { low, high }: Colouring): void {
  const { sums } = room;
  distanceSums(graph, low, (colour, distance) => mix(colour + Math.imul(distance, 0x9e3779b1)), sums);
  for (let atom = 0; atom < graph.atoms; atom++) {
    low[atom] = mix(low[atom] + Math.imul(sums[atom], 0x85ebca77));
    high[atom] = mix(high[atom] ^ sums[atom]);
  }
}

/** Refines, gives chirality tags their meaning as far as colours allow, takes ties apart; returns the two key words. */
function settle(graph: Graph, colouring: Colouring, depth: number): readonly [number, number] {
  refine(graph, colouring);
  while (colouring.open.length > 0 && resolveChirality(graph, colouring)) refine(graph, colouring);
  const tied = colouring.open.length > 0 && depth < MAX_DEPTH ? smallestTie(graph, colouring) : [];
  if (tied.length === 0 || tied.length > MAX_CLASS) return summary(graph, colouring);
  let best: readonly [number, number] = [0, 0];
  tied.forEach((atom, turn) => {
    const branch = {
      low: colouring.low.slice(0, graph.atoms),
      high: colouring.high.slice(0, graph.atoms),
      open: colouring.open.slice(),
    };
    branch.low[atom] = mix(branch.low[atom] ^ 0x27d4eb2f);
    const key = settle(graph, branch, depth + 1);
    if (turn === 0 || key[0] < best[0] || (key[0] === best[0] && key[1] < best[1])) best = key;
  });
  return best;
}

/** Weisfeiler-Lehman rounds until the number of colours no longer grows; that last round seals the edges into the colours. */
function refine(graph: Graph, { low, high }: Colouring): void {
  const { atoms, start, neighbour, bondCode } = graph;
  const { nextLow, nextHigh } = room;
  for (let classes = 0; ; ) {
    for (let atom = 0; atom < atoms; atom++) {
      let sumLow = 0;
      let sumHigh = 0;
      for (let slot = start[atom], end = start[atom + 1]; slot < end; slot++) {
        sumLow = (sumLow + mix(low[neighbour[slot]] + bondCode[slot])) | 0;
        sumHigh = (sumHigh + mix(high[neighbour[slot]] ^ bondCode[slot])) | 0;
      }
      nextLow[atom] = mix(Math.imul(low[atom], 0x9e3779b1) + sumLow);
      nextHigh[atom] = mix(Math.imul(high[atom], 0x85ebca77) + sumHigh);
    }
    for (let atom = 0; atom < atoms; atom++) {
      low[atom] = nextLow[atom];
      high[atom] = nextHigh[atom];
    }
    const found = countDistinct(low, atoms);
    if (found <= classes) return;
    classes = found;
  }
}

function countDistinct(colours: Int32Array, atoms: number): number {
  const { table, rounds } = room;
  if (++round === 0x7fffffff) {
    rounds.fill(0);
    round = 1;
  }
  const mask = table.length - 1;
  let distinct = 0;
  for (let atom = 0; atom < atoms; atom++) {
    // Colours are hashes already: their low bits are as good as any.
    let at = colours[atom] & mask;
    while (rounds[at] === round && table[at] !== colours[atom]) at = (at + 1) & mask;
    if (rounds[at] === round) continue;
    rounds[at] = round;
    table[at] = colours[atom];
    distinct++;
  }
  return distinct;
}

/** Colours every open chiral atom whose neighbours all differ by its handedness; returns whether there was one. */
function resolveChirality(graph: Graph, colouring: Colouring): boolean {
  const { low, open } = colouring;
  const before = low.slice(0, graph.atoms);
  const still: number[] = [];
  for (const atom of open) {
    const parity = neighbourParity(graph, before, atom);
    if (parity === null) still.push(atom);
    else low[atom] = mix(before[atom] + (parity === (graph.tag[atom] === CLOCKWISE) ? 0x165667b1 : 0x2545f491));
  }
  const progress = still.length < open.length;
  open.splice(0, open.length, ...still);
  return progress;
}

/** Whether an even number of swaps sorts the neighbours by colour; null where two of them have the same. */
function neighbourParity({ start, neighbour }: Graph, colour: Int32Array, atom: number): boolean | null {
  let even = true;
  for (let a = start[atom]; a < start[atom + 1]; a++) {
    for (let b = a + 1; b < start[atom + 1]; b++) {
      const difference = colour[neighbour[a]] - colour[neighbour[b]];
      if (difference === 0) return null;
      if (difference > 0) even = !even;
    }
  }
  return even;
}

/** All atoms of the smallest colour among tied neighbours of open chiral atoms. */
function smallestTie({ start, neighbour, atoms }: Graph, { low, open }: Colouring): number[] {
  let smallest: number | null = null;
  for (const atom of open) {
    for (let a = start[atom]; a < start[atom + 1]; a++) {
      for (let b = a + 1; b < start[atom + 1]; b++) {
        const colour = low[neighbour[a]];
        if (colour === low[neighbour[b]] && (smallest === null || colour < smallest)) smallest = colour;
      }
    }
  }
  const members: number[] = [];
  for (let atom = 0; atom < atoms; atom++) if (low[atom] === smallest) members.push(atom);
  return members;
}

/** Two words from the multiset of colours. */
function summary({ atoms, bonds }: Graph, { low, high }: Colouring): readonly [number, number] {
  let first = mix(atoms);
  let second = mix(2 * bonds + 0x3c6ef372);
  for (let atom = 0; atom < atoms; atom++) {
    first = (first + mix(low[atom] ^ 0x6a09e667)) | 0;
    second = (second + mix(high[atom] + Math.imul(low[atom], 0x27d4eb2f))) | 0;
  }
  return [mix(first), mix(second)];
}
