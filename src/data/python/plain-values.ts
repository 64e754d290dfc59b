// What Python's files hold, as arrays, maps and numbers of our own: for readers that want content, not a faithful copy.
import type { Fail } from "./failure.js";
import { type ElementType, type NumberArray, numberArray, torchElement } from "./number-arrays.js";
import { entriesOf, isKind, naturals, type PythonObject, type PythonValue } from "./python-values.js";

export type PlainValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PlainValue[]
  | Map<PlainValue, PlainValue>
  | Set<PlainValue>
  | NumberArray;

type Convert = (object: PythonObject, fail: Fail) => PlainValue;

/** The classes that become plain values; a pickle that names another is refused before anything is made. */
const CONVERTED: Readonly<Record<string, Convert>> = {
  "_codecs.encode": encoded,
  "builtins.bytes": encoded,
  "builtins.bytearray": encoded,
  ...Object.fromEntries(
    ["numpy.core", "numpy._core"].flatMap((module): [string, Convert][] => [
      [`${module}.multiarray._reconstruct`, reconstructed],
      [`${module}.multiarray.scalar`, scalar],
      [`${module}.numeric._frombuffer`, fromBuffer],
    ]),
  ),
};

/** Full names of the classes that a pickle of plain values may have. */
export const PLAIN_CLASSES: ReadonlySet<string> = new Set([
  ...Object.keys(CONVERTED),
  "collections.OrderedDict",
  "numpy.dtype",
  "numpy.ndarray",
]);

/** Far above any array of a data set; small files whose arrays share their bytes could ask for more. */
const MAX_ARRAY_BYTES = 2 ** 30;

/**
 * None → null, int → number (bigint beyond 2⁵³), float → number, bytes → Uint8Array, list and tuple → array, dict → Map, sets → Set,
 * numpy arrays and tensors → `NumberArray` (arrays of objects → array), numpy numbers → number. What occurs again is the same object again.
 *
 * @throws what `fail` throws, for classes that stand for none of these and for arrays whose bytes do not fit
 */
export function plainValue(root: PythonValue, fail: Fail): PlainValue {
  const known = new Map<PythonValue, PlainValue>();
  let bytes = 0;
  const convert = (value: PythonValue): PlainValue => {
    if (typeof value !== "object" || value === null) return value;
    const before = known.get(value);
    if (before !== undefined) return before;
    const plain = convertNew(value, convert, fail);
    known.set(value, plain);
    bytes += bytesIn(plain);
    if (bytes > MAX_ARRAY_BYTES) fail(`unfolds to arrays of more than ${MAX_ARRAY_BYTES} bytes; refused`);
    return plain;
  };
  return convert(root);
}

export function isNumberArray(value: PlainValue | undefined): value is NumberArray {
  return typeof value === "object" && value !== null && "values" in value && "shape" in value;
}

function bytesIn(value: PlainValue): number {
  return value instanceof Uint8Array ? value.length : isNumberArray(value) ? 8 * value.values.length : 0;
}

type PythonRecord = Extract<PythonValue, { readonly kind: string }>;

function convertNew(value: PythonRecord, convert: (value: PythonValue) => PlainValue, fail: Fail): PlainValue {
  switch (value.kind) {
    case "float":
      return value.value;
    case "bytes":
      return value.data;
    case "list":
    case "tuple":
      return value.items.map(convert);
    case "set":
    case "frozenset":
      return new Set(value.items.map(convert));
    case "tensor":
      return numberArray(value.read(), torchElement(value.type, fail), value.shape, "C", fail);
    case "dict":
    case "object": {
      const entries = entriesOf(value);
      if (entries) return new Map(entries.map(([key, item]) => [convert(key), convert(item)]));
      return convertObject(value as PythonObject, convert, fail);
    }
    default:
      return fail(`expected plain data, got ${value.kind === "global" ? value.name : `a ${value.kind}`}`);
  }
}

function convertObject(object: PythonObject, convert: (value: PythonValue) => PlainValue, fail: Fail): PlainValue {
  if (!Object.hasOwn(CONVERTED, object.type)) return fail(`expected plain data, got an object of ${object.type}`);
  // An array of objects, such as strings: its state holds them as a list.
  const content = isKind(object.state, "tuple") ? object.state.items[4] : undefined;
  if (CONVERTED[object.type] === reconstructed && isKind(content, "list")) return convert(content);
  return CONVERTED[object.type](object, fail);
}

/** Bytes as Python 3 writes them below protocol 3: `encode(text, "latin1")`, text whose characters are the bytes. */
function encoded({ type, given: [content, encoding] }: PythonObject, fail: Fail): Uint8Array {
  if (content === undefined) return new Uint8Array(0);
  if (typeof content !== "string") return bytesOf(content, fail);
  if (encoding === "latin1" || encoding === "latin-1") return latin1Bytes(content, fail);
  return fail(`damaged: ${type} of something else than bytes`);
}

function latin1Bytes(text: string, fail: Fail): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    bytes[i] = code < 256 ? code : fail(`damaged: a byte of the value ${code}`);
  }
  return bytes;
}

/** Python 2 wrote bytes as text. */
function bytesOf(value: PythonValue | undefined, fail: Fail): Uint8Array {
  if (isKind(value, "bytes")) return value.data;
  if (typeof value === "string") return latin1Bytes(value, fail);
  if (isKind(value, "object") && CONVERTED[value.type] === encoded) return encoded(value, fail);
  return fail("damaged: expected bytes");
}

function shapeOf(value: PythonValue | undefined, fail: Fail): readonly number[] {
  return naturals(value) ?? fail("damaged: an array without a valid shape");
}

/** `numpy.dtype("f4", False, True)` with the state `(3, "<", …)` */
function elementOf(value: PythonValue | undefined, fail: Fail): ElementType {
  if (!isKind(value, "object") || value.type !== "numpy.dtype") return fail("damaged: an array without its dtype");
  const [code] = value.given;
  const order = isKind(value.state, "tuple") ? value.state.items[1] : "<";
  if (typeof code !== "string") return fail("damaged: a numpy dtype without its name");
  return { code, bigEndian: order === ">" };
}

/** An empty array that gets its content as a state: (version, shape, dtype, Fortran order, bytes or list). */
function reconstructed({ state }: PythonObject, fail: Fail): NumberArray {
  if (!isKind(state, "tuple")) return fail("damaged: a numpy array without its content");
  const [, shape, type, fortran, content] = state.items;
  return numberArray(
    bytesOf(content, fail),
    elementOf(type, fail),
    shapeOf(shape, fail),
    fortran === true ? "F" : "C",
    fail,
  );
}

/** Protocol 5 writes arrays as (buffer, dtype, shape, order). */
function fromBuffer({ given: [content, type, shape, order] }: PythonObject, fail: Fail): NumberArray {
  return numberArray(
    bytesOf(content, fail),
    elementOf(type, fail),
    shapeOf(shape, fail),
    order === "F" ? "F" : "C",
    fail,
  );
}

function scalar({ given: [type, content] }: PythonObject, fail: Fail): number | bigint {
  const [value] = Array.from(numberArray(bytesOf(content, fail), elementOf(type, fail), [], "C", fail).values);
  return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}
