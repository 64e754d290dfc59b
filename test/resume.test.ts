// A run that is killed or stopped at any moment and resumed ends bit for bit like one that never was.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { setImmediate as nextTick, setTimeout as sleep } from "node:timers/promises";
import { Random } from "../src/random.js";
import { moleblend, type Outcome, sha256File, smallSdf, startCli, temporaryFolder } from "./support.js";

const STEPS = 16;
const folder = temporaryFolder();
const corpus = join(folder, "corpus");
const runs = join(folder, "runs");
// Log lines and checkpoints fall on different steps, so that a checkpoint lies between two log lines.
const settings = "--batch-size 4 --accumulate 2 --log-every 3 --evaluate-every 8 --checkpoint-every 2 --dropout 0.1"
  .split(" ")
  .concat(["--steps", `${STEPS}`]);

const begin = (name: string, ...more: string[]) =>
  ["pretrain", corpus, "--runs", runs, "--name", name, "--threads", "1", "--quiet", ...settings, ...more] as const;
const goOn = (name: string) => ["pretrain", "--runs", runs, "--resume", name, "--threads", "1", "--quiet"] as const;
const checkpoints = (name: string) => join(runs, name, "checkpoints");

function entries(name: string): string[] {
  return existsSync(checkpoints(name)) ? readdirSync(checkpoints(name)) : [];
}

/** What must not depend on how often a run was interrupted. */
function results(name: string) {
  const last = join(checkpoints(name), `checkpoint-${STEPS}`);
  return {
    model: sha256File(join(last, "model.safetensors")),
    optimizer: sha256File(join(last, "optimizer.safetensors")),
    metrics: readFileSync(join(runs, name, "metrics.jsonl"), "utf8"),
  };
}

async function succeed(outcome: Promise<Outcome>): Promise<Outcome> {
  const result = await outcome;
  assert.equal(result.code, 0, result.stderr);
  return result;
}

/** Waits until the process has written a checkpoint that was not there before. */
async function newCheckpoint(name: string, known: readonly string[], ended: () => boolean): Promise<void> {
  while (!ended() && !entries(name).some((entry) => /^checkpoint-/.test(entry) && !known.includes(entry)))
    await sleep(1);
}

describe("an interrupted run", () => {
  let expected: ReturnType<typeof results>;

  before(async () => {
    await succeed(moleblend(["prepare", smallSdf(folder, 60), "--out", corpus, "--quiet", "--workers", "0"]));
    await succeed(moleblend(begin("whole", "--seed", "5")));
    expected = results("whole");
  });

  it("is the same again with the same seed, and another with another", async () => {
    await Promise.all([
      succeed(moleblend(begin("again", "--seed", "5"))),
      succeed(moleblend(begin("other", "--seed", "6"))),
    ]);
    assert.deepEqual(results("again"), expected);
    assert.notEqual(results("other").model, expected.model);
  });

  it("resumes after SIGKILL at random moments and within checkpoint writes", async (context) => {
    const random = Random.fromSeed(1);
    let torn = 0;
    let kills = 0;
    for (let attempt = 0; ; attempt++) {
      const known = entries("killed");
      const { child, outcome } = startCli(attempt === 0 ? begin("killed", "--seed", "5") : goOn("killed"));
      const ended = () => child.exitCode !== null || child.signalCode !== null;
      if (kills < 4) {
        await newCheckpoint("killed", known, ended);
        if (attempt % 2 === 0) {
          while (!ended() && !entries("killed").some((entry) => entry.startsWith(".writing-"))) await nextTick();
          await sleep(random.below(20));
        } else {
          await sleep(random.below(150));
        }
        child.kill("SIGKILL");
      }
      const { signal, code, stderr } = await outcome;
      if (signal === "SIGKILL") kills++;
      else assert.equal(code, 0, stderr);
      if (entries("killed").some((entry) => entry.startsWith(".writing-"))) torn++;
      if (signal === null) break;
    }
    context.diagnostic(`${kills} kills, ${torn} of them within a checkpoint write`);
    assert.ok(kills >= 2 && torn >= 1, `${kills} kills, ${torn} torn`);
    assert.deepEqual(results("killed"), expected);
    assert.ok(entries("killed").every((entry) => !entry.startsWith(".")));
  });

  it("begins anew when it was killed before its first checkpoint", async () => {
    const { child, outcome } = startCli(begin("early", "--seed", "5"));
    const config = join(runs, "early", "config.json");
    while (!existsSync(config) && child.exitCode === null) await sleep(1);
    child.kill("SIGKILL");
    assert.equal((await outcome).signal, "SIGKILL");
    assert.deepEqual(entries("early"), []);
    await succeed(moleblend(goOn("early")));
    assert.deepEqual(results("early"), expected);
  });

  it("checkpoints and says how to resume on SIGINT and SIGTERM", async () => {
    const codes = { SIGINT: 130, SIGTERM: 143 } as const;
    let command: readonly string[] = begin("stopped", "--seed", "5");
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      const known = entries("stopped");
      const { child, outcome } = startCli([...command, "--json"]);
      await newCheckpoint("stopped", known, () => child.exitCode !== null);
      child.kill(signal);
      const { code, stdout, stderr } = await outcome;
      assert.equal(code, codes[signal], stderr);
      assert.match(stderr, new RegExp(`${signal}: finishing this step`));
      assert.match(stderr, /to go on: moleblend pretrain --runs .*runs --resume stopped/);
      const summary = JSON.parse(stdout) as { finished: boolean; step: number };
      assert.equal(summary.finished, false);
      assert.ok(entries("stopped").includes(`checkpoint-${summary.step}`));
      command = goOn("stopped");
    }
    await succeed(moleblend(goOn("stopped")));
    assert.deepEqual(results("stopped"), expected);
  });

  it("resumes with as many replicas as it began with, whatever the threads", async () => {
    const replicas = ["--replicas", "2", "--seed", "5"];
    await succeed(moleblend(begin("shared", ...replicas)));
    const { child, outcome } = startCli(begin("shared-stopped", ...replicas));
    await newCheckpoint("shared-stopped", [], () => child.exitCode !== null);
    child.kill("SIGTERM");
    assert.equal((await outcome).code, 143);
    const last = ["pretrain", "--runs", runs, "--resume", "shared-stopped", "--quiet"];
    await succeed(moleblend([...last, "--threads", "2"]));
    const { model, optimizer } = results("shared");
    const resumed = results("shared-stopped");
    // Held-out measures depend on the threads in their last digits.
    assert.deepEqual([resumed.model, resumed.optimizer], [model, optimizer]);
  });

  it("reports again when it is resumed after its last step", async () => {
    const { stdout } = await succeed(moleblend([...goOn("whole"), "--json"]));
    const summary = JSON.parse(stdout) as { finished: boolean; heldout: { spd: { value: number } } };
    assert.equal(summary.finished, true);
    assert.ok(summary.heldout.spd.value > 0);
    assert.deepEqual(results("whole"), expected);
  });
});
