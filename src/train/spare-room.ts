// Memory of batches that are used up, for the masks of the next: fresh pages would cost more than the draws in them.

/** Gives memory of at least so many bytes, with anything in it. */
export type Room = (bytes: number) => ArrayBuffer;

/** Batches differ in size: room is made in steps of about an eighth, so that a batch fits into what another one left. */
function roundUp(bytes: number): number {
  const step = 2 ** Math.max(9, Math.floor(Math.log2(bytes)) - 3);
  return Math.ceil(bytes / step) * step;
}

export const freshRoom: Room = (bytes) => new ArrayBuffer(roundUp(Math.max(1, bytes)));

/** The least of `spare` that is large enough and not much too large, each once; fresh memory where there is none. */
export function roomIn(spare: readonly ArrayBuffer[]): Room {
  const left = [...spare].sort((a, b) => a.byteLength - b.byteLength);
  return (bytes) => {
    const fit = left.findIndex(({ byteLength }) => byteLength >= bytes);
    if (fit < 0 || left[fit].byteLength > 2 * bytes) return freshRoom(bytes);
    return left.splice(fit, 1)[0];
  };
}
