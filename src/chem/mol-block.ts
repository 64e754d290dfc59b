// Looks into MOL blocks (V2000 and V3000) as text, for what must be known before or after RDKit fails on them.

const V2000_ATOM = /^(.{30})( ?[A-Za-z*].*)$/;
const V3000_ATOM = /^(M {2}V30 +\d+ +(?:"[^"]*"|\S+) +)(\S+) +(\S+) +(\S+)( .*|)$/;

/** Number of atoms that the counts line names; 0 where it cannot be read. */
export function molAtomCount(molBlock: string): number {
  const lines = molBlock.split("\n", 4);
  const counts = lines[3] ?? "";
  if (counts.includes("V3000")) return Number(/M {2}V30 +COUNTS +(\d+)/.exec(molBlock)?.[1] ?? 0);
  const atoms = Number.parseInt(counts.slice(0, 3), 10);
  return Number.isNaN(atoms) ? 0 : atoms;
}

/** Calls back with the line number and the three coordinate texts of each atom line. */
function forEachAtomLine(lines: readonly string[], visit: (index: number, fields: readonly string[]) => void): void {
  if ((lines[3] ?? "").includes("V3000")) {
    const begin = lines.findIndex((line) => line.startsWith("M  V30 BEGIN ATOM"));
    for (let i = begin + 1; begin >= 0 && i < lines.length && !lines[i].startsWith("M  V30 END ATOM"); i++) {
      const match = V3000_ATOM.exec(lines[i].trimEnd());
      if (match) visit(i, match.slice(2, 5));
    }
    return;
  }
  const atoms = Number.parseInt((lines[3] ?? "").slice(0, 3), 10) || 0;
  for (let i = 4; i < Math.min(lines.length, 4 + atoms); i++) {
    if (V2000_ATOM.test(lines[i])) visit(i, [lines[i].slice(0, 10), lines[i].slice(10, 20), lines[i].slice(20, 30)]);
  }
}

/** Whether every coordinate of every atom line is a finite number. */
export function hasReadableCoordinates(molBlock: string): boolean {
  let readable = true;
  forEachAtomLine(molBlock.split("\n"), (_, fields) => {
    readable &&= fields.every((field) => Number.isFinite(Number(field)));
  });
  return readable;
}

/** The same block with all coordinates zero and no claim to be 3D, so that no stereo is read from them. */
export function withoutCoordinates(molBlock: string): string {
  const lines = molBlock.split("\n");
  forEachAtomLine(lines, (index) => {
    const v3000 = V3000_ATOM.exec(lines[index].trimEnd());
    lines[index] = v3000 ? `${v3000[1]}0 0 0${v3000[5]}` : `    0.0000    0.0000    0.0000${lines[index].slice(30)}`;
  });
  lines[1] = (lines[1] ?? "").slice(0, 20);
  return lines.join("\n");
}
