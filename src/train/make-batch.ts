// One training batch from a corpus: molecules → relations → draws → tensors, dropout multipliers among them.
import { buildBatch } from "../blend/batch.js";
import { type BlendOptions, drawBlend } from "../blend/draws.js";
import type { GeometryTarget } from "../blend/policy.js";
import type { BatchTensor, BatchTensors } from "../blend/tensors.js";
import { atomCount } from "../chem/molecule.js";
import type { Corpus } from "../data/corpus.js";
import type { DropoutInput } from "../model/inputs.js";
import type { Random } from "../random.js";
import { graphRelations } from "../relations/graph.js";
import { fastestMaskFill } from "./mask-kernel.js";
import { freshRoom, type Room } from "./spare-room.js";

/** Everything that a thread needs to know to make batches; plain data. */
export interface BatchRecipe {
  readonly blend: BlendOptions;
  readonly target: GeometryTarget;
  readonly dropout: readonly DropoutInput[];
  /** samples: a residual branch is dropped for a molecule; positions: for a token position of all of them (reference). */
  readonly droppath: "samples" | "positions";
}

/** Masks begin at multiples of this many floats (a cache line of 64 bytes). */
const ALIGNMENT = 16;

/**
 * The multipliers of every dropout place, in one piece of memory: batches come and go, and small pieces of ever other sizes would
 * leave holes.
 * @param size lengths of the symbols batch, atoms and tokens
 * @param room gives the memory, and is asked once
 */
export function dropoutTensors(
  { dropout, droppath }: Pick<BatchRecipe, "dropout" | "droppath">,
  size: Readonly<Record<string, number>>,
  random: Random,
  room: Room = freshRoom,
): Record<string, BatchTensor> {
  const tensors: Record<string, BatchTensor> = {};
  if (dropout.length === 0) return tensors;
  let end = 0;
  const places = dropout.map((input) => {
    const dims = input.shape.map((dim) => (typeof dim === "number" ? dim : size[dim]));
    const length = dims.reduce((product, dim) => product * dim, 1);
    const begin = end;
    end += Math.ceil(length / ALIGNMENT) * ALIGNMENT;
    return { ...input, dims, begin, length };
  });
  const memory = room(4 * end);
  for (const { name, probability, kind, dims, begin, length } of places) {
    const data = new Float32Array(memory, 4 * begin, length);
    const stream = random.split(name);
    if (kind === "element") stream.fillKeepScale(data, probability, fastestMaskFill);
    else {
      const { batch, tokens } = size;
      const own = stream.fillKeepScale(new Float32Array(droppath === "samples" ? batch : tokens), probability);
      for (let b = 0; b < batch; b++) {
        for (let t = 0; t < tokens; t++) data[b * tokens + t] = own[droppath === "samples" ? b : t];
      }
    }
    tensors[name] = { data, shape: dims };
  }
  return tensors;
}

/**
 * @param random the stream of this batch; the values are a function of the first four arguments alone
 * @param room where the multipliers of dropout go, most of a batch
 */
export function makeBatch(
  corpus: Pick<Corpus, "arrays">,
  molecules: Int32Array,
  recipe: BatchRecipe,
  random: Random,
  room: Room = freshRoom,
): BatchTensors {
  const members = Array.from(molecules, (index) => corpus.arrays(index));
  const graphs = members.map(({ atomFeatures, bonds, bondFeatures }) =>
    graphRelations(atomFeatures, bonds, bondFeatures),
  );
  const placed = members.map((molecule) => ({ atoms: atomCount(molecule), positions: molecule.positions }));
  const draws = drawBlend(placed, recipe.blend, random.split("blend"));
  const atoms = graphs.reduce((most, graph) => Math.max(most, graph.atoms), 0);
  return {
    ...buildBatch(graphs, draws, recipe.blend.policy, recipe.target),
    ...dropoutTensors(recipe, { batch: members.length, atoms, tokens: atoms + 1 }, random.split("dropout"), room),
  };
}
