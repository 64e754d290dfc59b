// Draws molecules as SVG with RDKit, plain or with atoms and bonds in colours.
import { type Rdkit, RdkitFailure } from "./rdkit.js";

/** Red, green, blue from 0 to 1. */
export type Colour = readonly [red: number, green: number, blue: number];

export interface Depiction {
  readonly width: number;
  readonly height: number;
  /** Colours of atoms by number. */
  readonly atomColours?: ReadonlyMap<number, Colour>;
  /** Colours of bonds by number. */
  readonly bondColours?: ReadonlyMap<number, Colour>;
  readonly legend?: string;
}

/**
 * An `<svg>` element without XML declaration, to stand in a page.
 * @param text SMILES or a MOL block; its numbering is that of the colours
 * @returns null where RDKit cannot read or draw it
 */
export function depict(rdkit: Rdkit, text: string, depiction: Depiction): string | null {
  const { width, height, atomColours, bondColours, legend } = depiction;
  try {
    const molecule = rdkit.parse(text);
    try {
      const details = {
        ...{ width, height, clearBackground: true, bondLineWidth: 1.2 },
        ...(legend ? { legend } : {}),
        atoms: [...(atomColours?.keys() ?? [])],
        bonds: [...(bondColours?.keys() ?? [])],
        highlightAtomColors: Object.fromEntries(atomColours ?? []),
        highlightBondColors: Object.fromEntries(bondColours ?? []),
      };
      const svg = molecule.get_svg_with_highlights(JSON.stringify(details));
      const start = svg.indexOf("<svg");
      return start < 0 ? null : svg.slice(start).trim();
    } finally {
      molecule.delete();
    }
  } catch (error) {
    if (error instanceof RdkitFailure) return null;
    throw error;
  }
}
