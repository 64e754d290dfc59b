// Writes a structure with coordinates as a V3000 MOL block, from which RDKit perceives stereo anew.
import { ELEMENTS } from "../elements.js";
import type { Structure } from "./structure.js";

const DATIVE = 9;

/** @param x Å [atoms, 3] */
export function writeStructureBlock(structure: Structure, x: Float64Array): string {
  const { atoms, atomicNumber, charge, radicals, isotope, bonds, bondOrder } = structure;
  const lines = ["", "  moleblend         3D", "", "  0  0  0     0  0            999 V3000", "M  V30 BEGIN CTAB"];
  lines.push(`M  V30 COUNTS ${atoms} ${bondOrder.length} 0 0 0`, "M  V30 BEGIN ATOM");
  for (let atom = 0; atom < atoms; atom++) {
    const place = [0, 1, 2].map((axis) => x[3 * atom + axis].toFixed(4)).join(" ");
    const details = [
      charge[atom] ? ` CHG=${charge[atom]}` : "",
      radicals[atom] > 0 && radicals[atom] < 3 ? ` RAD=${radicals[atom] + 1}` : "",
      isotope[atom] ? ` MASS=${isotope[atom]}` : "",
    ];
    lines.push(`M  V30 ${atom + 1} ${ELEMENTS[atomicNumber[atom]]} ${place} 0${details.join("")}`);
  }
  lines.push("M  V30 END ATOM", "M  V30 BEGIN BOND");
  for (let bond = 0; bond < bondOrder.length; bond++) {
    lines.push(`M  V30 ${bond + 1} ${bondOrder[bond] || DATIVE} ${bonds[2 * bond] + 1} ${bonds[2 * bond + 1] + 1}`);
  }
  lines.push("M  V30 END BOND", "M  V30 END CTAB", "M  END", "");
  return lines.join("\n");
}
