// Bytes of floating-point tensors ↔ numbers, without rounding where the type can hold the value.
import { halfToFloat } from "../../data/half-float.js";
import type { TorchType } from "../../data/python/python-values.js";
import { CheckpointError } from "../../errors.js";

/** A copy whose buffer begins at the first byte: data of a file need not be aligned. */
function aligned(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}

/** Values as float32: exact for float16, bfloat16 and float32; float64 is rounded. */
export function toFloat32(type: TorchType, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  if (type === "float32") return new Float32Array(aligned(bytes));
  if (type === "float64") return Float32Array.from(new Float64Array(aligned(bytes)));
  const halves = new Uint16Array(aligned(bytes));
  if (type === "float16") return Float32Array.from(halves, halfToFloat);
  if (type === "bfloat16") return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
  throw new CheckpointError(`expected floats, got ${type}`);
}

/** The 16 bits of a value that half precision holds exactly, else -1. */
function exactHalf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const exponent = ((bits >>> 23) & 255) - 127;
  const fraction = bits & 0x7fffff;
  if (exponent === 128) return fraction === 0 ? sign | 0x7c00 : sign | 0x7e00;
  if ((bits & 0x7fffffff) === 0) return sign;
  if (exponent >= -14)
    return exponent <= 15 && (fraction & 0x1fff) === 0 ? sign | ((exponent + 15) << 10) | (fraction >> 13) : -1;
  // Subnormal: the fraction with its leading 1, shifted down.
  const shift = 13 - 14 - exponent;
  const full = fraction | 0x800000;
  return exponent >= -24 && (full & ((1 << shift) - 1)) === 0 ? sign | (full >> shift) : -1;
}

/** Bytes in the given type, or null when a value cannot be held exactly. */
export function fromFloat32(type: TorchType, values: Float32Array): Uint8Array | null {
  if (type === "float32") return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  if (type === "float64") return new Uint8Array(Float64Array.from(values).buffer);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < halves.length; i++) {
    const half = type === "float16" ? exactHalf(bits[i]) : (bits[i] & 0xffff) === 0 ? bits[i] >>> 16 : -1;
    if (half < 0) return null;
    halves[i] = half;
  }
  return new Uint8Array(halves.buffer);
}
