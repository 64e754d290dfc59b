// Growing typed arrays: how a column is collected before its length is known.

/** Typed arrays that molecules and labels are made of. */
export type NumberArray =
  | Uint8Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>;

/** Values appended one array after another; doubles its room when it is full. */
export class ColumnBuffer<T extends NumberArray> {
  private array: T;
  /** Number of values. */
  length = 0;

  constructor(
    private readonly allocate: (length: number) => T,
    room = 1024,
  ) {
    this.array = allocate(room);
  }

  append(values: ArrayLike<number | bigint>): void {
    const end = this.length + values.length;
    if (end > this.array.length) {
      const grown = this.allocate(Math.max(end, this.array.length * 2));
      (grown.set as (source: T) => void).call(grown, this.array);
      this.array = grown;
    }
    (this.array.set as (source: ArrayLike<number | bigint>, at: number) => void).call(this.array, values, this.length);
    this.length = end;
  }

  /** The values so far; valid until the next append or clear. */
  view(): T {
    return this.array.subarray(0, this.length) as T;
  }

  /** Forgets the values and keeps the room. */
  clear(): void {
    this.length = 0;
  }
}
