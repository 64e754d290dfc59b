// Small molecules written down by hand: graph, relations and coordinates, without a chemistry toolkit.
import { Random } from "../random.js";
import { graphRelations } from "../relations/graph.js";
import type { GraphRelations } from "../relations/relations.js";
import { type BlendOptions, drawBlend, type MoleculeDraw, REFERENCE_NOISE } from "./draws.js";
import { policy } from "./policy.js";

export const BOND = { single: 0, double: 1, triple: 2, aromatic: 3, other: 4 } as const;

/** First atom, second atom, type, stereo, conjugated; OGB's numbers. */
export type SketchedBond = readonly [number, number, number?, number?, number?];

export interface Example {
  readonly graph: GraphRelations;
  readonly atoms: number;
  /** Å, [atoms, 3] */
  readonly positions: Float32Array | null;
}

/** @param elements atomic numbers */
export function sketch(
  elements: readonly number[],
  bonds: readonly SketchedBond[],
  positions: "random" | "none" | readonly number[] = "random",
): Example {
  const degree = elements.map((_, i) => bonds.filter(([a, b]) => a === i || b === i).length);
  // Charge 5 is OGB's number of "none".
  const features = elements.flatMap((element, i) => [element - 1, 0, Math.min(degree[i], 11), 5, 0, 0, 2, 0, 0]);
  const graph = graphRelations(
    Uint8Array.from(features),
    Uint16Array.from(bonds.flatMap(([first, second]) => [first, second] as const)),
    Uint8Array.from(bonds.flatMap(([, , type = 0, stereo = 0, conjugated = 0]) => [type, stereo, conjugated])),
  );
  const stream = Random.fromSeed(elements.length).split("positions");
  const drawn = () => Float32Array.from({ length: elements.length * 3 }, () => 1.5 * stream.normal());
  const placed = positions === "none" ? null : positions === "random" ? drawn() : Float32Array.from(positions);
  return { graph, atoms: elements.length, positions: placed };
}

const bonded = (count: number): SketchedBond[] => Array.from({ length: count }, (_, i) => [i, i + 1]);

/** A chain of carbon atoms. */
export function chain(atoms: number, positions: "random" | "none" = "random"): Example {
  return sketch(Array(atoms).fill(6), bonded(atoms - 1), positions);
}

export const ethanol = sketch([6, 6, 8], bonded(2));
/** CC(=O)O */
export const aceticAcid = sketch(
  [6, 6, 8, 8],
  [
    [0, 1],
    [1, 2, BOND.double, 0, 1],
    [1, 3, BOND.single, 0, 1],
  ],
);
export const methane = sketch([6], []);
/** Sodium chloride: two fragments. */
export const salt = sketch([11, 17], []);
export const flatEthanol = sketch([6, 6, 8], bonded(2), "none");
/** Carbon monoxide borane: a dative bond, which has no class. */
export const dative = sketch(
  [6, 8, 5],
  [
    [0, 1, BOND.triple],
    [0, 2, BOND.other],
  ],
);
/** cis-2-butene with the newer stereo label, beyond the three that have classes. */
export const cisLabel = sketch(
  [6, 6, 6, 6],
  [
    [0, 1],
    [1, 2, BOND.double, 3],
    [2, 3],
  ],
);

export const BLEND: BlendOptions = {
  policy: policy("blend"),
  noise: REFERENCE_NOISE,
  rotate: false,
  maskPerBatch: false,
};

export function draw(
  examples: readonly Example[],
  options: Partial<BlendOptions> = {},
  seed = 1,
): readonly MoleculeDraw[] {
  return drawBlend(examples, { ...BLEND, ...options }, Random.fromSeed(seed));
}

export const graphsOf = (examples: readonly Example[]): readonly GraphRelations[] => examples.map(({ graph }) => graph);
