// Which of our intermediate arrays is which of the reference's, and where in a padded batch they mean anything.
import type { ModelConfig } from "../../model/config.js";
import type { Tensor } from "../../runtime/session.js";
import { readTensor, type Safetensors } from "../../train/safetensors.js";
import { type Comparison, compare } from "./comparison.js";
import type { GoldenBatch } from "./golden-batch.js";

/** How an array is laid out: the axes of the reference's, in order. b molecule, t token, a atom, h head, c anything. */
type Axis = "b" | "t" | "a" | "h" | "c";

interface Match {
  readonly ours: string;
  readonly theirs: string;
  /** Axes of the reference's array. */
  readonly axes: readonly Axis[];
  /** Axes of ours; the same where left out. Our flattened axes are spelt out. */
  readonly from?: readonly Axis[];
}

const HIDDEN: readonly Axis[] = ["t", "b", "c"];
const OUR_HIDDEN: readonly Axis[] = ["b", "t", "c"];

function matches(layers: number): readonly Match[] {
  const hidden = (ours: string, theirs: string): Match => ({ ours, theirs, axes: HIDDEN, from: OUR_HIDDEN });
  return [
    { ours: "basis", theirs: "gbf", axes: ["b", "a", "a", "c"] },
    { ours: "bias", theirs: "attn_bias.final", axes: ["b", "h", "t", "t"] },
    { ours: "embedding.sum", theirs: "emb.pre_ln", axes: OUR_HIDDEN },
    { ours: "embedding", theirs: "emb.ln", axes: OUR_HIDDEN },
    hidden("embedding", "layer.0.in"),
    ...Array.from({ length: layers }, (_, l): Match[] => [
      hidden(`layer.${l}.attention`, `layer.${l}.attn_out`),
      hidden(`layer.${l}.middle`, `layer.${l}.ln1`),
      hidden(`layer.${l}.fed`, `layer.${l}.ffn_out`),
      hidden(`layer.${l}.output`, `layer.${l}.out`),
      { ours: `layer.${l}.weights`, theirs: `layer.${l}.attn_probs`, axes: ["b", "h", "t", "t"] },
    ]).flat(),
    hidden(`layer.${layers - 1}.output`, "hidden"),
    { ours: "noise", theirs: "atom_output", axes: ["b", "a", "c"] },
    ...(["spd", "edge", "geometry"] as const).flatMap((head): Match[] => {
      const name = head === "geometry" ? "3d" : head;
      return [
        { ours: `${head}.row`, theirs: `head.${name}.row`, axes: ["b", "a", "c"] },
        { ours: `${head}.column`, theirs: `head.${name}.col`, axes: ["b", "a", "c"] },
        { ours: head, theirs: `logits.${name}`, axes: ["b", "a", "a", "c"] },
      ];
    }),
  ];
}

/** Lengths of the axes in one batch. */
interface Sizes {
  readonly batch: number;
  readonly atoms: number;
  readonly heads: number;
}

function lengths(axes: readonly Axis[], { batch, atoms, heads }: Sizes, elements: number): number[] {
  const known = axes.map((axis) => ({ b: batch, t: atoms + 1, a: atoms, h: heads, c: 0 })[axis]);
  const rest = elements / known.reduce((product, length) => product * (length || 1), 1);
  return known.map((length) => length || rest);
}

/** Coordinates of an element. */
function unravel(index: number, dims: readonly number[]): number[] {
  const at = new Array<number>(dims.length);
  for (let axis = dims.length - 1, rest = index; axis >= 0; axis--) {
    at[axis] = rest % dims[axis];
    rest = Math.floor(rest / dims[axis]);
  }
  return at;
}

/** Our array in the order of the reference's axes. Only batch and token may be swapped. */
function reordered(data: ArrayLike<number>, { axes, from }: Match, sizes: Sizes): ArrayLike<number> {
  if (!from || from.join() === axes.join()) return data;
  const dims = lengths(axes, sizes, data.length);
  const [tokens, batch, depth] = dims;
  const out = new Float64Array(data.length);
  for (let t = 0, i = 0; t < tokens; t++) {
    for (let b = 0; b < batch; b++) for (let c = 0; c < depth; c++, i++) out[i] = data[(b * tokens + t) * depth + c];
  }
  return out;
}

/** Whether an element belongs to real tokens and atoms alone: what stands in padding is read by nobody. */
function inMolecule(
  axes: readonly Axis[],
  dims: readonly number[],
  { graphs }: GoldenBatch,
): (index: number) => boolean {
  const batchAxis = axes.indexOf("b");
  return (index) => {
    const at = unravel(index, dims);
    const { atoms } = graphs[at[batchAxis]];
    return axes.every((axis, i) => (axis === "t" ? at[i] <= atoms : axis === "a" ? at[i] < atoms : true));
  };
}

/** One relation or atom feature alone, which the reference computes before it blends. */
export interface Alone {
  readonly relation?: string;
  readonly feature?: string;
}

/**
 * Every array that both sides have.
 * @param alone when set, only what shows this relation or feature by itself is compared
 */
export function compareProbes(
  label: string,
  file: Safetensors,
  batch: GoldenBatch,
  model: ModelConfig,
  probes: Readonly<Record<string, Tensor>>,
  tolerance: number,
  alone: Alone = {},
): Comparison[] {
  const sizes: Sizes = { batch: batch.batch, atoms: batch.atoms, heads: model.heads };
  if (alone.relation) return [compareRelation(label, file, batch, sizes, probes["bias"], alone.relation, tolerance)];
  if (alone.feature)
    return [compareFeature(label, file, batch, model, probes["embedding.sum"], alone.feature, tolerance)];
  return matches(model.layers).flatMap((match) => {
    if (!file.entries.has(match.theirs) || !probes[match.ours]) return [];
    const reference = readTensor(file, match.theirs).data as Float64Array;
    const ours = reordered(probes[match.ours].data as Float32Array, match, sizes);
    const dims = lengths(match.axes, sizes, reference.length);
    return [
      compare(`${label} ${match.theirs}`, ours, reference, tolerance, {
        included: inMolecule(match.axes, dims, batch),
      }),
    ];
  });
}

/** The bias of one relation, which the reference has without the graph token. */
function compareRelation(
  label: string,
  file: Safetensors,
  batch: GoldenBatch,
  { atoms: n, heads }: Sizes,
  bias: Tensor,
  relation: string,
  tolerance: number,
): Comparison {
  const reference = readTensor(file, `attn_bias.${relation}`).data as Float64Array;
  const ours = new Float64Array(reference.length);
  for (let bh = 0, at = 0; bh < batch.batch * heads; bh++) {
    for (let i = 1; i <= n; i++)
      for (let j = 1; j <= n; j++) ours[at++] = bias.data[(bh * (n + 1) + i) * (n + 1) + j] as number;
  }
  const axes: readonly Axis[] = ["b", "h", "a", "a"];
  const included = inMolecule(axes, [batch.batch, heads, n, n], batch);
  return compare(`${label} attn_bias.${relation}`, ours, reference, tolerance, { included });
}

/** The reference's factor on the summed 3D feature. */
const GEOMETRY_FEATURE_SCALE = 0.01;

/** The embedding sum when every atom shows the same feature: atom embedding plus degree, or plus the scaled 3D feature. */
function compareFeature(
  label: string,
  file: Safetensors,
  batch: GoldenBatch,
  { width }: ModelConfig,
  sum: Tensor,
  feature: string,
  tolerance: number,
): Comparison {
  const node = readTensor(file, "atom_feature.node").data as Float64Array;
  const name = feature === "degree" ? "atom_feature.degree" : "merged_edge_features";
  const added = readTensor(file, name).data as Float64Array;
  const factor = feature === "degree" ? 1 : GEOMETRY_FEATURE_SCALE;
  const tokens = batch.atoms + 1;
  const reference = Float64Array.from(node, (value, i) => {
    const token = Math.floor(i / width) % tokens;
    const b = Math.floor(i / (width * tokens));
    return token === 0 ? value : value + factor * added[(b * batch.atoms + token - 1) * width + (i % width)];
  });
  const included = inMolecule(OUR_HIDDEN, [batch.batch, tokens, width], batch);
  return compare(`${label} ${name}`, sum.data as Float32Array, reference, tolerance, { included });
}
