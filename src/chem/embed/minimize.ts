// Minimises a smooth function of many coordinates: limited-memory BFGS with a bound on how far a coordinate moves in one step.

/** Writes the gradient and returns the value. */
export type Objective = (at: Float64Array, gradient: Float64Array) => number;

export interface MinimizeOptions {
  readonly maxIterations: number;
  /** Ends when the root mean square of the gradient falls below this. */
  readonly gradientTolerance: number;
  /** Ends when three steps together lower the value by less than this. */
  readonly valueTolerance: number;
  /** Largest change of a coordinate in one step. */
  readonly maxStep: number;
  /** Ends at this time of `performance.now()`. */
  readonly deadline?: number;
}

export interface MinimizeResult {
  readonly value: number;
  readonly iterations: number;
}

/** Pairs of step and gradient change that are remembered. */
const MEMORY = 7;
/** Share of the expected decrease that a step must reach (Armijo). */
const SUFFICIENT = 1e-4;

/** Moves `x` downhill in place. The result never lies above where it began. */
export function minimize(objective: Objective, x: Float64Array, options: MinimizeOptions): MinimizeResult {
  const n = x.length;
  const history = new History(n);
  const gradient = new Float64Array(n);
  const direction = new Float64Array(n);
  const trial = new Float64Array(n);
  const trialGradient = new Float64Array(n);
  const deadline = options.deadline ?? Number.POSITIVE_INFINITY;
  let value = objective(x, gradient);
  let earlier = Number.POSITIVE_INFINITY;
  let iteration = 0;
  for (; iteration < options.maxIterations; iteration++) {
    if (norm(gradient) <= options.gradientTolerance * Math.sqrt(n)) break;
    if (iteration % 3 === 0) {
      if (earlier - value < options.valueTolerance || performance.now() > deadline) break;
      earlier = value;
    }
    history.direction(gradient, direction);
    let slope = dot(gradient, direction);
    if (!(slope < 0)) {
      history.clear();
      history.direction(gradient, direction);
      slope = dot(gradient, direction);
    }
    const longest = largest(direction);
    let step = Math.min(1, options.maxStep / longest);
    let next = Number.POSITIVE_INFINITY;
    for (let tries = 0; ; tries++) {
      for (let i = 0; i < n; i++) trial[i] = x[i] + step * direction[i];
      next = objective(trial, trialGradient);
      if (next <= value + SUFFICIENT * step * slope) break;
      if (tries === 12) return { value, iterations: iteration };
      const parabola = (-slope * step) / (2 * (next - value - slope * step));
      step *= Number.isFinite(next) ? Math.min(0.5, Math.max(0.1, parabola)) : 0.1;
    }
    history.remember(x, trial, gradient, trialGradient);
    x.set(trial);
    gradient.set(trialGradient);
    value = next;
  }
  return { value, iterations: iteration };
}

/** The last steps and what they did to the gradient, newest at `newest`. */
class History {
  private readonly steps: Float64Array[] = [];
  private readonly changes: Float64Array[] = [];
  private readonly inverse = new Float64Array(MEMORY);
  private readonly weight = new Float64Array(MEMORY);
  private count = 0;
  private newest = -1;

  constructor(private readonly n: number) {
    for (let k = 0; k < MEMORY; k++) {
      this.steps.push(new Float64Array(n));
      this.changes.push(new Float64Array(n));
    }
  }

  clear(): void {
    this.count = 0;
  }

  remember(from: Float64Array, to: Float64Array, gradientFrom: Float64Array, gradientTo: Float64Array): void {
    const slot = (this.newest + 1) % MEMORY;
    const step = this.steps[slot];
    const change = this.changes[slot];
    let product = 0;
    let square = 0;
    for (let i = 0; i < this.n; i++) {
      step[i] = to[i] - from[i];
      change[i] = gradientTo[i] - gradientFrom[i];
      product += step[i] * change[i];
      square += change[i] * change[i];
    }
    // Without positive curvature along the step the approximation would stop pointing downhill.
    if (!(product > 1e-10 * square)) return;
    this.inverse[slot] = 1 / product;
    this.newest = slot;
    this.count = Math.min(MEMORY, this.count + 1);
  }

  /** The two-loop recursion (Nocedal 1980). */
  direction(gradient: Float64Array, out: Float64Array): void {
    const { n, steps, changes, inverse, weight } = this;
    for (let i = 0; i < n; i++) out[i] = -gradient[i];
    for (let k = 0; k < this.count; k++) {
      const slot = (this.newest - k + MEMORY) % MEMORY;
      const change = changes[slot];
      const factor = inverse[slot] * dot(steps[slot], out);
      weight[slot] = factor;
      for (let i = 0; i < n; i++) out[i] -= factor * change[i];
    }
    if (this.count > 0) {
      const change = changes[this.newest];
      const scale = 1 / (inverse[this.newest] * dot(change, change));
      for (let i = 0; i < n; i++) out[i] *= scale;
    }
    for (let k = this.count - 1; k >= 0; k--) {
      const slot = (this.newest - k + MEMORY) % MEMORY;
      const step = steps[slot];
      const factor = weight[slot] - inverse[slot] * dot(changes[slot], out);
      for (let i = 0; i < n; i++) out[i] += factor * step[i];
    }
  }
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function norm(a: Float64Array): number {
  return Math.sqrt(dot(a, a));
}

function largest(a: Float64Array): number {
  let found = 1e-300;
  for (let i = 0; i < a.length; i++) found = Math.max(found, Math.abs(a[i]));
  return found;
}
