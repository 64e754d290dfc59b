// The random part of a batch: which modality every pair and atom shows, the noise on the coordinates, a rotation.
import type { Random } from "../random.js";
import { randomRotation, rotate } from "../relations/geometry.js";
import { ATOM_MODALITIES, type Choice, MODALITIES, type Policy } from "./policy.js";

/** Reference `noise_scale`, in Å. */
export const REFERENCE_NOISE = 0.2;

export interface BlendOptions {
  readonly policy: Policy;
  /** Standard deviation of the noise on every coordinate, in Å. */
  readonly noise: number;
  /** Turn every molecule at random, so that nothing can be learnt from how a data set orients its molecules. */
  readonly rotate: boolean;
  /** One mask of pairs for the whole batch, as the reference draws it, instead of one a molecule. */
  readonly maskPerBatch: boolean;
}

/** What is drawn for one molecule of n atoms. */
export interface MoleculeDraw {
  /** Bits of MODALITIES that each ordered pair shows. [n, n] */
  readonly pairs: Uint8Array;
  /** Bits of ATOM_MODALITIES that each atom shows. [n] */
  readonly atoms: Uint8Array;
  /** Added to the coordinates the encoder sees, in Å. [n, 3] */
  readonly noise: Float32Array;
  /** Coordinates after the rotation, without noise, in Å; zeros where there are none. [n, 3] */
  readonly positions: Float32Array;
  /** 1 for the atoms whose coordinates are known. [n] */
  readonly located: Uint8Array;
  /** Whether anything can be shown at all; a molecule of which nothing can be shown takes part in no loss. */
  readonly usable: boolean;
}

interface Option {
  readonly cumulative: number;
  readonly bits: number;
}

/** The choices a molecule has, renormalised: without coordinates, what would show geometry drops out. */
function available<M extends string>(
  choices: readonly Choice<M>[],
  bits: Readonly<Record<M, number>>,
  located: boolean,
): Option[] {
  const usable = choices.flatMap(({ probability, shows }) => {
    const rest = shows.filter((modality) => located || modality !== "geometry");
    const lost = rest.length === 0 && shows.length > 0;
    return lost || probability === 0
      ? []
      : [{ probability, bits: rest.reduce((sum, modality) => sum | bits[modality], 0) }];
  });
  const total = usable.reduce((sum, { probability }) => sum + probability, 0);
  let cumulative = 0;
  return usable.map((option) => {
    cumulative += option.probability / total;
    return { cumulative, bits: option.bits };
  });
}

function pick(options: readonly Option[], uniform: number): number {
  for (const { cumulative, bits } of options) if (uniform < cumulative) return bits;
  return options.length > 0 ? options[options.length - 1].bits : 0;
}

/**
 * Draws for a batch. Each molecule has streams of its own, so its draws do not depend on its neighbours (except for the
 * pair mask with `maskPerBatch`).
 * @param molecules number of atoms and coordinates in Å, null where there are none
 */
export function drawBlend(
  molecules: readonly { readonly atoms: number; readonly positions: Float32Array | null }[],
  { policy, noise, rotate: turn, maskPerBatch }: BlendOptions,
  random: Random,
): readonly MoleculeDraw[] {
  const largest = molecules.reduce((most, { atoms }) => Math.max(most, atoms), 0);
  const shared = maskPerBatch ? random.split("pairs") : null;
  const sharedUniforms = shared && Float64Array.from({ length: largest * largest }, () => shared.uniform());
  return molecules.map(({ atoms, positions }, index) => {
    const stream = random.split("molecule", index);
    const pairOptions = available(policy.pairs, MODALITIES, positions !== null);
    const atomOptions = available(policy.atoms, ATOM_MODALITIES, positions !== null);
    const pairStream = stream.split("pairs");
    const pairs = new Uint8Array(atoms * atoms);
    for (let i = 0; i < atoms; i++) {
      for (let j = 0; j < atoms; j++) {
        pairs[i * atoms + j] = pick(
          pairOptions,
          sharedUniforms ? sharedUniforms[i * largest + j] : pairStream.uniform(),
        );
      }
    }
    const atomStream = stream.split("atoms");
    const shownByAtom = Uint8Array.from({ length: atoms }, () => pick(atomOptions, atomStream.uniform()));
    const noiseStream = stream.split("noise");
    const noises = new Float32Array(atoms * 3);
    if (positions) for (let c = 0; c < noises.length; c++) noises[c] = noise * noiseStream.normal();
    return {
      pairs,
      atoms: shownByAtom,
      noise: noises,
      positions: placed(positions, atoms, turn ? stream.split("rotation") : null),
      located: new Uint8Array(atoms).fill(positions ? 1 : 0),
      usable: pairOptions.length > 0,
    };
  });
}

function placed(positions: Float32Array | null, atoms: number, turn: Random | null): Float32Array {
  if (!positions) return new Float32Array(atoms * 3);
  return turn ? rotate(positions, randomRotation(turn)) : positions;
}
