// Replicas of a model in threads of one process: gradients summed and parameters shared through shared memory.
import {
  type AdamConfig,
  type AdamReport,
  type AdamStep,
  applyAdam,
  BLOCK,
  blocks,
  gradientAddress,
  type Span,
} from "./adam.js";
import type { Arena } from "./arena.js";

/** Memory that all replicas of a model see, and the thread that directs them. */
export interface SharedModel {
  /** Parameters as the last update left them. Float32 [count] */
  readonly parameters: SharedArrayBuffer;
  /** What each replica gives to the others. Float32 [replicas, count], of which a replica leaves its own part untouched. */
  readonly gradients: SharedArrayBuffer;
  /** Sum of the squared gradients in the part of each replica. Float64 [replicas] */
  readonly squares: SharedArrayBuffer;
  /** Replicas that wait, and how often all have met. Int32 [2] */
  readonly control: SharedArrayBuffer;
  readonly replicas: number;
  /** Parameters in all, a multiple of 16 as in every layout. */
  readonly count: number;
}

/** @param count parameters in all, a multiple of 16 */
export function shareModel(count: number, replicas: number): SharedModel {
  return {
    parameters: new SharedArrayBuffer(4 * count),
    gradients: new SharedArrayBuffer(4 * count * replicas),
    squares: new SharedArrayBuffer(8 * replicas),
    control: new SharedArrayBuffer(8),
    replicas,
    count,
  };
}

/** Parts begin at multiples of this many floats: whole vectors, and no cache line in two of them. */
const ALIGNMENT = 16;

/** The part of the parameters that a replica updates, the moments of which it alone has. */
export function partOf(replica: number, { replicas, count }: Pick<SharedModel, "replicas" | "count">): Span {
  const size = Math.ceil(count / replicas / ALIGNMENT) * ALIGNMENT;
  return { begin: Math.min(count, replica * size), end: Math.min(count, (replica + 1) * size) };
}

const WAITING = 0;
const MEETINGS = 1;
/** Looks at the memory before a thread sleeps: replicas that do equal work arrive within microseconds of each other. */
const LOOKS = 2000;

/** Floats of room that an arena needs for the gradients of other replicas. */
export const EXCHANGE_ROOM = BLOCK;

/** One replica's side of the group. Every replica must make the same calls; each waits for the others. */
export class ReplicaGroup {
  readonly #part: Span;
  readonly #parameters: Float32Array;
  /** By replica. */
  readonly #gradients: readonly Float32Array[];
  readonly #squares: Float64Array;
  readonly #control: Int32Array;

  constructor(
    shared: SharedModel,
    private readonly replica: number,
  ) {
    const { replicas, count } = shared;
    this.#part = partOf(replica, shared);
    this.#parameters = new Float32Array(shared.parameters);
    this.#gradients = Array.from(
      { length: replicas },
      (_, i) => new Float32Array(shared.gradients, 4 * count * i, count),
    );
    this.#squares = new Float64Array(shared.squares);
    this.#control = new Int32Array(shared.control);
  }

  /** Takes the parameters that lie in shared memory. */
  read(arena: Arena): void {
    arena.parameters.set(this.#parameters);
  }

  /**
   * One update of all replicas with the sum of their gradients: each sums its part of them, updates that part of the parameters and
   * takes the others. The order of the sums depends on nothing but the number of replicas.
   */
  update(arena: Arena, config: AdamConfig, step: AdamStep): AdamReport {
    const source = (step.accumulated ? arena.accumulated : null) ?? arena.gradients;
    this.#exceptOwn((span) => copy(source, this.#gradients[this.replica], span));
    this.#meet();
    this.#squares[this.replica] = this.#sumParts(arena, gradientAddress(arena, step.accumulated ?? false));
    this.#meet();
    const norm = Math.sqrt(this.#squares.reduce((sum, square) => sum + square, 0));
    const report = applyAdam(arena, config, step, norm, this.#part);
    copy(arena.parameters, this.#parameters, this.#part);
    this.#meet();
    this.#exceptOwn((span) => copy(this.#parameters, arena.parameters, span));
    return report;
  }

  /** Adds what the others give to this replica's part of its gradients, and gives the sum of the squares. */
  #sumParts({ kernel, scratch, address }: Arena, gradients: number): number {
    if (!scratch) throw new TypeError("the arena of a replica has no room for the gradients of others");
    let squares = 0;
    for (const { begin, end } of blocks(this.#part)) {
      const at = gradients + 4 * begin;
      const size = end - begin;
      for (const [replica, other] of this.#gradients.entries()) {
        if (replica === this.replica) continue;
        scratch.set(other.subarray(begin, end));
        kernel.addInto(at, address.scratch, size);
      }
      squares += kernel.squareSum(at, size);
    }
    return squares;
  }

  #exceptOwn(visit: (span: Span) => void): void {
    visit({ begin: 0, end: this.#part.begin });
    visit({ begin: this.#part.end, end: this.#parameters.length });
  }

  /** Returns when all replicas have come here. */
  #meet(): void {
    const control = this.#control;
    const meeting = Atomics.load(control, MEETINGS);
    if (Atomics.add(control, WAITING, 1) === this.#gradients.length - 1) {
      Atomics.store(control, WAITING, 0);
      Atomics.add(control, MEETINGS, 1);
      Atomics.notify(control, MEETINGS);
      return;
    }
    for (let look = 0; look < LOOKS; look++) if (Atomics.load(control, MEETINGS) !== meeting) return;
    while (Atomics.load(control, MEETINGS) === meeting) Atomics.wait(control, MEETINGS, meeting);
  }
}

function copy(from: Float32Array, to: Float32Array, { begin, end }: Span): void {
  if (end > begin) to.set(from.subarray(begin, end), begin);
}
