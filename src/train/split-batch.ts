// A batch in parts of neighbouring molecules, for replicas of a model that share it.
import { type BatchTensor, type BatchTensors, scalar } from "../blend/tensors.js";
import { FIELDS, type FieldName } from "../data/fields.js";
import type { DropoutInput } from "../model/inputs.js";

/** Tensors begin at multiples of this many bytes in the memory of their part (a cache line). */
const ALIGNMENT = 64;

/** Constants of a loss that stand in it once: the first part has them. */
const ONCE: ReadonlySet<string> = new Set(["geometry_total", "noise_total"] satisfies FieldName[]);

/** A tensor as pieces of another one, in order. */
interface Cut {
  readonly pieces: readonly BatchTensor["data"][];
  readonly shape: readonly number[];
}

/** The axis that counts molecules, -1 for none. Labels and weights, which no list holds, have it first. */
function moleculeAxis(name: string, dropout: readonly DropoutInput[]): number {
  const listed = Object.hasOwn(FIELDS, name) ? FIELDS[name as FieldName] : dropout.find((input) => input.name === name);
  return listed ? (listed.shape as readonly unknown[]).indexOf("batch") : 0;
}

/** Elements `first` up to `end` of an axis. */
function cut({ data, shape }: BatchTensor, axis: number, first: number, end: number): Cut {
  const outer = shape.slice(0, axis).reduce((size, dim) => size * dim, 1);
  const block = data.length / outer;
  const row = block / shape[axis];
  const pieces = Array.from({ length: outer }, (_, i) => data.subarray(i * block + first * row, i * block + end * row));
  return { pieces, shape: shape.with(axis, end - first) };
}

/** The tensors of a part in one piece of memory of their own. */
function packed(cuts: readonly (readonly [string, Cut])[]): BatchTensors {
  let end = 0;
  const places = cuts.map(([, { pieces }]) => {
    const begin = end;
    const bytes = pieces.reduce((sum, { byteLength }) => sum + byteLength, 0);
    end += Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    return begin;
  });
  const memory = new ArrayBuffer(end);
  return Object.fromEntries(
    cuts.map(([name, { pieces, shape }], i) => {
      const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
      const Elements = pieces[0] instanceof Uint8Array ? Uint8Array : Float32Array;
      const data = new Elements(memory, places[i], length);
      let at = 0;
      for (const piece of pieces) {
        data.set(piece, at);
        at += piece.length;
      }
      return [name, { data, shape }];
    }),
  );
}

/**
 * At most `count` parts as equal as can be, none of them empty, each in one piece of memory. They are padded like the batch and
 * scaled by its counts: losses and gradients of the parts add up to those of the batch.
 * @param count of one part, that part is the batch itself
 * @param dropout the places whose multipliers are part of the batch
 */
export function splitBatch(
  tensors: BatchTensors,
  count: number,
  dropout: readonly DropoutInput[],
): readonly BatchTensors[] {
  if (count === 1) return [tensors];
  const molecules = tensors["token_features"].shape[0];
  const parts = Math.min(count, molecules);
  return Array.from({ length: parts }, (_, part) => {
    const [first, end] = [part, part + 1].map((i) => Math.floor((i * molecules) / parts));
    const cutOf = (name: string, tensor: BatchTensor): Cut => {
      const axis = moleculeAxis(name, dropout);
      if (axis >= 0) return cut(tensor, axis, first, end);
      const { data, shape } = ONCE.has(name) && part > 0 ? scalar(0) : tensor;
      return { pieces: [data], shape };
    };
    return packed(Object.entries(tensors).map(([name, tensor]) => [name, cutOf(name, tensor)] as const));
  });
}
