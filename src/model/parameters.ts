// The trainable tensors of a model: names, shapes, how they are initialised, and where they lie in one flat array.

import { ATOM_FEATURES } from "../chem/molecule.js";
import { ATOM_ROWS, BOND_ROWS, DEGREE_ROWS, EDGE_CLASSES, SPD_CLASSES, SPD_ROWS } from "../data/fields.js";
import type { Random } from "../random.js";
import { MAX_HOPS } from "../relations/relations.js";
import type { ModelConfig } from "./config.js";

/** Width of the row and column states of a pair head (reference `TransformN2Head`). */
export const PAIR_WIDTH = 32;
/** Atomic numbers with a distance scale of their own. */
export const ELEMENTS = ATOM_FEATURES[0].size;

/** normal: N(0, 0.02); zeros; ones; means/widths/scale: of the Gaussian basis, see `initialise`. */
type Init = "normal" | "zeros" | "ones" | "gbf-means" | "gbf-widths" | "gbf-scale";

export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly init: Init;
}

export interface ParameterSlot extends ParameterSpec {
  /** First element in the flat array. */
  readonly offset: number;
  readonly size: number;
}

function linear(name: string, out: number, input: number): ParameterSpec[] {
  return [
    { name: `${name}.weight`, shape: [out, input], init: "normal" },
    { name: `${name}.bias`, shape: [out], init: "zeros" },
  ];
}

function norm(name: string, width: number): ParameterSpec[] {
  return [
    { name: `${name}.weight`, shape: [width], init: "ones" },
    { name: `${name}.bias`, shape: [width], init: "zeros" },
  ];
}

function table(name: string, rows: number, columns: number): ParameterSpec {
  return { name, shape: [rows, columns], init: "normal" };
}

/** What turns relations and atoms into hidden states. @param geometry whether the 3D relations are part of it */
export function encoderSpecs(config: ModelConfig, geometry: boolean): readonly ParameterSpec[] {
  const { width, heads, feedForward, kernels } = config;
  const layer = (i: number): ParameterSpec[] => [
    ...linear(`layer.${i}.qkv`, 3 * width, width),
    ...linear(`layer.${i}.out`, width, width),
    ...norm(`layer.${i}.attention_norm`, width),
    ...linear(`layer.${i}.fc1`, feedForward, width),
    ...linear(`layer.${i}.fc2`, width, feedForward),
    ...norm(`layer.${i}.output_norm`, width),
  ];
  const basis: readonly ParameterSpec[] = [
    { name: "geometry.means", shape: [kernels], init: "gbf-means" },
    { name: "geometry.widths", shape: [kernels], init: "gbf-widths" },
    { name: "geometry.scale", shape: [2, ELEMENTS], init: "gbf-scale" },
    { name: "geometry.shift", shape: [2, ELEMENTS], init: "zeros" },
    ...linear("geometry.bias1", kernels, kernels),
    ...linear("geometry.bias2", heads, kernels),
    ...linear("geometry.atom", width, kernels),
  ];
  return [
    table("embedding.atom", ATOM_ROWS, width),
    table("embedding.degree_in", DEGREE_ROWS, width),
    table("embedding.degree_out", DEGREE_ROWS, width),
    table("embedding.graph_token", 1, width),
    ...norm("embedding.norm", width),
    table("relation.virtual_distance", 1, heads),
    table("relation.spd", SPD_ROWS, heads),
    table("relation.edge", BOND_ROWS, heads),
    { name: "relation.edge_hop", shape: [MAX_HOPS, heads, heads], init: "normal" },
    ...(geometry ? basis : []),
    ...Array.from({ length: config.layers }, (_, i) => layer(i)).flat(),
  ];
}

/** Every trainable tensor of the pretraining model, in the order of the flat array. */
export function parameterSpecs(config: ModelConfig): readonly ParameterSpec[] {
  const { width, geometryHidden } = config;
  return [
    ...encoderSpecs(config, true),
    ...linear("denoising.qkv", 3 * width, width),
    { name: "denoising.force.weight", shape: [3, width], init: "normal" },
    { name: "denoising.force.bias", shape: [3], init: "zeros" },
    ...linear("pair.states", 6 * PAIR_WIDTH, width),
    { name: "pair.norm.weight", shape: [6 * PAIR_WIDTH], init: "ones" },
    { name: "pair.norm.bias", shape: [6 * PAIR_WIDTH], init: "zeros" },
    ...linear("pair.spd", SPD_CLASSES, PAIR_WIDTH ** 2),
    ...linear("pair.edge", MAX_HOPS * EDGE_CLASSES, PAIR_WIDTH ** 2),
    ...linear("pair.geometry1", geometryHidden, PAIR_WIDTH ** 2),
    ...linear("pair.geometry2", config.geometryTarget === "displacement" ? 3 : 1, geometryHidden),
  ];
}

/** Every trainable tensor of a model fine-tuned on `outputs` numbers a molecule. */
export function taskSpecs(config: ModelConfig, outputs: number, geometry: boolean): readonly ParameterSpec[] {
  return [
    ...encoderSpecs(config, geometry),
    ...linear("task.dense", config.width, config.width),
    ...linear("task.out", outputs, config.width),
  ];
}

/** Where each tensor lies in the flat array. Slots begin at multiples of 16 elements, so that kernels read aligned. */
export function layoutParameters(specs: readonly ParameterSpec[]): { slots: readonly ParameterSlot[]; length: number } {
  const ALIGNMENT = 16;
  let offset = 0;
  const slots = specs.map((spec) => {
    const size = spec.shape.reduce((product, dim) => product * dim, 1);
    const slot = { ...spec, offset, size };
    offset += Math.ceil(size / ALIGNMENT) * ALIGNMENT;
    return slot;
  });
  return { slots, length: offset };
}

export type InitScheme = "reference" | "moleblend";

/** Largest distance in Å that the default Gaussian kernels are spread over. */
const KERNEL_REACH = 12;

/**
 * Fills the flat array. `reference`: N(0, 0.02) for every weight and embedding, the Gaussian basis among them, as the
 * official code ends up with. `moleblend`: the same but for the basis, whose centres are spread evenly over 0 … 12 Å
 * with their spacing as width, on unscaled distances.
 */
export function initialise(
  slots: readonly ParameterSlot[],
  flat: Float32Array,
  random: Random,
  scheme: InitScheme,
): void {
  for (const { name, size, offset, init } of slots) {
    const values = flat.subarray(offset, offset + size);
    const stream = random.split("initialise", name);
    const spacing = size > 1 ? KERNEL_REACH / (size - 1) : KERNEL_REACH;
    const basis = init.startsWith("gbf");
    if (init === "ones") values.fill(1);
    else if (init === "zeros" && !(scheme === "reference" && name === "geometry.shift")) values.fill(0);
    else if (scheme === "reference" || !basis) for (let i = 0; i < size; i++) values[i] = 0.02 * stream.normal();
    else if (init === "gbf-means") for (let i = 0; i < size; i++) values[i] = i * spacing;
    else values.fill(init === "gbf-widths" ? spacing : 0.5);
  }
}
