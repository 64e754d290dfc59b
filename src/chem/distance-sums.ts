// For every atom a sum over all others of what they are and how far away: what tells apart graphs with equal neighbourhoods.

/** A graph in compressed rows: the neighbours of atom i are `neighbour[start[i] .. start[i + 1])`. */
export interface Rows {
  readonly atoms: number;
  /** At least atoms + 1 values. */
  readonly start: Int32Array;
  readonly neighbour: Int32Array;
}

/** Hash of a colour that is seen at a distance. */
type Hash = (colour: number, distance: number) => number;

/** Atoms of which sets fit in two 32-bit words. */
const SET_ATOMS = 64;

/** Room that every call needs again; a molecule takes microseconds, of which fresh arrays would be a large part. */
const sets = { low: new Int32Array(SET_ATOMS), high: new Int32Array(SET_ATOMS) };
const search = { queue: new Int32Array(0), seen: new Int32Array(0) };

/**
 * sums[i] = Σ hash(colours[j], distance(i, j)) over the atoms j of the fragment of i, i included; modulo 2³².
 *
 * @param colours at least one value an atom
 * @param sums written; at least one value an atom
 */
export function distanceSums(rows: Rows, colours: Int32Array, hash: Hash, sums: Int32Array): void {
  sums.fill(0, 0, rows.atoms);
  if (rows.atoms <= SET_ATOMS) sumOverSets(rows, colours, hash, sums);
  else sumOverQueue(rows, colours, hash, sums);
}

// Both walk outwards from each atom. Whoever lies so far from it has it as far away: one hash serves them all.

function sumOverSets({ atoms, start, neighbour }: Rows, colours: Int32Array, hash: Hash, sums: Int32Array): void {
  const { low, high } = sets;
  for (let atom = 0; atom < atoms; atom++) {
    low[atom] = 0;
    high[atom] = 0;
    for (let slot = start[atom], end = start[atom + 1]; slot < end; slot++) {
      const other = neighbour[slot];
      if (other < 32) low[atom] |= 1 << other;
      else high[atom] |= 1 << (other - 32);
    }
  }
  for (let origin = 0; origin < atoms; origin++) {
    const colour = colours[origin];
    let nowLow = origin < 32 ? 1 << origin : 0;
    let nowHigh = origin < 32 ? 0 : 1 << (origin - 32);
    let freshLow = ~nowLow;
    let freshHigh = ~nowHigh;
    for (let distance = 0; (nowLow | nowHigh) !== 0; distance++) {
      const term = hash(colour, distance);
      let nextLow = 0;
      let nextHigh = 0;
      for (; nowLow !== 0; nowLow &= nowLow - 1) {
        const atom = 31 - Math.clz32(nowLow & -nowLow);
        sums[atom] += term;
        nextLow |= low[atom];
        nextHigh |= high[atom];
      }
      for (; nowHigh !== 0; nowHigh &= nowHigh - 1) {
        const atom = 63 - Math.clz32(nowHigh & -nowHigh);
        sums[atom] += term;
        nextLow |= low[atom];
        nextHigh |= high[atom];
      }
      nowLow = nextLow & freshLow;
      nowHigh = nextHigh & freshHigh;
      freshLow &= ~nowLow;
      freshHigh &= ~nowHigh;
    }
  }
}

function sumOverQueue({ atoms, start, neighbour }: Rows, colours: Int32Array, hash: Hash, sums: Int32Array): void {
  if (search.queue.length < atoms) {
    search.queue = new Int32Array(atoms);
    search.seen = new Int32Array(atoms);
  }
  const { queue, seen } = search;
  seen.fill(-1, 0, atoms);
  for (let origin = 0; origin < atoms; origin++) {
    queue[0] = origin;
    seen[origin] = origin;
    let tail = 1;
    for (let head = 0, distance = 0; head < tail; distance++) {
      const term = hash(colours[origin], distance);
      for (const end = tail; head < end; head++) {
        const atom = queue[head];
        sums[atom] += term;
        for (let slot = start[atom], last = start[atom + 1]; slot < last; slot++) {
          const next = neighbour[slot];
          if (seen[next] === origin) continue;
          seen[next] = origin;
          queue[tail++] = next;
        }
      }
    }
  }
}
