// A small typed assembler for WebAssembly modules: expressions carry their value type, so TypeScript checks the operands.

export type ValueType = "i32" | "f32" | "f64" | "v128";

/** Code that leaves one value of type T on the stack. */
export interface Expression<T extends ValueType> {
  readonly type: T;
  readonly bytes: readonly number[];
}

/** Code that leaves nothing on the stack. */
export interface Statement {
  readonly bytes: readonly number[];
}

/** A parameter or a local variable of the function that is being written. */
export interface Variable<T extends ValueType> {
  readonly get: Expression<T>;
  readonly set: (value: Expression<T>) => Statement;
}

export type Variables<S extends Record<string, ValueType>> = { readonly [K in keyof S]: Variable<S[K]> };

/** One exported function in encoded form; `defineFunction` makes it. */
export interface WasmFunction {
  readonly name: string;
  readonly parameters: readonly ValueType[];
  readonly locals: readonly ValueType[];
  readonly result: ValueType | null;
  readonly body: readonly number[];
}

const TYPE_CODE: Record<ValueType, number> = { i32: 0x7f, f32: 0x7d, f64: 0x7c, v128: 0x7b };
const VOID_BLOCK = 0x40;
const END = 0x0b;

/** LEB128 without sign. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return bytes;
}

/** LEB128 of a 32-bit integer with sign. */
function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value | 0;
  for (;;) {
    const low = rest & 0x7f;
    rest >>= 7;
    if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}

function unary<A extends ValueType, R extends ValueType>(type: R, ...opcode: number[]) {
  return (a: Expression<A>): Expression<R> => ({ type, bytes: [...a.bytes, ...opcode] });
}

function binary<A extends ValueType, R extends ValueType>(type: R, ...opcode: number[]) {
  return (a: Expression<A>, b: Expression<A>): Expression<R> => ({ type, bytes: [...a.bytes, ...b.bytes, ...opcode] });
}

/** Vector instructions share the prefix 0xfd; their number follows as LEB128. */
const vector = (number: number): number[] => [0xfd, ...unsigned(number)];

export const i32 = {
  constant: (value: number): Expression<"i32"> => ({ type: "i32", bytes: [0x41, ...signed(value)] }),
  add: binary<"i32", "i32">("i32", 0x6a),
  notEqual: binary<"i32", "i32">("i32", 0x47),
};

export const f64 = {
  add: binary<"f64", "f64">("f64", 0xa0),
};

export const i16x8 = {
  splat: unary<"i32", "v128">("v128", ...vector(0x10)),
  /** All bits of the lanes where a ≥ b without signs, none of the others. */
  atLeast: binary<"v128", "v128">("v128", ...vector(0x36)),
};

export const i32x4 = {
  splat: unary<"i32", "v128">("v128", ...vector(0x11)),
  add: binary<"v128", "v128">("v128", ...vector(0xae)),
  mul: binary<"v128", "v128">("v128", ...vector(0xb5)),
  /** Every lane by the same number of bits; zeros come in. */
  shiftRight: (a: Expression<"v128">, bits: Expression<"i32">): Expression<"v128"> => ({
    type: "v128",
    bytes: [...a.bytes, ...bits.bytes, ...vector(0xad)],
  }),
  /** The lower four of eight 16-bit lanes with their signs; `widenHigh` the upper four. */
  widenLow: unary<"v128", "v128">("v128", ...vector(0xa7)),
  widenHigh: unary<"v128", "v128">("v128", ...vector(0xa8)),
};

export const f32x4 = {
  splat: unary<"f32", "v128">("v128", ...vector(0x13)),
  add: binary<"v128", "v128">("v128", ...vector(0xe4)),
  sub: binary<"v128", "v128">("v128", ...vector(0xe5)),
  mul: binary<"v128", "v128">("v128", ...vector(0xe6)),
  div: binary<"v128", "v128">("v128", ...vector(0xe7)),
  sqrt: unary<"v128", "v128">("v128", ...vector(0xe3)),
};

export const f64x2 = {
  add: binary<"v128", "v128">("v128", ...vector(0xf0)),
  mul: binary<"v128", "v128">("v128", ...vector(0xf2)),
  /** Widens lanes 0 and 1. */
  promoteLow: unary<"v128", "v128">("v128", ...vector(0x5f)),
  lane: (a: Expression<"v128">, lane: 0 | 1): Expression<"f64"> => ({
    type: "f64",
    bytes: [...a.bytes, ...vector(0x21), lane],
  }),
};

export const v128 = {
  constant: (bytes: Uint8Array): Expression<"v128"> => ({ type: "v128", bytes: [...vector(0x0c), ...bytes] }),
  and: binary<"v128", "v128">("v128", ...vector(0x4e)),
  xor: binary<"v128", "v128">("v128", ...vector(0x51)),
  /** Byte alignment is a hint only; 4 (2²) holds for every float view. */
  load: (address: Expression<"i32">, offset = 0): Expression<"v128"> => ({
    type: "v128",
    bytes: [...address.bytes, ...vector(0x00), 2, ...unsigned(offset)],
  }),
  store: (address: Expression<"i32">, value: Expression<"v128">, offset = 0): Statement => ({
    bytes: [...address.bytes, ...value.bytes, ...vector(0x0b), 2, ...unsigned(offset)],
  }),
  /** Lanes 2 and 3 of a four-lane vector in the place of lanes 0 and 1. */
  highHalf: (a: Expression<"v128">): Expression<"v128"> => ({
    type: "v128",
    bytes: [...a.bytes, ...a.bytes, ...vector(0x0d), ...[8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7]],
  }),
};

/** Runs the body again while the condition holds; the body runs at least once. */
export function repeatWhile(condition: Expression<"i32">, body: readonly Statement[]): Statement {
  return { bytes: [0x03, VOID_BLOCK, ...body.flatMap((s) => s.bytes), ...condition.bytes, 0x0d, 0, END] };
}

/** An exported function. The builder gets its parameters and (zeroed) locals by name. */
export function defineFunction<P extends Record<string, ValueType>, L extends Record<string, ValueType>>(
  name: string,
  parameters: P,
  locals: L,
  build: (parameters: Variables<P>, locals: Variables<L>) => readonly [...Statement[], Statement | Expression<"f64">],
): WasmFunction {
  const parameterTypes = Object.values(parameters);
  const localTypes = Object.values(locals);
  const code = build(variables(parameters, 0), variables(locals, parameterTypes.length));
  const last = code[code.length - 1];
  return {
    name,
    parameters: parameterTypes,
    locals: localTypes,
    result: "type" in last ? last.type : null,
    body: code.flatMap((part) => part.bytes),
  };
}

function variables<S extends Record<string, ValueType>>(types: S, first: number): Variables<S> {
  const entries = Object.entries(types).map(([name, type], i) => {
    const index = unsigned(first + i);
    const variable: Variable<ValueType> = {
      get: { type, bytes: [0x20, ...index] },
      set: (value) => ({ bytes: [...value.bytes, 0x21, ...index] }),
    };
    return [name, variable];
  });
  return Object.fromEntries(entries) as Variables<S>;
}

/** The bytes of a module that imports its memory as `host.memory` and exports the given functions. */
export function encodeModule(functions: readonly WasmFunction[]): Uint8Array<ArrayBuffer> {
  const text = (s: string) => [...unsigned(s.length), ...[...s].map((c) => c.charCodeAt(0))];
  const list = (items: readonly (readonly number[])[]) => [...unsigned(items.length), ...items.flat()];
  const section = (id: number, content: readonly number[]) => [id, ...unsigned(content.length), ...content];

  const types = functions.map((f) => [
    0x60,
    ...list(f.parameters.map((type) => [TYPE_CODE[type]])),
    ...list(f.result ? [[TYPE_CODE[f.result]]] : []),
  ]);
  const bodies = functions.map((f) => {
    const code = [...list(f.locals.map((type) => [1, TYPE_CODE[type]])), ...f.body, END];
    return [...unsigned(code.length), ...code];
  });
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, list(types)),
    ...section(2, list([[...text("host"), ...text("memory"), 0x02, 0, 0]])),
    ...section(3, list(functions.map((_, i) => unsigned(i)))),
    ...section(7, list(functions.map((f, i) => [...text(f.name), 0x00, ...unsigned(i)]))),
    ...section(10, list(bodies)),
  ]);
}
