// A batch in parts of neighbouring molecules, for replicas of a model that share it.
import { type BatchTensor, type BatchTensors, scalar } from "../blend/tensors.js";
import { FIELDS, type FieldName } from "../data/fields.js";

/** Parts begin at multiples of this many bytes in their memory (a cache line). */
const ALIGNMENT = 64;

/** Whether the first axis of a tensor counts molecules; dropout multipliers, which the registry does not list, all are so. */
function byMolecule(name: string): boolean {
  return !Object.hasOwn(FIELDS, name) || (FIELDS[name as FieldName].shape as readonly unknown[])[0] === "batch";
}

/** Constants of a loss that stand in it once: the first part has them. */
const ONCE: ReadonlySet<string> = new Set(["geometry_total", "noise_total"] satisfies FieldName[]);

function tensorOfPart(
  name: string,
  { data, shape }: BatchTensor,
  part: number,
  first: number,
  end: number,
): BatchTensor {
  if (byMolecule(name)) {
    const row = data.length / shape[0];
    return { data: data.subarray(first * row, end * row), shape: [end - first, ...shape.slice(1)] };
  }
  return ONCE.has(name) && part > 0 ? scalar(0) : { data, shape };
}

/** The same tensors in one piece of memory of their own. */
function packed(tensors: BatchTensors): BatchTensors {
  const places = new Map<string, number>();
  let end = 0;
  for (const [name, { data }] of Object.entries(tensors)) {
    places.set(name, end);
    end += Math.ceil(data.byteLength / ALIGNMENT) * ALIGNMENT;
  }
  const memory = new ArrayBuffer(end);
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { data, shape }]) => {
      const copy = new (data.constructor as { new (memory: ArrayBuffer, at: number, length: number): typeof data })(
        memory,
        places.get(name) as number,
        data.length,
      );
      copy.set(data);
      return [name, { data: copy, shape }];
    }),
  );
}

/**
 * At most `count` parts as equal as can be, none of them empty, each in one piece of memory. They are padded like the batch and
 * scaled by its counts: losses and gradients of the parts add up to those of the batch.
 */
export function splitBatch(tensors: BatchTensors, count: number): readonly BatchTensors[] {
  const molecules = tensors["token_features"].shape[0];
  const parts = Math.min(count, molecules);
  return Array.from({ length: parts }, (_, part) => {
    const [first, end] = [part, part + 1].map((i) => Math.floor((i * molecules) / parts));
    return packed(
      Object.fromEntries(
        Object.entries(tensors).map(([name, tensor]) => [name, tensorOfPart(name, tensor, part, first, end)]),
      ),
    );
  });
}
