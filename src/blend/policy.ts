// What a model is shown of each atom pair and what it must recover, as data: the paper's blending and its special cases.
import { ConfigError } from "../errors.js";

/** Relations of a pair, as bits: a pair may show several at once. */
export const MODALITIES = { spd: 1, edge: 2, geometry: 4 } as const;
export type Modality = keyof typeof MODALITIES;

/** Features of an atom beside its embedding. */
export const ATOM_MODALITIES = { degree: 1, geometry: 2 } as const;
export type AtomModality = keyof typeof ATOM_MODALITIES;

/** What the 3D pair head recovers: the displacement vector (reference) or the distance (rotation invariant). */
export type GeometryTarget = "displacement" | "distance";

/** One of several things that can be shown, with the probability of being drawn. */
export interface Choice<M> {
  readonly probability: number;
  readonly shows: readonly M[];
}

/** all: every pair (or atom) that has the modality; hidden: only those that do not show it; none: no loss. */
export type Recovery = "all" | "hidden" | "none";

export interface Policy {
  readonly name: string;
  readonly pairs: readonly Choice<Modality>[];
  readonly atoms: readonly Choice<AtomModality>[];
  readonly recover: {
    readonly spd: Recovery;
    readonly edge: Recovery;
    readonly geometry: Recovery;
    /** Denoising counts the atoms that show their (noisy) 3D feature, or all with a position. */
    readonly noise: "shown" | "all" | "none";
  };
  /**
   * Whether molecules of one atom count in the denoising loss, as in the reference. Their force is the bias of the head
   * alone, which is 0 at the start: one of them makes the gradient norm of the first steps a million times larger, and
   * clipping then stops all else.
   */
  readonly denoiseLoneAtoms: boolean;
}

/** Probabilities of a pair showing its path length, its edges or its distance. */
export interface BlendProbabilities {
  readonly spd: number;
  readonly edge: number;
  readonly geometry: number;
}

/** The released pretraining script. */
export const REFERENCE_PROBABILITIES: BlendProbabilities = { spd: 0.2, edge: 0.2, geometry: 0.6 };
/** Share of the pairs that the masking policies hide. */
const DEFAULT_HIDDEN_SHARE = 0.3;

/** The paper: one modality a pair, everything recovered; an atom shows 3D as often as a pair does. */
function blend({ spd, edge, geometry }: BlendProbabilities): Omit<Policy, "denoiseLoneAtoms"> {
  return {
    name: "blend",
    pairs: [
      { probability: spd, shows: ["spd"] },
      { probability: edge, shows: ["edge"] },
      { probability: geometry, shows: ["geometry"] },
    ],
    atoms: [
      { probability: spd + edge, shows: ["degree"] },
      { probability: geometry, shows: ["geometry"] },
    ],
    recover: { spd: "all", edge: "all", geometry: "all", noise: "shown" },
  };
}

const TOPOLOGY = {
  pairs: [{ probability: 1, shows: ["spd", "edge"] }],
  atoms: [{ probability: 1, shows: ["degree"] }],
} as const;
const GEOMETRY = {
  pairs: [{ probability: 1, shows: ["geometry"] }],
  atoms: [{ probability: 1, shows: ["geometry"] }],
} as const;

/** Shows `part` to all but a share of the pairs, which show nothing. */
function hiding(part: typeof TOPOLOGY | typeof GEOMETRY, share: number): Pick<Policy, "pairs" | "atoms"> {
  return {
    pairs: [
      { probability: 1 - share, shows: part.pairs[0].shows },
      { probability: share, shows: [] },
    ],
    atoms: part.atoms,
  };
}

const nothing = { spd: "none", edge: "none", geometry: "none", noise: "none" } as const;

export const POLICY_NAMES = ["blend", "generate-3d", "generate-2d", "mask-2d", "mask-3d"] as const;
export type PolicyName = (typeof POLICY_NAMES)[number];

export interface PolicyOptions {
  readonly probabilities?: BlendProbabilities;
  /** Share of the pairs that mask-2d and mask-3d hide. */
  readonly hiddenShare?: number;
  readonly denoiseLoneAtoms?: boolean;
}

/**
 * The paper's blending, or one of the objectives it unifies (section 3): generating one modality from the other, or
 * masking within one.
 * @throws ConfigError for an unknown name or probabilities that are negative or do not sum to 1
 */
export function policy(name: string, options: PolicyOptions = {}): Policy {
  const { probabilities = REFERENCE_PROBABILITIES, hiddenShare = DEFAULT_HIDDEN_SHARE } = options;
  if (!(hiddenShare > 0 && hiddenShare < 1)) {
    throw new ConfigError(`hidden share: expected a number between 0 and 1, got ${hiddenShare}`);
  }
  const chosen = named(name, probabilities, hiddenShare);
  return checkPolicy({ ...chosen, denoiseLoneAtoms: options.denoiseLoneAtoms ?? false });
}

function named(name: string, probabilities: BlendProbabilities, hiddenShare: number): Omit<Policy, "denoiseLoneAtoms"> {
  switch (name) {
    case "blend":
      return blend(probabilities);
    case "generate-3d":
      return { name, ...TOPOLOGY, recover: { ...nothing, geometry: "all" } };
    case "generate-2d":
      return { name, ...GEOMETRY, recover: { ...nothing, spd: "all", edge: "all" } };
    case "mask-2d":
      return { name, ...hiding(TOPOLOGY, hiddenShare), recover: { ...nothing, spd: "hidden", edge: "hidden" } };
    case "mask-3d":
      return { name, ...hiding(GEOMETRY, hiddenShare), recover: { ...nothing, geometry: "hidden", noise: "all" } };
    default:
      throw new ConfigError(`unknown policy "${name}"; there are ${POLICY_NAMES.join(", ")}`);
  }
}

/** @throws ConfigError when probabilities are negative or do not sum to 1 */
export function checkPolicy(candidate: Policy): Policy {
  for (const part of ["pairs", "atoms"] as const) {
    const probabilities = candidate[part].map(({ probability }) => probability);
    const sum = probabilities.reduce((total, p) => total + p, 0);
    if (probabilities.some((p) => !(p >= 0)) || Math.abs(sum - 1) > 1e-9) {
      throw new ConfigError(
        `policy "${candidate.name}", ${part}: expected probabilities of at least 0 that sum to 1, got ${probabilities.join(", ")}`,
      );
    }
  }
  return candidate;
}
