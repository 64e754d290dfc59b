// Guesses the bonds, their orders and the formal charges of a molecule from the positions of its atoms, hydrogens included.

/** What an atom with all its hydrogens may look like: the sum of its bond orders, its charge, and how unusual that is. */
interface State {
  readonly valence: number;
  readonly charge: number;
  readonly penalty: number;
}

export interface PerceivedBond {
  readonly begin: number;
  readonly end: number;
  readonly order: 1 | 2 | 3;
}

export interface PerceivedMolecule {
  readonly bonds: readonly PerceivedBond[];
  /** Formal charge of each atom. */
  readonly charges: readonly number[];
}

/** Covalent radii in Å (Cordero et al., Dalton Trans. 2008, 2832); elements that are not listed cannot be perceived. */
const RADII: Readonly<Record<string, number>> = {
  ...{
    H: 0.31,
    Li: 1.28,
    B: 0.84,
    C: 0.76,
    N: 0.71,
    O: 0.66,
    F: 0.57,
    Na: 1.66,
    Mg: 1.41,
    Al: 1.21,
    Si: 1.11,
    P: 1.07,
  },
  ...{ S: 1.05, Cl: 1.02, K: 2.03, Ca: 1.76, Zn: 1.22, Ge: 1.2, As: 1.19, Se: 1.2, Br: 1.2, Te: 1.38, I: 1.39 },
};

/** Atoms closer than this times the sum of their radii are bonded (as in xyz2mol, Kim and Kim 2015, a little tighter). */
const BOND_FACTOR = 1.25;
/** Double and triple bonds are shorter than these shares of the sum of the radii (C=C 0.88, aromatic 0.91, C#C 0.79). */
const LONGEST_DOUBLE = 0.99;
const LONGEST_TRIPLE = 0.93;
const MAX_ATOMS = 512;
/** Partial assignments tried before the search gives up. */
const MAX_NODES = 50_000;

const state = (valence: number, charge = 0, penalty = 0): State => ({ valence, charge, penalty });
const CHALCOGEN = [state(2), state(4, 0, 1), state(6, 0, 2), state(1, -1, 2), state(3, 1, 4)];
const PNICTOGEN = [state(3), state(5, 0, 1), state(4, 1, 3)];
const TETREL = [state(4)];
const HALOGEN = [state(1), state(0, -1, 1), state(3, 0, 4), state(5, 0, 5), state(7, 0, 6)];
const ION1 = [state(0, 1), state(1, 0, 1)];
const ION2 = [state(0, 2), state(2, 0, 1)];
const STATES: Readonly<Record<string, readonly State[]>> = {
  H: [state(1), state(0, 1, 8)],
  C: [state(4), state(3, -1, 6), state(3, 1, 6)],
  N: [state(3), state(4, 1, 2), state(2, -1, 4)],
  O: [state(2), state(1, -1, 2), state(3, 1, 4)],
  F: [state(1), state(0, -1, 1)],
  B: [state(3), state(4, -1, 2)],
  Al: [state(3), state(4, -1, 2)],
  ...{ S: CHALCOGEN, Se: CHALCOGEN, Te: CHALCOGEN, P: PNICTOGEN, As: PNICTOGEN, Si: TETREL, Ge: TETREL },
  ...{ Cl: HALOGEN, Br: HALOGEN, I: HALOGEN, Li: ION1, Na: ION1, K: ION1, Mg: ION2, Ca: ION2, Zn: ION2 },
};

/** The negative end of an azide is its terminal nitrogen. */
const INNER_NITROGEN = [state(3), state(4, 1, 2), state(2, -1, 5)];

/**
 * Atoms whose distance is below 1.25 times the sum of their covalent radii are bonded (the longest bonds of an atom with too many
 * go). Bond orders and charges are then those with the fewest unusual atoms under which every atom has a usual valence and the charges sum
 * up to `charge`; among equals, short bonds are multiple ones. Radicals, missing hydrogens and metal complexes do not work out.
 *
 * @param positions [atoms, 3] in Å
 * @returns a reason where no assignment works out
 */
export function perceiveBonds(
  elements: readonly string[],
  positions: ArrayLike<number>,
  charge: number,
): PerceivedMolecule | { readonly reason: string } {
  const unknown = elements.find((element) => !(element in RADII));
  if (unknown !== undefined) return { reason: `bonds of ${unknown} cannot be perceived` };
  if (elements.length > MAX_ATOMS) return { reason: `bonds of more than ${MAX_ATOMS} atoms are not perceived` };
  const contacts = findContacts(elements, positions);
  if (typeof contacts === "string") return { reason: contacts };
  const search = new OrderSearch(elements, contacts, charge);
  const solution = search.run();
  if (!solution) {
    const why = search.gaveUp ? "were found in reasonable time" : "exist";
    return {
      reason: `no bond orders with usual valences and a charge of ${charge} ${why} (is a hydrogen missing, or a charge?)`,
    };
  }
  return solution;
}

interface Contact {
  readonly begin: number;
  readonly end: number;
  /** Distance in units of the sum of the radii. */
  readonly length: number;
}

/** Highest order of a bond of this length, beyond 1. */
function mostExtra({ length }: Contact): number {
  return length <= LONGEST_TRIPLE ? 2 : length <= LONGEST_DOUBLE ? 1 : 0;
}

function findContacts(elements: readonly string[], positions: ArrayLike<number>): Contact[] | string {
  const found: Contact[] = [];
  for (let end = 0; end < elements.length; end++) {
    for (let begin = 0; begin < end; begin++) {
      const [dx, dy, dz] = [0, 1, 2].map((axis) => positions[3 * begin + axis] - positions[3 * end + axis]);
      const length = Math.hypot(dx, dy, dz) / (RADII[elements[begin]] + RADII[elements[end]]);
      if (!Number.isFinite(length)) return "coordinates are not finite numbers";
      if (length < 0.4) return `atoms ${begin} and ${end} lie on one another`;
      if (length < BOND_FACTOR) found.push({ begin, end, length });
    }
  }
  // The shortest bonds first: what comes when an atom has all it can take is a mere contact.
  const room = elements.map((element) => Math.max(...STATES[element].map((one) => one.valence)));
  return found
    .sort((a, b) => a.length - b.length)
    .filter(({ begin, end }) => {
      if (room[begin] === 0 || room[end] === 0) return false;
      room[begin]--;
      room[end]--;
      return true;
    });
}

/** Branch and bound over the atoms, those with the fewest open bonds first. */
class OrderSearch {
  gaveUp = false;
  private readonly neighbours: { readonly atom: number; readonly bond: number }[][];
  /** Order of each bond beyond 1, where decided. */
  private readonly extra: Int8Array;
  private readonly decided: Uint8Array;
  /** Bond orders at each atom so far. */
  private readonly sums: Uint8Array;
  private readonly charges: Int8Array;
  private readonly states: readonly (readonly State[])[];
  private best: { readonly penalty: number; readonly extra: Int8Array; readonly charges: Int8Array } | null = null;
  private nodes = 0;

  constructor(
    elements: readonly string[],
    private readonly contacts: readonly Contact[],
    private readonly charge: number,
  ) {
    this.neighbours = elements.map(() => []);
    this.sums = new Uint8Array(elements.length);
    contacts.forEach(({ begin, end }, bond) => {
      this.neighbours[begin].push({ atom: end, bond });
      this.neighbours[end].push({ atom: begin, bond });
      this.sums[begin]++;
      this.sums[end]++;
    });
    this.extra = new Int8Array(contacts.length);
    this.decided = new Uint8Array(elements.length);
    this.charges = new Int8Array(elements.length);
    this.states = elements.map((element, atom) => {
      if (element !== "N") return STATES[element];
      return this.isNitro(elements, atom)
        ? [state(4, 1)]
        : this.neighbours[atom].length > 1
          ? INNER_NITROGEN
          : STATES.N;
    });
  }

  run(): PerceivedMolecule | null {
    this.descend(0);
    const { best } = this;
    if (!best) return null;
    const bonds = this.contacts.map(({ begin, end }, bond) => ({
      ...{ begin, end },
      order: (1 + best.extra[bond]) as 1 | 2 | 3,
    }));
    return { bonds, charges: Array.from(best.charges) };
  }

  /** A nitrogen with two single oxygens is known beforehand, which spares molecules with many of them a long search. */
  private isNitro(elements: readonly string[], atom: number): boolean {
    const around = this.neighbours[atom];
    const ends = around.filter((one) => elements[one.atom] === "O" && this.neighbours[one.atom].length === 1);
    return elements[atom] === "N" && around.length === 3 && ends.length >= 2;
  }

  private descend(penalty: number): void {
    if (++this.nodes > MAX_NODES) {
      this.gaveUp = true;
      return;
    }
    if (this.best && penalty + this.leastToCome() >= this.best.penalty) return;
    const atom = this.nextAtom();
    if (atom < 0) {
      const total = this.charges.reduce((sum, one) => sum + one, 0);
      if (total === this.charge) {
        this.best = { penalty, extra: this.extra.slice(), charges: this.charges.slice() };
      }
      return;
    }
    this.decided[atom] = 1;
    for (const one of this.states[atom]) {
      const missing = one.valence - this.sums[atom];
      if (missing < 0) continue;
      this.charges[atom] = one.charge;
      this.distribute(atom, missing, 0, penalty + one.penalty);
    }
    this.charges[atom] = 0;
    this.decided[atom] = 0;
  }

  /** Raises open bonds of an atom by `missing` in all, in every way, the shortest bond first. */
  private distribute(atom: number, missing: number, from: number, penalty: number): void {
    if (missing === 0) {
      if (this.neighboursWork(atom)) this.descend(penalty);
      return;
    }
    // Neighbours are in the order of their bonds, which are sorted by length.
    const around = this.neighbours[atom];
    for (let i = from; i < around.length; i++) {
      const { atom: other, bond } = around[i];
      if (this.decided[other]) continue;
      for (let raise = Math.min(missing, mostExtra(this.contacts[bond])); raise > 0; raise--) {
        if (this.room(other) < raise) continue;
        this.raise(bond, other, raise);
        this.distribute(atom, missing - raise, i + 1, penalty);
        this.raise(bond, other, -raise);
      }
    }
  }

  private raise(bond: number, other: number, by: number): void {
    this.extra[bond] += by;
    this.sums[other] += by;
  }

  private room(atom: number): number {
    let most = 0;
    for (const one of this.states[atom]) most = Math.max(most, one.valence - this.sums[atom]);
    return most;
  }

  /** Whether every neighbour still has a state that it can reach. */
  private neighboursWork(atom: number): boolean {
    return this.neighbours[atom].every(({ atom: other }) => {
      if (this.decided[other]) return true;
      const open = this.openBonds(other);
      return this.states[other].some(({ valence }) => {
        const missing = valence - this.sums[other];
        return missing === 0 || (missing > 0 && missing <= 2 * open);
      });
    });
  }

  private openBonds(atom: number): number {
    let open = 0;
    for (const { atom: other, bond } of this.neighbours[atom]) {
      if (!this.decided[other] && mostExtra(this.contacts[bond]) > 0 && this.room(other) > 0) open++;
    }
    return open;
  }

  /** The undecided atom with the fewest open bonds; -1 when all are decided. */
  private nextAtom(): number {
    let next = -1;
    let fewest = Number.POSITIVE_INFINITY;
    for (let atom = 0; atom < this.decided.length && fewest > 0; atom++) {
      if (this.decided[atom]) continue;
      const open = this.openBonds(atom);
      if (open < fewest) {
        fewest = open;
        next = atom;
      }
    }
    return next;
  }

  /** A bound on the penalties of the atoms that are not decided. */
  private leastToCome(): number {
    let sum = 0;
    for (let atom = 0; atom < this.decided.length; atom++) {
      if (this.decided[atom]) continue;
      let least = Number.POSITIVE_INFINITY;
      for (const one of this.states[atom]) {
        if (one.valence >= this.sums[atom]) least = Math.min(least, one.penalty);
      }
      sum += least;
    }
    return sum;
  }
}
