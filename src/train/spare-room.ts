// Memory of a batch that is used up, for the masks of the next: fresh pages would cost more than the draws in them.

import { releaseMemory } from "../data/release-memory.js";

/** Gives memory of at least so many bytes, with anything in it. */
export type Room = (bytes: number) => ArrayBuffer;

/** Batches differ in size: room is made in steps of about a sixteenth, so that a batch fits into what another one left. */
function roundUp(bytes: number): number {
  const step = 2 ** Math.max(9, Math.floor(Math.log2(bytes)) - 4);
  return Math.ceil(bytes / step) * step;
}

export const freshRoom: Room = (bytes) => new ArrayBuffer(roundUp(Math.max(1, bytes)));

/** The spare memory where it is large enough, else fresh memory instead of it. */
export function roomIn(spare: ArrayBuffer | null): Room {
  return (bytes) => {
    if (spare && spare.byteLength >= bytes) return spare;
    if (spare) releaseMemory([spare]);
    return freshRoom(bytes);
  };
}
