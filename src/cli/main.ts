#!/usr/bin/env node
// The moleblend command: runs one command and turns its end into an exit code (0 done, 1 failed, 2 wrong usage, 3 damaged input).
import { reportFailure } from "./failure.js";
import { createProgram } from "./program.js";

// A reader that goes away (`moleblend ... | head`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

try {
  await createProgram().parseAsync(process.argv);
} catch (error) {
  process.exitCode = reportFailure(error);
}
