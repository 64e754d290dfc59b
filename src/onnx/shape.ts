// Dimensions that may be symbols: products such as "2*atoms*batch" in one canonical spelling, and broadcasting over them.
import { ShapeError } from "../errors.js";

/** A size, or a symbolic product in canonical form: coefficient first (when not 1), then symbols in order. */
export type Dim = number | string;
export type Shape = readonly Dim[];

interface Monomial {
  readonly coefficient: number;
  readonly symbols: readonly string[];
}

function monomial(dim: Dim): Monomial {
  if (typeof dim === "number") return { coefficient: dim, symbols: [] };
  let coefficient = 1;
  const symbols: string[] = [];
  for (const factor of dim.split("*")) {
    if (/^\d+$/.test(factor)) coefficient *= Number(factor);
    else symbols.push(factor);
  }
  return { coefficient, symbols: symbols.sort() };
}

function spell({ coefficient, symbols }: Monomial): Dim {
  if (symbols.length === 0 || coefficient === 0) return coefficient;
  return (coefficient === 1 ? symbols : [coefficient, ...symbols]).join("*");
}

/** Product of dimensions, canonical. */
export function product(dims: Shape): Dim {
  const factors = dims.map(monomial);
  return spell({
    coefficient: factors.reduce((total, factor) => total * factor.coefficient, 1),
    symbols: factors.flatMap((factor) => factor.symbols).sort(),
  });
}

/** `total / part` where it divides evenly, else null. */
export function quotient(total: Dim, part: Dim): Dim | null {
  const whole = monomial(total);
  const divisor = monomial(part);
  const symbols = [...whole.symbols];
  for (const symbol of divisor.symbols) {
    const at = symbols.indexOf(symbol);
    if (at < 0) return null;
    symbols.splice(at, 1);
  }
  const coefficient = whole.coefficient / divisor.coefficient;
  return Number.isInteger(coefficient) ? spell({ coefficient, symbols }) : null;
}

/** The symbols a dimension is a product of. */
export function symbolsOf(dim: Dim): readonly string[] {
  return monomial(dim).symbols;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** Numpy broadcasting. @throws ShapeError naming `what` and both shapes. */
export function broadcast(what: string, a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const left = a[a.length - rank + i] ?? 1;
    const right = b[b.length - rank + i] ?? 1;
    if (left === right || right === 1) return left;
    if (left === 1) return right;
    throw new ShapeError(`${what}: cannot broadcast ${formatShape(a)} with ${formatShape(b)}`);
  });
}

/** Axis counted from the front. @throws ShapeError when out of range. */
export function positiveAxis(what: string, axis: number, rank: number): number {
  const front = axis < 0 ? axis + rank : axis;
  if (front < 0 || front >= rank || !Number.isInteger(axis)) {
    throw new ShapeError(`${what}: axis ${axis} does not exist in a tensor of rank ${rank}`);
  }
  return front;
}
