// One block of memory for all parameters of a model, their gradients and Adam's moments, each contiguous and of one layout.

import { ConfigError } from "../errors.js";
import { javascriptKernel, type Kernel, LANES, simdAvailable, WASM_MEMORY_LIMIT, wasmKernel } from "./wasm-kernel.js";

export type ArenaKind = "wasm-simd" | "javascript";

/**
 * Four (or five) arrays of the same layout. ONNX Runtime reads and writes views of them without a copy, and the
 * optimizer works on them in place. The memory never moves: a view stays valid as long as the arena lives.
 *
 * It is ordinary, not shared memory, because ONNX Runtime refuses views of shared buffers, and one thread suffices:
 * SIMD takes 0.9 ns a parameter (AMD EPYC, 50 M parameters, norm included: 44 ms), which is the speed of the memory;
 * copying to and from shared memory for other threads would take half of that. JavaScript takes 7.8 ns.
 */
export interface Arena {
  /** Which implementation of the inner loops works on it. Results are equal bit for bit. */
  readonly kind: ArenaKind;
  /** Number of parameters, the length of each array. */
  readonly count: number;
  readonly parameters: Float32Array<ArrayBuffer>;
  readonly gradients: Float32Array<ArrayBuffer>;
  /** Adam's first moment. */
  readonly m: Float32Array<ArrayBuffer>;
  /** Adam's second moment. */
  readonly v: Float32Array<ArrayBuffer>;
  /** Sum of the gradients of several micro-batches; null unless asked for. */
  readonly accumulated: Float32Array<ArrayBuffer> | null;
  /** Room of `scratch` floats beside the arrays; null unless asked for. */
  readonly scratch: Float32Array<ArrayBuffer> | null;
  /** The inner loops, and where the arrays begin (bytes); for the optimizer. */
  readonly kernel: Kernel;
  readonly address: Readonly<Record<"parameters" | "gradients" | "m" | "v" | "accumulated" | "scratch", number>>;
  /** `count` rounded up to whole vectors; what lies between is 0 and stays 0. */
  readonly paddedCount: number;
}

export interface ArenaOptions {
  /** Makes room for gradient accumulation. */
  readonly accumulate?: boolean;
  /** Floats of room for what comes from elsewhere; a multiple of 16. */
  readonly scratch?: number;
  /** Forces an implementation; the default is SIMD where it runs and the arena fits into 4 GiB, else JavaScript. */
  readonly kind?: ArenaKind;
}

/** Arrays begin at multiples of this many floats (a cache line of 64 bytes). */
const ALIGNMENT = 16;

/**
 * Allocates a zeroed arena.
 * @param count number of parameters, at least 1.
 * @throws ConfigError if SIMD is asked for where it does not run or where 4 GiB do not suffice.
 */
export function createArena(count: number, options: ArenaOptions = {}): Arena {
  if (!Number.isSafeInteger(count) || count < 1)
    throw new ConfigError(`arena: expected at least 1 parameter, got ${count}`);
  const stride = Math.ceil(count / ALIGNMENT) * ALIGNMENT;
  const arrays = options.accumulate ? 5 : 4;
  const { scratch = 0 } = options;
  const bytes = 4 * (stride * arrays + scratch);
  const kind = options.kind ?? (bytes <= WASM_MEMORY_LIMIT && simdAvailable() ? "wasm-simd" : "javascript");
  if (kind === "wasm-simd" && bytes > WASM_MEMORY_LIMIT) {
    throw new ConfigError(
      `arena: ${count} parameters need ${bytes} bytes, WebAssembly has at most ${WASM_MEMORY_LIMIT}`,
    );
  }
  if (kind === "wasm-simd" && !simdAvailable())
    throw new ConfigError("arena: this engine does not run WebAssembly SIMD");

  const { kernel, buffer } = kind === "wasm-simd" ? wasmKernel(bytes) : plainMemory(bytes);
  const view = (index: number) => new Float32Array(buffer, 4 * stride * index, count);
  const at = (index: number) => 4 * stride * index;
  return {
    kind,
    count,
    parameters: view(0),
    gradients: view(1),
    m: view(2),
    v: view(3),
    accumulated: options.accumulate ? view(4) : null,
    scratch: scratch > 0 ? new Float32Array(buffer, at(arrays), scratch) : null,
    kernel,
    address: { parameters: at(0), gradients: at(1), m: at(2), v: at(3), accumulated: at(4), scratch: at(arrays) },
    paddedCount: Math.ceil(count / LANES) * LANES,
  };
}

function plainMemory(bytes: number): { kernel: Kernel; buffer: ArrayBuffer } {
  const buffer = new ArrayBuffer(bytes);
  return { kernel: javascriptKernel(new Float32Array(buffer)), buffer };
}
