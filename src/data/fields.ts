// The registry of batch tensors: every array that a batch can hold, by name, with its shape, type and padding.
import { ATOM_FEATURES, BOND_FEATURES } from "../chem/molecule.js";
import { MAX_HOPS } from "../relations/relations.js";

const total = (features: readonly { readonly size: number }[]) => features.reduce((sum, { size }) => sum + size, 0);

/** Values of all atom features together: the rows of the atom embedding. */
export const ATOM_ROWS = total(ATOM_FEATURES); // 174
/** Values of all bond features together: the rows of the edge embedding. */
export const BOND_ROWS = total(BOND_FEATURES); // 13
/** Neighbour counts with an embedding of their own. */
export const DEGREE_ROWS = 64;

/** Columns of `token_features`: what the embedding of a token is the sum of. */
export const TOKEN_COLUMNS = {
  atom: 0,
  degree: ATOM_ROWS,
  graphToken: ATOM_ROWS + DEGREE_ROWS,
  geometry: ATOM_ROWS + DEGREE_ROWS + 1,
  count: ATOM_ROWS + DEGREE_ROWS + 2,
} as const;

/** Rows of `pair_features` that every batch has; one row for each path length that occurs follows. */
export const PAIR_ROWS = {
  virtualDistance: 0,
  padding: 1,
  edge: 2,
  spd: 2 + MAX_HOPS * BOND_ROWS,
} as const;

/** An edge entry is EDGE_UNIT / clamp(distance, 1, MAX_HOPS): whole for every distance. */
export const EDGE_UNIT = 60;

/** Rows of the path length embedding (reference `num_spatial`); row = distance + 1, row 0 is padding. */
export const SPD_ROWS = 512;

/** Classes of the path length head: 1 … 10 bonds, and more (reference `spd_num_classes`). */
export const SPD_CLASSES = 11;
/** Classes of the edge head a hop: 4 bond types × 3 stereo × 2 conjugated (reference). */
export const EDGE_CLASSES = 24;

export type FieldType = "float32" | "uint8";

export interface Field {
  readonly dtype: FieldType;
  /** Symbols: batch; tokens = atoms of the largest molecule + 1 (the graph token comes first); atoms = tokens - 1. */
  readonly shape: readonly (number | string)[];
  readonly padding: number;
  readonly meaning: string;
}

const pairs = ["batch", "atoms", "atoms"] as const;

/** Every tensor of a pretraining batch but the dropout multipliers, whose number follows from the model. */
export const FIELDS = {
  token_features: {
    dtype: "uint8",
    shape: ["batch", "tokens", TOKEN_COLUMNS.count],
    padding: 0,
    meaning:
      "multi-hot atom features; degree where the blend shows it; graph token; 1 where the 3D atom feature is shown",
  },
  pair_features: {
    dtype: "uint8",
    shape: ["batch", "pair_rows", "tokens", "tokens"],
    padding: 0,
    meaning:
      "multi-hot 2D relations where the blend shows them: virtual distance, padded key, edges by hop, path length",
  },
  spd_selection: {
    dtype: "float32",
    shape: ["spd_rows", SPD_ROWS],
    padding: 0,
    meaning: "one-hot: the embedding row of each path length row of pair_features",
  },
  distance: { dtype: "float32", shape: pairs, padding: 0, meaning: "distance of the noisy positions in Å" },
  direction: {
    dtype: "float32",
    shape: ["batch", 3, "atoms", "atoms"],
    padding: 0,
    meaning: "(pos_j - pos_i) / (distance + 1e-5) of the noisy positions",
  },
  geometry_shown: { dtype: "float32", shape: pairs, padding: 0, meaning: "1 where the pair shows its 3D distance" },
  geometry_gathered: {
    dtype: "float32",
    shape: pairs,
    padding: 0,
    meaning: "1 where atom i shows its 3D feature and j is an atom of its molecule",
  },
  spd_target: {
    dtype: "uint8",
    shape: [...pairs, SPD_CLASSES],
    padding: 0,
    meaning: "one-hot path length class where the pair counts in the SPD loss",
  },
  spd_scale: { dtype: "float32", shape: [], padding: 0, meaning: "1 / number of pairs in the SPD loss, or 0" },
  edge_target: {
    dtype: "uint8",
    shape: [...pairs, MAX_HOPS, EDGE_CLASSES],
    padding: 0,
    meaning: "one-hot bond class of each hop that counts in the edge loss",
  },
  edge_scale: { dtype: "float32", shape: [], padding: 0, meaning: "1 / number of hops in the edge loss, or 0" },
  displacement_target: {
    dtype: "float32",
    shape: [...pairs, 3],
    padding: 0,
    meaning: "unit vector of the clean displacement from i to j times the weight of the pair in the loss",
  },
  distance_target: { dtype: "float32", shape: pairs, padding: 0, meaning: "clean distance in Å" },
  distance_weight: { dtype: "float32", shape: pairs, padding: 0, meaning: "weight of the pair in the distance loss" },
  geometry_total: {
    dtype: "float32",
    shape: [],
    padding: 0,
    meaning: "sum of the pair weights of the 3D loss: 1, or 0",
  },
  noise_target: {
    dtype: "float32",
    shape: ["batch", "atoms", 3],
    padding: 0,
    meaning: "unit vector of the noise times the weight of the atom in the denoising loss",
  },
  noise_total: {
    dtype: "float32",
    shape: [],
    padding: 0,
    meaning: "sum of the atom weights of the denoising loss: 1, or 0",
  },
} as const satisfies Record<string, Field>;

export type FieldName = keyof typeof FIELDS;
