// How readers of files that Python wrote report what they cannot read: whoever opens a file says which error it is.
import type { MoleblendError } from "../../errors.js";

export type FailureClass = new (message: string) => MoleblendError;
export type Fail = (reason: string) => never;

/** Throws errors of a class, each with the name of what was read in front. */
export function failing(Failure: FailureClass, name: string): Fail {
  return (reason) => {
    throw new Failure(`${name}: ${reason}`);
  };
}
