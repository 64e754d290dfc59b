// What the numbers in a batch mean, as plain data: goes into exported models, so that another program can prepare inputs.
import { ATOM_FEATURES, BOND_FEATURES } from "../chem/molecule.js";
import { MAX_HOPS } from "../relations/relations.js";
import {
  DEGREE_ROWS,
  EDGE_CLASSES,
  EDGE_UNIT,
  FIELDS,
  type FieldName,
  PAIR_ROWS,
  SPD_CLASSES,
  SPD_ROWS,
  TOKEN_COLUMNS,
} from "./fields.js";

/** Changes whenever the same molecule would give other inputs: features, their order, or the layout of a batch. */
export const PREPROCESSING_VERSION = 1;

/** Features, their sizes and where they stand in the batch tensors. */
export function vocabulary() {
  return {
    preprocessing: PREPROCESSING_VERSION,
    atomFeatures: ATOM_FEATURES,
    bondFeatures: BOND_FEATURES,
    degrees: DEGREE_ROWS,
    tokenColumns: TOKEN_COLUMNS,
    pairRows: PAIR_ROWS,
    pathLengthRows: SPD_ROWS,
    hops: MAX_HOPS,
    edgeUnit: EDGE_UNIT,
    pathLengthClasses: SPD_CLASSES,
    edgeClasses: EDGE_CLASSES,
  };
}

/** Type, shape and meaning of some batch tensors. */
export function describeFields(names: readonly FieldName[]) {
  return Object.fromEntries(
    names.map((name) => {
      const { dtype, shape, padding, meaning } = FIELDS[name];
      return [name, { dtype, shape, padding, meaning }];
    }),
  );
}
