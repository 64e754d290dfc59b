// The command line as a user meets it: help, JSON on stdout and nothing else, errors with their exit codes, whole jobs.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { moleblend, type Outcome, repositoryRoot, smallSdf, temporaryFolder } from "./support.js";

const folder = temporaryFolder();
const runs = join(folder, "runs");
let files = 0;

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, `${files++}-${name}`);
  writeFileSync(path, content);
  return path;
}
const unused = (name: string) => join(folder, `${files++}-${name}`);

/** One line that says what is wrong, no stack, nothing on stdout. */
function assertFails({ code, stdout, stderr }: Outcome, expectedCode: number, message: RegExp): void {
  assert.equal(code, expectedCode, stderr);
  assert.equal(stdout, "");
  const errors = stderr.split("\n").filter((line) => line.startsWith("error:"));
  assert.equal(errors.length, 1, stderr);
  assert.match(errors[0], message);
  assert.doesNotMatch(stderr, /\n\s+at |defect of moleblend/);
}

describe("moleblend", () => {
  it("explains itself and every command, with an example", async () => {
    const all = await moleblend(["--help"]);
    assert.equal(all.code, 0);
    for (const command of ["prepare", "pretrain", "verify", "bench"]) {
      assert.match(all.stdout, new RegExp(`^  ${command} `, "m"));
      const { code, stdout, stderr } = await moleblend([command, "--help"]);
      assert.equal(code, 0);
      assert.equal(stderr, "");
      assert.match(stdout, new RegExp(`Examples?:\n  moleblend ${command}`));
      assert.match(stdout, /--json/);
    }
  });

  it("prints the version of the package", async () => {
    const manifest = JSON.parse(readFileSync(join(repositoryRoot(), "package.json"), "utf8")) as { version: string };
    assert.equal((await moleblend(["--version"])).stdout, `${manifest.version}\n`);
  });

  it("refuses command lines that cannot be meant, with exit code 2", async () => {
    const cases: readonly [readonly string[], RegExp][] = [
      [["pretrian"], /unknown command 'pretrian'/],
      [["pretrain", "--step", "3"], /unknown option '--step'/],
      [["prepare"], /--out <folder>' not specified/],
      [["pretrain", "--preset", "huge"], /--preset.*'huge'.*mini, base, paper/],
      [["pretrain", "--steps", "ten"], /--steps.*'ten'.*a positive integer/],
      [["pretrain", "--steps", "0"], /--steps.*'0'.*a positive integer/],
      [["pretrain", "--noise", "-1"], /--noise.*'-1'.*0 or a positive number/],
      [["pretrain", "--probabilities", "0.5,0.6,0.1"], /--probabilities.*three probabilities/],
      [["pretrain", "--batch-size", "4", "--max-tokens", "64"], /cannot be used with option '--max-tokens/],
      [["pretrain", "--resume", "x", "--steps", "5", "--noise", "1"], /leave out --noise, --steps/],
      [["bench", "--presets", "mini,maxi"], /--presets.*'mini,maxi'.*mini, base, paper/],
    ];
    const outcomes = await inPairs(cases, ([args]) => moleblend(args));
    cases.forEach(([, message], i) => void assertFails(outcomes[i], 2, message));
    assert.match(outcomes[0].stderr, /Did you mean pretrain\?/);
    assert.match(outcomes[1].stderr, /Did you mean --steps\?/);
  });

  it("names what is wrong with the input, with exit code 1, and leaves stdout empty under --json", async () => {
    const csv = file("table.csv", "id,structure_text,gap\n1,CCO,2.5\n");
    const out = unused("corpus");
    const occupied = unused("occupied");
    mkdirSync(occupied);
    writeFileSync(join(occupied, "thesis.txt"), "years of work");
    const good = file("good.smi", "CCO\nCCN\n");
    const cases: readonly [readonly string[], RegExp][] = [
      [["prepare", join(folder, "none.smi"), "--out", out], /none\.smi: there is no such file/],
      [["prepare", csv, "--smiles-column", "smiles", "--out", out], /column "smiles".*id, structure_text, gap/],
      [["prepare", csv, "--out", out], /expected a SMILES column, got the columns id, structure_text, gap/],
      [
        ["prepare", csv, "--smiles-column", "structure_text", "--labels", "gap,homo", "--out", out],
        /label "homo".*\bgap\b/,
      ],
      [["prepare", file("bad.smi", "C1CC\nxyz\n"), "--out", out], /2 records of which none can be used.*bad\.smi:1/],
      [["prepare", file("junk.sdf", randomBytes(5000)), "--out", out], /junk\.sdf.*binary/],
      [["prepare", file("empty.smi", ""), "--out", out], /empty\.smi: the file is empty/],
      [["prepare", good, "--out", occupied], /occupied/],
      [["pretrain", join(folder, "none.sdf"), "--runs", runs], /none\.sdf: no such file/],
      [["pretrain", occupied, "--runs", runs], /expected a prepared corpus/],
      [["pretrain", "--resume", "never", "--runs", runs], /never: no run to resume/],
      [["verify", occupied], /holds no reference fixtures/],
      [["verify", join(folder, "nowhere")], /nowhere: expected a folder/],
    ];
    const outcomes = await inPairs(cases, ([args]) => moleblend([...args, "--json"]));
    cases.forEach(([, message], i) => void assertFails(outcomes[i], 1, message));
    assert.equal(readFileSync(join(occupied, "thesis.txt"), "utf8"), "years of work");
    assert.ok(!existsSync(out));
    assert.deepEqual(existsSync(runs) ? readdirSync(runs).filter((name) => name !== "corpora") : [], []);
  });
});

describe("moleblend prepare", () => {
  it("keeps the good rows of a mixed table and accounts for every other", async () => {
    const rows = [
      "smiles,gap",
      "CCO,1.5",
      "C1CC,2", // line 3: ring left open
      "c1ccccc1,",
      ",4", // line 5: no SMILES
      `${"C".repeat(300)},5`, // line 6: too large
      "CC(=O)[O-].[Na+],n/a",
      "notasmiles,7", // line 8
      "N,high",
    ];
    const out = unused("corpus");
    const args = ["prepare", file("mixed.csv", `${rows.join("\n")}\n`), "--labels", "gap", "--out", out];
    const { code, stdout, stderr } = await moleblend([...args, "--json"]);
    assert.equal(code, 0, stderr);
    const summary = JSON.parse(stdout) as Record<string, unknown>;
    assert.equal(summary["records"], 8);
    assert.equal(summary["molecules"], 4);
    assert.deepEqual(summary["rejects"], { "unparsable-smiles": 2, "empty-line": 1, "too-many-atoms": 1 });
    assert.deepEqual(summary["notes"], { "missing-label": 2, "unparsable-label": 1 });
    const rejects = readFileSync(join(out, "rejects.jsonl"), "utf8").trimEnd().split("\n");
    const lines = rejects.map((line) => JSON.parse(line) as { line: number; code: string; reason: string });
    assert.deepEqual(
      lines.map(({ line, code: reject }) => [line, reject]),
      [
        [3, "unparsable-smiles"],
        [5, "empty-line"],
        [6, "too-many-atoms"],
        [8, "unparsable-smiles"],
      ],
    );
    const again = await moleblend([...args, "--quiet"]);
    assert.equal(again.code, 0, again.stderr);
    assert.equal(again.stderr, "");
    assert.match(again.stdout, /^records +8$/m);
    assert.match(again.stdout, /^ {2}unparsable-smiles +2$/m);
    assert.match(again.stdout, /rejects\.jsonl/);
  });
});

describe("moleblend pretrain", () => {
  let corpus: string;
  const tiny = ["--steps", "4", "--batch-size", "4", "--log-every", "2", "--threads", "1"];

  before(async () => {
    corpus = unused("corpus");
    const { code, stderr } = await moleblend(["prepare", smallSdf(folder, 24), "--out", corpus]);
    assert.equal(code, 0, stderr);
  });

  it("makes a run with checkpoints, metrics, TensorBoard events and a report", async () => {
    const { code, stdout, stderr } = await moleblend(["pretrain", corpus, "--runs", runs, ...tiny, "--json"]);
    assert.equal(code, 0, stderr);
    const summary = JSON.parse(stdout) as Record<string, never>;
    for (const measure of ["spd", "edge", "geometry", "denoise"]) {
      const { value, baseline } = summary["heldout"][measure] as { value: unknown; baseline: unknown };
      assert.ok(typeof value === "number" && typeof baseline === "number", measure);
    }
    for (const name of ["moleculesPerSecond", "seconds", "parameters"]) assert.ok(summary[name] > 0, name);
    const run = join(runs, "pretrain-mini");
    assert.equal(summary["run"], run);
    const last = join(run, "checkpoints", "checkpoint-4");
    assert.deepEqual(readdirSync(last).sort(), [
      "SHA256SUMS",
      "model.safetensors",
      "optimizer.safetensors",
      "state.json",
    ]);
    const metrics = readFileSync(join(run, "metrics.jsonl"), "utf8").trimEnd().split("\n");
    const records = metrics.map((line) => JSON.parse(line) as Record<string, number>);
    assert.deepEqual(
      records.map(({ step }) => step),
      [2, 4, 4],
    );
    assert.ok(Number.isFinite(records[0]["total"]) && Number.isFinite(records[2]["heldout/spd"]));
    assert.match(readdirSync(join(run, "tensorboard")).join(), /^events\.out\.tfevents\./);
    const report = readFileSync(join(run, "report.md"), "utf8");
    assert.match(report, /moleblend pretrain .*--steps 4/);
    for (const [, image] of report.matchAll(/!\[.*?\]\((.*?)\)/g)) assert.ok(existsSync(join(run, image)), image);
  });

  it("shows the held-out table, takes the next free name, and refuses a taken one", async () => {
    const args = ["pretrain", corpus, "--runs", runs, ...tiny, "--official", "--accumulate", "2"];
    const { code, stdout, stderr } = await moleblend(args);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^recovered where it was hidden +model +trivial guess +entries$/m);
    assert.match(stdout, /^3D displacement, cosine +-?0\.\d{4} +0\.\d{4} +[\d,]+$/m);
    assert.match(stdout, /pretrain-mini-2\/report\.md/);
    assertFails(await moleblend([...args, "--name", "pretrain-mini"]), 1, /pretrain-mini: this run exists/);
    assertFails(await moleblend([...args, "--labels", "gap"]), 1, /a prepared corpus; labels can only be chosen/);
  });

  it("names the shard that is damaged", async () => {
    const damaged = unused("damaged");
    const prepared = await moleblend(["prepare", smallSdf(folder, 24), "--out", damaged]);
    assert.equal(prepared.code, 0, prepared.stderr);
    const shard = readdirSync(damaged).find((name) => name.endsWith(".arrow") && !name.startsWith("index"));
    assert.ok(shard);
    const bytes = readFileSync(join(damaged, shard));
    bytes[bytes.length >> 1] ^= 1;
    writeFileSync(join(damaged, shard), bytes);
    const outcome = await moleblend(["pretrain", damaged, "--runs", runs, ...tiny, "--name", "damaged", "--json"]);
    assertFails(outcome, 1, new RegExp(`^error: [^:]*${shard}: expected sha256`));
  });

  it("names the file of a damaged checkpoint when it resumes", async () => {
    const name = "torn";
    const made = await moleblend(["pretrain", corpus, "--runs", runs, ...tiny, "--name", name]);
    assert.equal(made.code, 0, made.stderr);
    const path = join(runs, name, "checkpoints", "checkpoint-4", "model.safetensors");
    const bytes = readFileSync(path);
    bytes[bytes.length - 5] ^= 1;
    writeFileSync(path, bytes);
    assertFails(await moleblend(["pretrain", "--runs", runs, "--resume", name]), 1, /checkpoint-4.model\.safetensors/);
  });
});

describe("moleblend verify", () => {
  it("agrees with the recorded runs of the reference, and prints one JSON document", async () => {
    const { code, stdout, stderr } = await moleblend(["verify", "--json"]);
    assert.equal(code, 0, stderr);
    const report = JSON.parse(stdout) as { passed: boolean; counts: { passed: number; failed: number } };
    assert.equal(report.passed, true);
    assert.ok(report.counts.passed > 100);
    assert.equal(report.counts.failed, 0);
  });
});

describe("moleblend bench", () => {
  it("prints one JSON document", async () => {
    const args = ["bench", "--presets", "mini", "--steps", "1", "--batch-size", "4", "--cache", join(folder, "cache")];
    const { code, stdout, stderr } = await moleblend([...args, smallSdf(folder, 24), "--json"]);
    assert.equal(code, 0, stderr);
    const report = JSON.parse(stdout) as { results: { preset: string; moleculesPerSecond: number }[] };
    assert.equal(report.results[0].preset, "mini");
    assert.ok(report.results[0].moleculesPerSecond > 0);
  });
});

/** Two processes at a time, results in order. */
async function inPairs<T, R>(items: readonly T[], run: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += 2) results.push(...(await Promise.all(items.slice(at, at + 2).map(run))));
  return results;
}
