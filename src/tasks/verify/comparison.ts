// One compared array: how far ours is from the reference, and how far it may be.

export interface Comparison {
  /** What was compared, e.g. `model-tiny/a layer.0.out`. */
  readonly name: string;
  /** Largest difference over the reference's largest value, or the absolute difference where the reference is zero. */
  readonly error: number;
  readonly tolerance: number;
  readonly kind: "relative" | "absolute" | "equal" | "skipped";
  /** Anything a reader should know: where it differs, or why it was not compared. */
  readonly note?: string;
}

export function passes({ error, tolerance, kind }: Comparison): boolean {
  return kind === "skipped" || error <= tolerance;
}

/** Largest |a - b| and largest |b| over the elements that `included` selects. */
export function deviation(
  ours: ArrayLike<number>,
  reference: ArrayLike<number>,
  included: (index: number) => boolean = () => true,
): { error: number; largest: number } {
  let error = 0;
  let largest = 0;
  for (let i = 0; i < reference.length; i++) {
    if (!included(i)) continue;
    const difference = Math.abs(ours[i] - reference[i]);
    // Not `>`: a NaN must count as a difference.
    if (!(difference <= error)) error = difference;
    largest = Math.max(largest, Math.abs(reference[i]));
  }
  return { error: Number.isNaN(error) ? Number.POSITIVE_INFINITY : error, largest };
}

/** Compares relative to the largest reference value; absolutely where that is below `zeroBelow`. */
export function compare(
  name: string,
  ours: ArrayLike<number>,
  reference: ArrayLike<number>,
  tolerance: number,
  options: { included?: (index: number) => boolean; zeroBelow?: number; absoluteTolerance?: number } = {},
): Comparison {
  const { included, zeroBelow = 0, absoluteTolerance = 1e-6 } = options;
  if (ours.length !== reference.length) {
    const note = `expected ${reference.length} elements, got ${ours.length}`;
    return { name, error: Number.POSITIVE_INFINITY, tolerance, kind: "relative", note };
  }
  const { error, largest } = deviation(ours, reference, included);
  return largest <= zeroBelow
    ? { name, error, tolerance: absoluteTolerance, kind: "absolute" }
    : { name, error: error / largest, tolerance, kind: "relative" };
}

/** Integer arrays must agree in every element. */
export function compareExactly(name: string, ours: ArrayLike<number>, reference: ArrayLike<number>): Comparison {
  let different = ours.length === reference.length ? 0 : Math.max(ours.length, reference.length);
  let first = -1;
  for (let i = 0; different === 0 || i < Math.min(ours.length, reference.length); i++) {
    if (i >= ours.length) break;
    if (Object.is(ours[i], reference[i]) || ours[i] === reference[i]) continue;
    if (first < 0) first = i;
    different++;
  }
  const note = first < 0 ? undefined : `first at element ${first}: expected ${reference[first]}, got ${ours[first]}`;
  return { name, error: different, tolerance: 0, kind: "equal", ...(note ? { note } : {}) };
}
