// Compares padded batches with the arrays of the reference's collator.
import type { Molecule } from "../../chem/molecule.js";
import type { Rdkit } from "../../chem/rdkit.js";
import { type ReferenceLayout, referenceEdgeInput, referenceLayout } from "../../relations/reference-layout.js";
import { readTensor, type Safetensors } from "../../train/safetensors.js";
import { type Comparison, compare, compareExactly } from "./comparison.js";
import { parseSmiles } from "./featurize-check.js";

export interface GoldenInput {
  readonly smiles: string;
  readonly pos: readonly (readonly number[])[];
}

const FEATURE_STRIDE = 512;
/** The reference numbers element z (from 0) as 3 + z, and shifts the second atom of a pair by one stride. */
const ELEMENT_SHIFT = 3;

interface Member {
  readonly layout: ReferenceLayout;
  readonly edgeInput: Int32Array;
  readonly degree: Int32Array;
  readonly molecule: Molecule;
  readonly pos: readonly (readonly number[])[];
}

/** An array [batch, n, depth] with zeros beyond the atoms of each molecule. */
function perAtom(
  members: readonly Member[],
  n: number,
  depth: number,
  cell: (member: Member, i: number, c: number) => number,
): Float64Array {
  const out = new Float64Array(members.length * n * depth);
  members.forEach((member, b) => {
    for (let i = 0; i < member.layout.atoms; i++) {
      for (let c = 0; c < depth; c++) out[(b * n + i) * depth + c] = cell(member, i, c);
    }
  });
  return out;
}

/** An array [batch, n, n, depth] with `padding` beyond the atoms of each molecule. */
function perPair(
  members: readonly Member[],
  n: number,
  depth: number,
  cell: (member: Member, i: number, j: number, c: number) => number,
  padding: (c: number) => number = () => 0,
): Float64Array {
  const out = Float64Array.from({ length: members.length * n * n * depth }, (_, at) => padding(at % depth));
  members.forEach((member, b) => {
    const { atoms } = member.layout;
    for (let i = 0; i < atoms; i++) {
      for (let j = 0; j < atoms; j++) {
        for (let c = 0; c < depth; c++) out[((b * n + i) * n + j) * depth + c] = cell(member, i, j, c);
      }
    }
  });
  return out;
}

/** Smallest path length that the reference masked, read off its own attention bias; none where nothing is masked. */
function maskedFrom(members: readonly Member[], bias: ArrayLike<number>, tokens: number): number {
  let least = Number.POSITIVE_INFINITY;
  members.forEach(({ layout: { atoms, spd } }, b) => {
    for (let i = 0; i < atoms; i++) {
      for (let j = 0; j < atoms; j++) {
        if (bias[(b * tokens + i + 1) * tokens + j + 1] === Number.NEGATIVE_INFINITY)
          least = Math.min(least, spd[i * atoms + j]);
      }
    }
  });
  return least;
}

/** -∞ where a real row meets a padded column, both are padded, or the path is as long as the limit. */
function attentionBias(members: readonly Member[], tokens: number, limit: number): Float64Array {
  const out = new Float64Array(members.length * tokens * tokens);
  members.forEach(({ layout: { atoms, spd } }, b) => {
    for (let i = 0; i < tokens; i++) {
      for (let j = 0; j < tokens; j++) {
        const inside = i > 0 && j > 0 && i <= atoms && j <= atoms;
        const masked = inside ? spd[(i - 1) * atoms + j - 1] >= limit : j > atoms;
        if (masked) out[(b * tokens + i) * tokens + j] = Number.NEGATIVE_INFINITY;
      }
    }
  });
  return out;
}

/**
 * @param inputs SMILES and coordinates of every sample; the fixture's `idx` says which of them the collator kept
 */
export function checkCollate(
  rdkit: Rdkit,
  inputs: readonly GoldenInput[],
  file: Safetensors,
  label: string,
): Comparison[] {
  const golden = (name: string) =>
    readTensor(file, name) as { readonly shape: readonly number[]; readonly data: Int32Array };
  // Samples are numbered from the first; a folder may number them from anywhere as long as they ascend.
  const kept = Array.from(golden("idx").data);
  const chosen = kept.every((index) => index < inputs.length)
    ? kept.map((index) => inputs[index])
    : inputs.slice(0, kept.length);
  const x = golden("x");
  const [, n] = x.shape;
  const hops = golden("edge_input").shape[3];
  const members = chosen.map(({ smiles, pos }): Member => {
    const molecule = parseSmiles(rdkit, smiles);
    const layout = referenceLayout(molecule.atomFeatures, molecule.bonds, molecule.bondFeatures);
    const degree = new Int32Array(layout.atoms);
    for (const atom of molecule.bonds) degree[atom]++;
    return { molecule, layout, edgeInput: referenceEdgeInput(layout, hops), degree, pos };
  });
  const arrays: Record<string, Float64Array> = {
    x: perAtom(members, n, x.shape[2], ({ layout }, i, c) => layout.x[i * 9 + c] + 1),
    in_degree: perAtom(members, n, 1, ({ degree }, i) => degree[i] + 1),
    spatial_pos: perPair(members, n, 1, ({ layout }, i, j) => layout.spd[i * layout.atoms + j] + 1),
    attn_edge_type: perPair(
      members,
      n,
      3,
      ({ layout }, i, j, c) => layout.attentionEdgeType[(i * layout.atoms + j) * 3 + c],
    ),
    edge_input: perPair(members, n, hops * 3, ({ layout, edgeInput }, i, j, c) => {
      const depth = Math.min(hops, layout.maxDistance) * 3;
      return c < depth ? edgeInput[(i * layout.atoms + j) * depth + c] + 1 : 0;
    }),
    node_type_edge: perPair(
      members,
      n,
      2,
      ({ molecule }, i, j, c) => molecule.atomFeatures[(c === 0 ? i : j) * 9] + ELEMENT_SHIFT + FEATURE_STRIDE * c,
      (c) => 1 + FEATURE_STRIDE * c,
    ),
  };
  const bias = readTensor(file, "attn_bias").data as Float32Array;
  const limit = maskedFrom(members, bias, n + 1);
  const pos = perAtom(members, n, 3, ({ pos: rows }, i, c) => rows[i][c]);
  return [
    ...Object.entries(arrays).map(([name, ours]) => compareExactly(`${label} ${name}`, ours, golden(name).data)),
    compareExactly(`${label} out_degree`, arrays["in_degree"], golden("out_degree").data),
    compareExactly(`${label} attn_bias`, attentionBias(members, n + 1, limit), bias),
    compare(`${label} pos`, pos, readTensor(file, "pos").data as Float32Array, 1e-7),
  ];
}
