// Puts coordinates on the atoms of a SMILES, where a list of atoms gives them in the order of the SMILES.

const ATOM = /\[[^\]]*\]|Br|Cl|[BCNOSPFI]|[bcnops]|\*/g;

/** The element of each atom a SMILES names, in order, explicit hydrogens among them. */
export function smilesElements(smiles: string): string[] {
  const elements: string[] = [];
  for (const [token] of smiles.matchAll(ATOM))
    elements.push(token.startsWith("[") ? bracketElement(token) : capital(token));
  return elements;
}

function bracketElement(token: string): string {
  const symbol = /^\[\d*([A-Z][a-z]?|[a-z][a-z]?|\*)/.exec(token)?.[1] ?? "";
  // `[nH]` and `[CH3]`, `[se]` and `[Sc]`: a second letter is part of the symbol only where there is such an aromatic element.
  if (/^[a-z]/.test(symbol)) return capital(/^(se|as|te|si)/.test(symbol) ? symbol.slice(0, 2) : symbol[0]);
  return symbol;
}

function capital(symbol: string): string {
  return symbol[0].toUpperCase() + symbol.slice(1);
}

/**
 * The SMILES with a CXSMILES extension that holds the coordinates (Å). `atoms` are those of the SMILES in order, and further
 * hydrogens anywhere, which are left out; `coordinates` is [atoms, 3].
 *
 * @returns a reason where atoms and SMILES do not fit
 */
export function smilesWithCoordinates(
  smiles: string,
  atoms: readonly string[],
  coordinates: readonly number[],
): { readonly text: string } | { readonly reason: string } {
  if (coordinates.length !== atoms.length * 3) {
    return { reason: `expected coordinates of ${atoms.length} atoms, got ${coordinates.length / 3}` };
  }
  const elements = smilesElements(smiles);
  const triples: string[] = [];
  let at = 0;
  for (const [number, element] of elements.entries()) {
    // Hydrogens that the SMILES does not name are passed over; one that it names must stand in its place.
    while (element !== "H" && at < atoms.length && atoms[at] === "H") at++;
    if (atoms[at] !== element) {
      const got = at < atoms.length ? atoms[at] : "no further atom";
      return { reason: `atoms and SMILES differ: expected ${element} as atom ${number} of ${smiles}, got ${got}` };
    }
    triples.push(
      coordinates
        .slice(3 * at, 3 * at + 3)
        .map(coordinateText)
        .join(","),
    );
    at++;
  }
  const extra = atoms.slice(at).find((element) => element !== "H");
  if (extra !== undefined)
    return { reason: `atoms and SMILES differ: ${extra} comes after the last atom of ${smiles}` };
  return { text: `${smiles} |(${triples.join(";")})|` };
}

/** CXSMILES takes no exponents. */
function coordinateText(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toFixed(6))) : "nan";
}
