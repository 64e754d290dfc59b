// Writes plain data as a pickle of protocol 2, the one that torch.save writes.
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import {
  isKind,
  type PythonEntry,
  type PythonObject,
  type PythonSequence,
  type PythonTensor,
  type PythonValue,
  TORCH_TYPES,
} from "./python-values.js";

/** Items that Python puts between two marks. */
const BATCH = 1000;
const REBUILD = "torch._utils._rebuild_tensor_v2";

class PickleWriter {
  readonly #out = new BinaryWriter();
  /** Strings and globals that were written, by their number. */
  readonly #memo = new Map<string, number>();
  readonly #tensors = new Map<PythonTensor, number>();

  /** @param keyOf names the storage that will hold a tensor's elements */
  constructor(readonly keyOf: (tensor: PythonTensor) => string) {}

  finish(value: PythonValue): Uint8Array {
    this.#code("\x80\x02");
    this.#value(value);
    this.#code(".");
    return this.#out.finish();
  }

  #bytes(bytes: readonly number[] | Uint8Array): void {
    this.#out.raw(Uint8Array.from(bytes));
  }

  #code(codes: string): void {
    this.#bytes(Array.from(codes, (code) => code.charCodeAt(0)));
  }

  #uint32(value: number): void {
    this.#out.fixed32(value);
  }

  /** Writes what is met for the first time and remembers it, else refers to it. */
  #once(key: string, write: () => void): void {
    const known = this.#memo.get(key);
    if (known !== undefined) {
      this.#numbered("hj", known);
      return;
    }
    write();
    this.#numbered("qr", this.#memo.size);
    this.#memo.set(key, this.#memo.size);
  }

  /** A reference in its short or long form. */
  #numbered([short, long]: string, index: number): void {
    this.#code(index < 256 ? short : long);
    if (index < 256) this.#bytes([index]);
    else this.#uint32(index);
  }

  #text(text: string): void {
    this.#once(`text ${text}`, () => {
      const bytes = new TextEncoder().encode(text);
      this.#code("X");
      this.#uint32(bytes.length);
      this.#bytes(bytes);
    });
  }

  /** `builtins` is what Python 3 reads for the `__builtin__` of protocol 2. */
  #global(name: string): void {
    this.#once(`global ${name}`, () => {
      const dot = name.lastIndexOf(".");
      const module = name.slice(0, dot);
      this.#code(`c${module === "builtins" ? "__builtin__" : module}\n${name.slice(dot + 1)}\n`);
    });
  }

  #integer(value: number | bigint): void {
    if (value >= 0 && value < 256) {
      this.#code("K");
      this.#bytes([Number(value)]);
    } else if (value >= -(2 ** 31) && value < 2 ** 31) {
      this.#code("J");
      this.#uint32(Number(value) >>> 0);
    } else {
      const bytes: number[] = [];
      let rest = BigInt(value);
      for (; rest < -128n || rest > 127n; rest >>= 8n) bytes.push(Number(rest & 255n));
      bytes.push(Number(rest & 255n));
      this.#code("\x8a");
      this.#bytes([bytes.length, ...bytes]);
    }
  }

  #float(value: number): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, value, false);
    this.#code("G");
    this.#bytes(bytes);
  }

  #tuple(items: readonly PythonValue[]): void {
    if (items.length > 3) this.#code("(");
    for (const item of items) this.#value(item);
    this.#code(items.length > 3 ? "t" : ")\x85\x86\x87"[items.length]);
  }

  #list(items: readonly PythonValue[]): void {
    this.#code("]");
    for (let at = 0; at < items.length; at += BATCH) {
      this.#code("(");
      for (const item of items.slice(at, at + BATCH)) this.#value(item);
      this.#code("e");
    }
  }

  #entries(entries: readonly PythonEntry[]): void {
    for (let at = 0; at < entries.length; at += BATCH) {
      this.#code("(");
      for (const [key, value] of entries.slice(at, at + BATCH)) {
        this.#value(key);
        this.#value(value);
      }
      this.#code("u");
    }
  }

  #call(name: string, given: readonly PythonValue[]): void {
    this.#global(name);
    this.#tuple(given);
    this.#code("R");
  }

  #sequence({ kind, items }: PythonSequence): void {
    if (kind === "tuple") this.#tuple(items);
    else if (kind === "list") this.#list(items);
    else this.#call(`builtins.${kind}`, [{ kind: "list", items }]);
  }

  #object({ type, made, given, entries, state }: PythonObject): void {
    this.#global(type);
    this.#tuple(given);
    this.#code(made === "new" ? "\x81" : "R");
    this.#entries(entries);
    if (state === undefined) return;
    this.#value(state);
    this.#code("b");
  }

  /** A tensor that occurs again is referred to, as in the file it came from. */
  #tensor(tensor: PythonTensor): void {
    const index = this.#tensors.get(tensor) ?? this.#tensors.size;
    this.#tensors.set(tensor, index);
    this.#once(`tensor ${index}`, () => this.#newTensor(tensor));
  }

  #newTensor(tensor: PythonTensor): void {
    const { type, shape, requiresGradient } = tensor;
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((size, dim) => size * Math.max(dim, 1), 1));
    const sizes = (numbers: readonly number[]): PythonValue => ({ kind: "tuple", items: [...numbers] });
    this.#global(REBUILD);
    this.#code("(");
    this.#tuple([
      "storage",
      { kind: "global", name: `torch.${TORCH_TYPES[type].storage}` },
      this.keyOf(tensor),
      "cpu",
      shape.reduce((size, dim) => size * dim, 1),
    ]);
    this.#code("Q");
    for (const value of [0, sizes(shape), sizes(strides), requiresGradient]) this.#value(value);
    this.#call("collections.OrderedDict", []);
    this.#code("tR");
  }

  #value(value: PythonValue): void {
    if (value === null) this.#code("N");
    else if (typeof value === "boolean") this.#code(value ? "\x88" : "\x89");
    else if (typeof value === "number" || typeof value === "bigint") this.#integer(value);
    else if (typeof value === "string") this.#text(value);
    else if (value.kind === "float") this.#float(value.value);
    else if (value.kind === "bytes") {
      const text = Array.from(value.data, (byte) => String.fromCharCode(byte)).join("");
      this.#call("_codecs.encode", [text, "latin1"]); // as Python writes bytes in protocol 2
    } else if (value.kind === "dict") {
      this.#code("}");
      this.#entries(value.entries);
    } else if (value.kind === "global") this.#global(value.name);
    else if (value.kind === "object") this.#object(value);
    else if (value.kind === "tensor") this.#tensor(value);
    else if (isKind(value, "storage")) throw new TypeError("a storage is written through its tensor");
    else this.#sequence(value);
  }
}

/** @param keyOf names the storage that will hold a tensor's elements; called once a tensor, in the order of the pickle */
export function writePickle(value: PythonValue, keyOf: (tensor: PythonTensor) => string): Uint8Array {
  return new PickleWriter(keyOf).finish(value);
}
