// What a record without a geometry gives for one to be generated, and how both sides count its stereo.

/** What generating a geometry needs to know of a record. */
export interface Skeleton {
  /** RDKit's canonical SMILES. */
  readonly smiles: string;
  /** The record's atom at each place of the SMILES. */
  readonly order: readonly number[];
  /** Atomic numbers of the record's atoms. */
  readonly elements: Uint8Array;
  /** Configured centres and double bonds of the record. */
  readonly configured: number;
}

/** @param chirality RDKit's tags @param bondStereo RDKit's */
export function countConfigured(chirality: Uint8Array, bondStereo: Uint8Array): number {
  return chirality.filter(isHanded).length + bondStereo.filter((stereo) => stereo >= 2).length;
}

/** RDKit's clockwise and counterclockwise. */
export function isHanded(tag: number): boolean {
  return tag === 1 || tag === 2;
}
