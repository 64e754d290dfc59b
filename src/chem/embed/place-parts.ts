// Sets the parts of a salt or mixture side by side, so that no two of them touch.

const GAP = 3.5;

/**
 * Puts the parts in a row along x by their extent, each about its own middle.
 *
 * @param parts coordinates in Å, [atoms of the part, 3] each; moved in place
 */
export function placeParts(parts: readonly Float64Array[]): void {
  let edge = 0;
  parts.forEach((x, number) => {
    const middle = [0, 0, 0];
    for (let i = 0; i < x.length; i++) middle[i % 3] += (3 * x[i]) / x.length;
    let low = 0;
    let high = 0;
    for (let i = 0; i < x.length; i++) {
      x[i] -= middle[i % 3];
      if (i % 3 !== 0) continue;
      low = Math.min(low, x[i]);
      high = Math.max(high, x[i]);
    }
    const shift = number === 0 ? 0 : edge + GAP - low;
    for (let i = 0; i < x.length; i += 3) x[i] += shift;
    edge = shift + high;
  });
}
