// `Molecule` → SMILES: the graph as features hold it, for RDKit's scaffolds and fingerprints where no text is kept.
import { ELEMENTS } from "./elements.js";
import { ATOM_FEATURES, atomCount, BOND_FEATURES, type Molecule } from "./molecule.js";

/** Single, double, triple, aromatic, and "misc", of which the features do not say what it was. */
const BOND_SYMBOLS = ["-", "=", "#", ":", "~"] as const;
/** OGB's charge index of the charge 0, and the one that stands for "misc". */
const NEUTRAL = 5;
const MISC_CHARGE = 11;

interface Edge {
  readonly atom: number;
  readonly bond: number;
}

/** Every atom in brackets with its hydrogens and charge, so that nothing is left to be guessed on reading. */
function atomText(molecule: Molecule, atom: number): string {
  const [element, , , charge, hydrogens, , , aromatic] = molecule.atomFeatures.subarray(atom * ATOM_FEATURES.length);
  const symbol = ELEMENTS[element + 1] ?? "*";
  const sign = charge === MISC_CHARGE ? 0 : charge - NEUTRAL;
  const chargeText = sign === 0 ? "" : `${sign > 0 ? "+" : "-"}${Math.abs(sign)}`;
  const hydrogenText = hydrogens === 0 ? "" : `H${hydrogens}`;
  return `[${aromatic ? symbol.toLowerCase() : symbol}${hydrogenText}${chargeText}]`;
}

function ringText(number: number): string {
  if (number < 10) return String(number);
  return number < 100 ? `%${number}` : `%(${number})`;
}

/** Spanning trees of the fragments: children of each atom, and the bonds that close rings with their numbers. */
function span(neighbours: readonly (readonly Edge[])[]) {
  const children = neighbours.map((): Edge[] => []);
  const closures = neighbours.map((): { bond: number; ring: number }[] => []);
  const roots: number[] = [];
  const seen = new Uint8Array(neighbours.length);
  const used = new Set<number>();
  let rings = 0;
  const visit = (atom: number): void => {
    seen[atom] = 1;
    for (const edge of neighbours[atom]) {
      if (used.has(edge.bond)) continue;
      used.add(edge.bond);
      if (seen[edge.atom]) {
        const closure = { bond: edge.bond, ring: ++rings };
        closures[atom].push(closure);
        closures[edge.atom].push(closure);
      } else {
        children[atom].push(edge);
        visit(edge.atom);
      }
    }
  };
  neighbours.forEach((_, atom) => {
    if (seen[atom]) return;
    roots.push(atom);
    visit(atom);
  });
  return { children, closures, roots };
}

/** The molecule's atoms in the order in which `writeSmiles` writes them, which is how RDKit numbers them on reading. [atoms] */
export function writtenOrder(molecule: Molecule): number[] {
  const { children, roots } = span(neighboursOf(molecule));
  const order: number[] = [];
  const walk = (atom: number): void => {
    order.push(atom);
    for (const edge of children[atom]) walk(edge.atom);
  };
  roots.forEach(walk);
  return order;
}

function neighboursOf(molecule: Molecule): Edge[][] {
  const { bonds } = molecule;
  const neighbours = Array.from({ length: atomCount(molecule) }, (): Edge[] => []);
  for (let bond = 0; bond < bonds.length / 2; bond++) {
    const [a, b] = [bonds[2 * bond], bonds[2 * bond + 1]];
    neighbours[a].push({ atom: b, bond });
    neighbours[b].push({ atom: a, bond });
  }
  return neighbours;
}

/** Stereo and isotopes are left out; atoms come in the order of a depth-first walk. */
export function writeSmiles(molecule: Molecule): string {
  const { bondFeatures } = molecule;
  const { children, closures, roots } = span(neighboursOf(molecule));
  const symbol = (bond: number) => BOND_SYMBOLS[bondFeatures[bond * BOND_FEATURES.length]];
  const write = (atom: number): string => {
    const rings = closures[atom].map(({ bond, ring }) => symbol(bond) + ringText(ring)).join("");
    const branches = children[atom].map((edge) => symbol(edge.bond) + write(edge.atom));
    const last = branches.pop() ?? "";
    return atomText(molecule, atom) + rings + branches.map((branch) => `(${branch})`).join("") + last;
  };
  return roots.map(write).join(".");
}
