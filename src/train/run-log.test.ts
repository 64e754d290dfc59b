import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { CheckpointError } from "../errors.js";
import { openRunLog, readRunLog } from "./run-log.js";

function inFolder(body: (path: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "moleblend-"));
  try {
    body(join(folder, "metrics.jsonl"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function write(path: string, resumeStep: number, steps: readonly number[]): void {
  const log = openRunLog(path, resumeStep);
  for (const step of steps) log.append({ step, loss: step / 2 });
  log.sync();
  log.close();
}

test("a resumed run lists no step twice and loses none", () =>
  inFolder((path) => {
    write(path, 0, [1, 2, 3, 4, 5]);
    appendFileSync(path, '{"step":6,"lo');
    write(path, 3, [4, 5, 6]);
    assert.deepEqual(
      readRunLog(path).map((record) => record.step),
      [1, 2, 3, 4, 5, 6],
    );
    write(path, 6, [7]);
    assert.deepEqual(readRunLog(path)[6], { step: 7, loss: 3.5 });
    write(path, 0, [1]);
    assert.deepEqual(readRunLog(path), [{ step: 1, loss: 0.5 }]);
  }));

test("several lines of one step belong together", () =>
  inFolder((path) => {
    write(path, 0, [1, 2, 2, 3]);
    write(path, 2, [3]);
    assert.equal(readFileSync(path, "utf8").trim().split("\n").length, 4);
  }));

test("numbers that JSON cannot hold become null", () =>
  inFolder((path) => {
    const log = openRunLog(path, 0);
    log.append({ step: 1, loss: Number.NaN, norm: Infinity, phase: "train", text: "a\nb" });
    log.close();
    assert.deepEqual(readRunLog(path), [{ step: 1, loss: null, norm: null, phase: "train", text: "a\nb" }]);
  }));

test("a foreign file is refused and left as it is", () =>
  inFolder((path) => {
    for (const text of ['{"step":1}\nhello\n{"step":2}\n', '{"loss":1}\n', "null\n"]) {
      writeFileSync(path, text);
      assert.throws(() => openRunLog(path, 5), CheckpointError);
      assert.equal(readFileSync(path, "utf8"), text);
    }
  }));
