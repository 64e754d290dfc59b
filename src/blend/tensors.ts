// What a batch is made of.

export interface BatchTensor {
  readonly data: Float32Array | Uint8Array;
  readonly shape: readonly number[];
}

/** The tensors of FIELDS by name, of one batch. */
export type BatchTensors = Readonly<Record<string, BatchTensor>>;

export interface BatchSize {
  readonly batch: number;
  /** Atoms of the largest molecule. */
  readonly atoms: number;
  readonly tokens: number;
}

export function scalar(value: number): BatchTensor {
  return { data: Float32Array.of(value), shape: [] };
}
