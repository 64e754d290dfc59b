// An error on its way out: what the user reads on stderr, and the exit code.
import { CommanderError } from "commander";
import { MoleblendError } from "../errors.js";
import { printRemark } from "./output.js";

/** The job could not be done; the command line could not be understood. */
const FAILED = 1;
const USAGE = 2;

/** A command line that cannot be meant, found by a command itself. */
export class UsageError extends MoleblendError {}

/** The system refused something (no permission, no space, ...): mended outside of this package. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error && "errno" in error;
}

/** Reports an error and gives the exit code; help and version are no errors. */
export function reportFailure(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE; // commander has printed it
  if (error instanceof MoleblendError) {
    printRemark(`error: ${error.message}`);
    return error instanceof UsageError ? USAGE : FAILED;
  }
  if (isSystemError(error)) {
    printRemark(`error: ${error.message}`);
    return FAILED;
  }
  printRemark(error instanceof Error ? (error.stack ?? error.message) : String(error));
  printRemark("This is a defect of moleblend: please report it with the command line and the text above.");
  return FAILED;
}
