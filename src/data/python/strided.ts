// Elements that lie apart in memory, gathered into C order.

/**
 * @param width bytes of an element
 * @param stride elements between neighbours along each axis
 */
export function gatherElements(
  whole: Uint8Array,
  width: number,
  offset: number,
  shape: readonly number[],
  stride: readonly number[],
): Uint8Array<ArrayBuffer> {
  const count = shape.reduce((product, dim) => product * dim, 1);
  const out = new Uint8Array(count * width);
  const index = shape.map(() => 0);
  for (let i = 0, from = offset; i < count; i++) {
    out.set(whole.subarray(from * width, (from + 1) * width), i * width);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += stride[axis];
      if (++index[axis] < shape[axis]) break;
      from -= index[axis] * stride[axis];
      index[axis] = 0;
    }
  }
  return out;
}
