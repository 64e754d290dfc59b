// Runs every compiled test file with Node's test runner; arguments narrow them by part of their path.
// The last line reads "N passed, N failed"; the exit code is 1 when anything failed.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";

const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith("-"));
const flags = process.argv.slice(2).filter((argument) => argument.startsWith("-"));
const files = ["dist/src", "dist/test"]
  .filter((folder) => existsSync(folder))
  .flatMap((folder) => readdirSync(folder, { recursive: true }).map((name) => join(folder, name)))
  .filter((name) => name.endsWith(".test.js"))
  // What was compiled of a file that is gone is no test any more.
  .filter((name) => existsSync(relative("dist", name).replace(/\.js$/, ".ts")))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .sort();
if (files.length === 0) {
  console.error(`no test file matches ${wanted.join(" ") || "(none is compiled)"}`);
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), "moleblend-tests-"));
const tap = join(folder, "results.tap");
const reporters = ["spec", "stdout", "tap", tap].map(
  (value, i) => `--test-reporter${i % 2 ? "-destination" : ""}=${value}`,
);
const { status } = spawnSync(process.execPath, ["--test", "--test-concurrency=2", ...reporters, ...flags, ...files], {
  stdio: "inherit",
});
const summary = existsSync(tap) ? readFileSync(tap, "utf8") : "";
rmSync(folder, { recursive: true });

/** Of the totals at the end; NaN when the runner did not get that far. */
const count = (what) =>
  Number(
    summary
      .match(new RegExp(`^# ${what} (\\d+)$`, "gm"))
      ?.at(-1)
      ?.split(" ")
      .at(-1) ?? Number.NaN,
  );
const failed = count("fail") + count("cancelled");
if (Number.isNaN(failed)) console.error("the test runner ended without a summary");
if (count("skipped") > 0) console.log(`${count("skipped")} skipped`);
console.log(`${count("pass") || 0} passed, ${failed || 0} failed`);
process.exit(status === 0 && failed === 0 ? 0 : 1);
