// numpy's arrays and numbers as pickles write them, under the module names of numpy 1 and 2.
import { DatasetError } from "../errors.js";

/** An array of numbers in C order. */
export interface NumpyArray {
  readonly shape: readonly number[];
  readonly values: ArrayLike<number | bigint>;
}

interface Dtype {
  /** As in `numpy.dtype.str` without the byte order: `f4`, `i8`, `O8`, `U5`. */
  readonly code: string;
  order: string;
}

interface GrowingArray {
  shape: readonly number[];
  values: ArrayLike<number | bigint>;
}

type Global = { call(args: readonly unknown[]): unknown; build?(target: unknown, state: unknown): unknown };

const dtype: Global = {
  call: ([code]): Dtype => ({ code: String(code), order: "<" }),
  build(target, state) {
    const order = (state as unknown[])[1];
    (target as Dtype).order = String(order);
    return target;
  },
};

/** An empty array that gets its content as a state: (version, shape, dtype, Fortran order, bytes or list). */
const reconstruct: Global = {
  call: (): GrowingArray => ({ shape: [0], values: [] }),
  build(target, state) {
    const [, shape, type, fortran, content] = state as [unknown, number[], Dtype, boolean, Uint8Array | unknown[]];
    // An array of objects (such as strings) becomes a list.
    if (Array.isArray(content)) return content;
    return Object.assign(target as GrowingArray, arrayOf(content, type, shape, fortran ? "F" : "C"));
  },
};

/** Protocol 5 writes arrays as buffers. */
const fromBuffer: Global = {
  call: ([content, type, shape, order]) =>
    arrayOf(content as Uint8Array, type as Dtype, shape as number[], String(order ?? "C")),
};

const scalar: Global = {
  call([type, content]) {
    const value = arrayOf(content as Uint8Array, type as Dtype, [1], "C").values[0];
    return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value;
  },
};

const arrayType: Global = {
  call() {
    throw new DatasetError("pickle: an array made in a way that numpy does not write");
  },
};

export const NUMPY_GLOBALS: Readonly<Record<string, Global>> = {
  "numpy dtype": dtype,
  "numpy ndarray": arrayType,
  ...Object.fromEntries(
    ["numpy.core", "numpy._core"].flatMap((module) => [
      [`${module}.multiarray _reconstruct`, reconstruct],
      [`${module}.multiarray scalar`, scalar],
      [`${module}.numeric _frombuffer`, fromBuffer],
    ]),
  ),
};

export function isNumpyArray(value: unknown): value is NumpyArray {
  return typeof value === "object" && value !== null && "shape" in value && "values" in value;
}

const READERS: Readonly<
  Record<string, readonly [width: number, read: (view: DataView, at: number, little: boolean) => number | bigint]>
> = {
  f2: [2, (view, at, little) => halfFloat(view.getUint16(at, little))],
  f4: [4, (view, at, little) => view.getFloat32(at, little)],
  f8: [8, (view, at, little) => view.getFloat64(at, little)],
  i1: [1, (view, at) => view.getInt8(at)],
  i2: [2, (view, at, little) => view.getInt16(at, little)],
  i4: [4, (view, at, little) => view.getInt32(at, little)],
  i8: [8, (view, at, little) => view.getBigInt64(at, little)],
  u1: [1, (view, at) => view.getUint8(at)],
  u2: [2, (view, at, little) => view.getUint16(at, little)],
  u4: [4, (view, at, little) => view.getUint32(at, little)],
  u8: [8, (view, at, little) => view.getBigUint64(at, little)],
  b1: [1, (view, at) => view.getUint8(at)],
};

function arrayOf(content: Uint8Array, type: Dtype, shape: readonly number[], order: string): NumpyArray {
  const reader = READERS[type?.code];
  if (!reader) throw new DatasetError(`pickle: expected an array of numbers, got numpy's dtype "${type?.code}"`);
  const [width, read] = reader;
  const count = shape.reduce((product, size) => product * size, 1);
  if (content?.length !== count * width) {
    throw new DatasetError(
      `pickle: expected ${count * width} bytes for an array of shape [${shape}], got ${content?.length}`,
    );
  }
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const values = new Array<number | bigint>(count);
  for (let i = 0; i < count; i++) values[i] = read(view, i * width, type.order !== ">");
  return { shape, values: order === "F" ? fromFortran(values, shape) : values };
}

/** Column-major → row-major. */
function fromFortran(values: readonly (number | bigint)[], shape: readonly number[]): (number | bigint)[] {
  return values.map((_, flat) => {
    let rest = flat;
    let source = 0;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const stride = shape.slice(0, axis).reduce((product, size) => product * size, 1);
      source += (rest % shape[axis]) * stride;
      rest = Math.floor(rest / shape[axis]);
    }
    return values[source];
  });
}

function halfFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
