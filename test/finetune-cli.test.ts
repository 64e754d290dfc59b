// The commands from labelled molecules to answers, as a user runs them: finetune, predict from a pipe, evaluate, embed.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { CLI, moleblend, repositoryRoot, smallSdf, temporaryFolder } from "./support.js";

const folder = temporaryFolder();
const sdf = smallSdf(folder, 60);
const runs = join(folder, "runs");
const run = join(runs, "gap");

/** Exit code, stdout and stderr of a command that reads `input`. */
function piped(
  args: readonly string[],
  input: string,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [CLI, ...args], { cwd: repositoryRoot() });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  child.stdin.end(input);
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })));
}

before(async () => {
  const args = [
    "finetune",
    sdf,
    "--targets",
    "gap_eV",
    "--scratch",
    "--split",
    "random",
    "--epochs",
    "1",
    "--seeds",
    "1,2",
  ];
  const { code, stdout, stderr } = await moleblend([...args, "--runs", runs, "--name", "gap", "-q", "--json"]);
  assert.equal(code, 0, stderr);
  const summary = JSON.parse(stdout) as { run: string; html: string; seeds: unknown[] };
  assert.equal(summary.run, run);
  assert.equal(summary.seeds.length, 2);
  assert.ok(existsSync(summary.html));
});

describe("from labels to answers", () => {
  it("predicts what comes through a pipe, says what was rejected, and exits with 0", async () => {
    const { code, stdout, stderr } = await piped(["predict", "-", "--model", run], "CCO a\nC1CC b\nc1ccccc1 c\n");
    assert.equal(code, 0, stderr);
    const lines = stdout.trim().split("\n");
    assert.equal(lines[0], "record,name,gap_eV predicted,gap_eV std,gap_eV std calibrated,similarity,far");
    assert.deepEqual(
      lines.slice(1).map((line) => line.split(",").slice(0, 2).join()),
      ["1,a", "3,c"],
    );
    assert.match(stderr, /2 molecules, 1 rejected.*\n.*1 unparsable-smiles; first: -:2: /);
    assert.match(stderr, /std: over 2 models/);
  });

  it("evaluates and embeds", async () => {
    const evaluated = await moleblend(["evaluate", sdf, "--model", run, "--runs", runs, "--json"]);
    assert.equal(evaluated.code, 0, evaluated.stderr);
    assert.equal((JSON.parse(evaluated.stdout) as { molecules: number }).molecules, 60);
    const out = join(folder, "vectors.npy");
    const embedded = await moleblend([
      "embed",
      sdf,
      "--model",
      run,
      "--pool",
      "mean",
      "--layer",
      "2",
      "--out",
      out,
      "-q",
    ]);
    assert.equal(embedded.code, 0, embedded.stderr);
    assert.match(readFileSync(out).toString("latin1", 0, 128), /\(60, 128\)/);
  });

  it("says what to do where something is missing", async () => {
    const table = join(folder, "labels.csv");
    writeFileSync(table, "smiles,y\nCCO,low\nCC,1\nCCC,0\n");
    const cases: [readonly string[], number, RegExp][] = [
      [["finetune", table, "--targets", "y"], 2, /--from RUN for a pretrained model, or --scratch/],
      [["finetune", table, "--scratch", "--runs", runs], 1, /name the columns to predict .*smiles, y/],
      [
        ["finetune", table, "--scratch", "--targets", "y", "--runs", runs],
        1,
        /labels.csv:2 .*expected a number, got "low"/,
      ],
      [["predict", table, "--model", folder], 1, /expected the run of a fine-tuned model/],
      [["embed", table, "--model", folder], 1, /expected a run or a checkpoint/],
      [["predict", table, "--model", run, "--json"], 2, /--json needs --out/],
    ];
    for (const [args, expected, message] of cases) {
      const { code, stderr } = await moleblend(args);
      assert.match(stderr, message);
      assert.equal(code, expected, stderr);
    }
  });
});
