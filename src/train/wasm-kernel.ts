// The optimizer's inner loops in WebAssembly SIMD, and the same arithmetic in JavaScript: equal bit for bit.

import {
  defineFunction,
  encodeModule,
  f32x4,
  f64,
  f64x2,
  i32,
  repeatWhile,
  v128,
  type WasmFunction,
} from "./wasm-encoder.js";

// The part of the standard WebAssembly interface used here; TypeScript has it only among the browser's types.
declare namespace WebAssembly {
  class Memory {
    constructor(size: { initial: number; maximum: number });
    readonly buffer: ArrayBuffer;
  }
  class Module {
    constructor(bytes: Uint8Array<ArrayBuffer>);
  }
  class Instance {
    constructor(module: Module, imports: { host: { memory: Memory } });
    readonly exports: unknown;
  }
  function validate(bytes: Uint8Array<ArrayBuffer>): boolean;
}

/** Bytes of one page of WebAssembly memory, and the most a memory can hold. */
const PAGE = 65536;
export const WASM_MEMORY_LIMIT = PAGE * 65536;

/** Every range that a kernel gets is a multiple of this many floats. */
export const LANES = 8;

/** The scalars of one Adam update, rounded to float32 by whoever runs it. */
export interface AdamScalars {
  /** Multiplied into every gradient: clip coefficient times gradient scale. */
  readonly gradientFactor: number;
  readonly beta1: number;
  readonly oneMinusBeta1: number;
  readonly beta2: number;
  readonly oneMinusBeta2: number;
  /** lr · sqrt(1 - beta2^t) / (1 - beta1^t) */
  readonly stepSize: number;
  readonly epsilon: number;
  /** lr · weight decay */
  readonly decay: number;
}

/** The inner loops over one memory. Addresses are bytes from its start; counts are multiples of LANES floats, not 0. */
export interface Kernel {
  /** Sum of squares in float64, lanes added in a fixed order. */
  squareSum(address: number, count: number): number;
  adam(parameters: number, gradients: number, m: number, v: number, count: number, scalars: AdamScalars): void;
  /** target += source */
  addInto(target: number, source: number, count: number): void;
}

/** Four float64 pairs hold the eight lanes' sums; their order of addition is part of the contract with JavaScript. */
const squareSum = defineFunction(
  "squareSum",
  { address: "i32", bytes: "i32" },
  { end: "i32", s0: "v128", s1: "v128", s2: "v128", s3: "v128", low: "v128", high: "v128" },
  ({ address, bytes }, { end, s0, s1, s2, s3, low, high }) => {
    const square = (x: typeof low.get) => f64x2.mul(f64x2.promoteLow(x), f64x2.promoteLow(x));
    const total = f64x2.add(f64x2.add(s0.get, s1.get), f64x2.add(s2.get, s3.get));
    return [
      end.set(i32.add(address.get, bytes.get)),
      repeatWhile(i32.notEqual(address.get, end.get), [
        low.set(v128.load(address.get)),
        high.set(v128.load(address.get, 16)),
        s0.set(f64x2.add(s0.get, square(low.get))),
        s1.set(f64x2.add(s1.get, square(v128.highHalf(low.get)))),
        s2.set(f64x2.add(s2.get, square(high.get))),
        s3.set(f64x2.add(s3.get, square(v128.highHalf(high.get)))),
        address.set(i32.add(address.get, i32.constant(4 * LANES))),
      ]),
      s0.set(total),
      f64.add(f64x2.lane(s0.get, 0), f64x2.lane(s0.get, 1)),
    ];
  },
);

const adam = defineFunction(
  "adam",
  {
    ...{ p: "i32", g: "i32", m: "i32", v: "i32", bytes: "i32" },
    ...{ gradientFactor: "f32", beta1: "f32", oneMinusBeta1: "f32", beta2: "f32", oneMinusBeta2: "f32" },
    ...{ stepSize: "f32", epsilon: "f32", decay: "f32" },
  } as const,
  {
    ...{ end: "i32", factor: "v128", b1: "v128", c1: "v128", b2: "v128", c2: "v128", step: "v128", eps: "v128" },
    ...{ wd: "v128", grad: "v128", mean: "v128", square: "v128", weight: "v128" },
  } as const,
  (a, l) => {
    const { add, sub, mul, div, sqrt, splat } = f32x4;
    const advance = (pointer: typeof a.p) => pointer.set(i32.add(pointer.get, i32.constant(4 * LANES)));
    const four = (offset: number) => [
      l.grad.set(mul(l.factor.get, v128.load(a.g.get, offset))),
      l.mean.set(add(mul(l.b1.get, v128.load(a.m.get, offset)), mul(l.c1.get, l.grad.get))),
      v128.store(a.m.get, l.mean.get, offset),
      l.square.set(add(mul(l.b2.get, v128.load(a.v.get, offset)), mul(l.c2.get, mul(l.grad.get, l.grad.get)))),
      v128.store(a.v.get, l.square.get, offset),
      l.weight.set(v128.load(a.p.get, offset)),
      l.weight.set(sub(l.weight.get, mul(l.wd.get, l.weight.get))),
      v128.store(
        a.p.get,
        sub(l.weight.get, div(mul(l.step.get, l.mean.get), add(sqrt(l.square.get), l.eps.get))),
        offset,
      ),
    ];
    return [
      l.end.set(i32.add(a.p.get, a.bytes.get)),
      l.factor.set(splat(a.gradientFactor.get)),
      l.b1.set(splat(a.beta1.get)),
      l.c1.set(splat(a.oneMinusBeta1.get)),
      l.b2.set(splat(a.beta2.get)),
      l.c2.set(splat(a.oneMinusBeta2.get)),
      l.step.set(splat(a.stepSize.get)),
      l.eps.set(splat(a.epsilon.get)),
      l.wd.set(splat(a.decay.get)),
      repeatWhile(i32.notEqual(a.p.get, l.end.get), [...four(0), ...four(16), ...[a.g, a.m, a.v, a.p].map(advance)]),
    ];
  },
);

const addInto = defineFunction(
  "addInto",
  { target: "i32", source: "i32", bytes: "i32" },
  { end: "i32" },
  ({ target, source, bytes }, { end }) => {
    const four = (offset: number) =>
      v128.store(target.get, f32x4.add(v128.load(target.get, offset), v128.load(source.get, offset)), offset);
    return [
      end.set(i32.add(target.get, bytes.get)),
      repeatWhile(i32.notEqual(target.get, end.get), [
        four(0),
        four(16),
        source.set(i32.add(source.get, i32.constant(4 * LANES))),
        target.set(i32.add(target.get, i32.constant(4 * LANES))),
      ]),
    ];
  },
);

const FUNCTIONS: readonly WasmFunction[] = [squareSum, adam, addInto];

interface KernelExports {
  squareSum(address: number, bytes: number): number;
  adam(p: number, g: number, m: number, v: number, bytes: number, ...scalars: number[]): void;
  addInto(target: number, source: number, bytes: number): void;
}

/** Whether this machine and engine run WebAssembly SIMD. */
export function simdAvailable(): boolean {
  return typeof WebAssembly === "object" && WebAssembly.validate(encodeModule(FUNCTIONS));
}

/**
 * Functions over a zeroed memory of their own. It never grows, so views of `buffer` stay valid.
 * @param bytes at most WASM_MEMORY_LIMIT
 * @throws RangeError where the system refuses that much address space
 */
export function instantiate(
  functions: readonly WasmFunction[],
  bytes: number,
): { readonly exports: unknown; readonly buffer: ArrayBuffer } {
  const pages = Math.ceil(bytes / PAGE);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(encodeModule(functions)), { host: { memory } });
  return { exports, buffer: memory.buffer };
}

/** A zeroed WebAssembly memory and the kernel over it. @param bytes and errors thrown: as for `instantiate` */
export function wasmKernel(bytes: number): { kernel: Kernel; buffer: ArrayBuffer } {
  const { exports, buffer } = instantiate(FUNCTIONS, bytes);
  const run = exports as KernelExports;
  const kernel: Kernel = {
    squareSum: (address, count) => run.squareSum(address, 4 * count),
    adam: (p, g, m, v, count, s) =>
      run.adam(
        ...([p, g, m, v, 4 * count, s.gradientFactor, s.beta1, s.oneMinusBeta1, s.beta2, s.oneMinusBeta2] as const),
        ...([s.stepSize, s.epsilon, s.decay] as const),
      ),
    addInto: (target, source, count) => run.addInto(target, source, 4 * count),
  };
  return { kernel, buffer };
}

/** The same loops in JavaScript: used where SIMD is missing, and the oracle of the tests. */
export function javascriptKernel(memory: Float32Array): Kernel {
  return {
    squareSum(address, count) {
      const s = new Float64Array(LANES);
      const first = address / 4;
      for (let i = first; i < first + count; i += LANES) {
        for (let lane = 0; lane < LANES; lane++) s[lane] += memory[i + lane] * memory[i + lane];
      }
      return s[0] + s[2] + (s[4] + s[6]) + (s[1] + s[3] + (s[5] + s[7]));
    },
    adam: (p, g, m, v, count, scalars) => adamInJavascript(memory, p / 4, g / 4, m / 4, v / 4, count, scalars),
    addInto(target, source, count) {
      const t = target / 4;
      const s = source / 4;
      for (let i = 0; i < count; i++) memory[t + i] += memory[s + i];
    },
  };
}

/** `Math.fround` after every operation makes V8 use float32 instructions, so nothing differs from SIMD. */
function adamInJavascript(
  ...[memory, p, g, m, v, count, scalars]: [Float32Array, number, number, number, number, number, AdamScalars]
): void {
  const { fround, sqrt } = Math;
  const factor = fround(scalars.gradientFactor);
  const b1 = fround(scalars.beta1);
  const c1 = fround(scalars.oneMinusBeta1);
  const b2 = fround(scalars.beta2);
  const c2 = fround(scalars.oneMinusBeta2);
  const step = fround(scalars.stepSize);
  const eps = fround(scalars.epsilon);
  const decay = fround(scalars.decay);
  for (let i = 0; i < count; i++) {
    const gradient = fround(factor * memory[g + i]);
    const mean = fround(fround(b1 * memory[m + i]) + fround(c1 * gradient));
    const square = fround(fround(b2 * memory[v + i]) + fround(c2 * fround(gradient * gradient)));
    const weight = fround(memory[p + i] - fround(decay * memory[p + i]));
    memory[m + i] = mean;
    memory[v + i] = square;
    memory[p + i] = fround(weight - fround(fround(step * mean) / fround(fround(sqrt(square)) + eps)));
  }
}
