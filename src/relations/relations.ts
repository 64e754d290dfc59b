// The relations of every ordered atom pair of one molecule, as plain typed arrays.

/** Distance of a pair in different fragments, as the reference numbers it. */
export const UNREACHABLE = 510;

/** Bonds of a path that the model sees (reference `multi_hop_max_dist`). */
export const MAX_HOPS = 5;

/** Everything that follows from the 2D graph of one molecule of n atoms. */
export interface GraphRelations {
  readonly atoms: number;
  /** OGB features. [n, 9] */
  readonly atomFeatures: Uint8Array;
  /** Neighbours of each atom. [n] */
  readonly degree: Uint8Array;
  /** Shortest path distance in bonds; 0 on the diagonal, UNREACHABLE between fragments. [n, n] */
  readonly distance: Uint16Array;
  /**
   * The bonds of the shortest path from i to j, hop by hop, chosen among equally short paths as the reference's
   * Floyd-Warshall does. 0 = no bond at this hop, else 1 + (type * 6 + stereo) * 2 + conjugated. [n, n, MAX_HOPS]
   */
  readonly edgePath: Uint8Array;
}
