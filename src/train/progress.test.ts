import assert from "node:assert/strict";
import { test } from "node:test";
import { createProgress, formatDuration, type ProgressOptions } from "./progress.js";

function start(options: Partial<ProgressOptions> & { isTTY?: boolean; columns?: number } = {}) {
  const written: string[] = [];
  let time = 0;
  const { isTTY = false, columns = 100, ...rest } = options;
  const progress = createProgress({
    label: "pretrain",
    total: 200,
    stream: { isTTY, columns, write: (text) => written.push(text) },
    now: () => time,
    ...rest,
  });
  const advance = (milliseconds: number): void => {
    time += milliseconds;
  };
  return { progress, written, advance };
}

const LOSSES = { loss: 8.456146, node: 0.87645, spd: 2.55497, edge: 1.0912, "3d": 0.99, lr: 1.25e-5 };

test("plain lines come every five seconds and at the end", () => {
  const { progress, written, advance } = start();
  for (let step = 1; step <= 200; step++) {
    advance(100);
    progress.update(step, { loss: 10 / step }, 32);
  }
  progress.finish();
  assert.deepEqual(written, [
    "pretrain step 50/200, loss 0.2, 320 molecules/s, 15s left\n",
    "pretrain step 100/200, loss 0.1, 320 molecules/s, 10s left\n",
    "pretrain step 150/200, loss 0.06667, 320 molecules/s, 5s left\n",
    "pretrain step 200/200, loss 0.05, 320 molecules/s, 20s in all\n",
  ]);
});

test("the live line fits the terminal whatever its width, and is redrawn ten times a second at most", () => {
  for (const columns of [20, 40, 60, 80, 120, 200]) {
    const { progress, written, advance } = start({ isTTY: true, columns });
    for (let step = 1; step <= 100; step++) {
      advance(25);
      progress.update(step, LOSSES, 32);
    }
    progress.finish();
    assert.equal(written.pop(), "\n");
    assert.ok(written.length <= 27, `${written.length} redraws`);
    for (const line of written) {
      assert.ok(line.startsWith("\r\u001b[2K"));
      assert.ok(line.length - 5 < columns, `${columns} columns: ${line}`);
    }
    if (columns === 60) assert.match(written.at(-1)!, / 50% {2}100\/200 {2}loss 8.456 {2}3s left$/);
    if (columns > 60) assert.match(written.at(-1)!, / 50% █+[▏▎▍▌▋▊▉]?░+ 100\/200 {2}loss 8.456.*3s left$/);
  }
});

test("a resumed run counts its rate from where it resumed", () => {
  const { progress, written, advance } = start({ start: 190, unit: "pairs" });
  advance(5000);
  progress.update(195, { lr: 1e-5 }, 50);
  assert.deepEqual(written, ["pretrain step 195/200, lr 1.0e-5, 10.0 pairs/s, 5s left\n"]);
});

test("messages stand above the live line; silence is silent", () => {
  const live = start({ isTTY: true });
  live.progress.message("corpus: 12 molecules");
  live.progress.update(1, {}, 1);
  live.progress.message("saved");
  assert.match(live.written[0], /corpus: 12 molecules\n$/);
  assert.match(live.written[2], /saved\n$/);
  assert.match(live.written[3], /1\/200/);
  const silent = start({ mode: "silent", isTTY: true });
  silent.progress.update(1, {}, 1);
  silent.progress.message("hello");
  silent.progress.finish();
  assert.deepEqual(silent.written, []);
});

test("durations", () => {
  const cases: [seconds: number, text: string][] = [
    [0, "0s"],
    [59.6, "1m00s"],
    [188, "3m08s"],
    [7500, "2h05m"],
    [3 * 86_400 + 4 * 3600, "3d04h"],
  ];
  for (const [seconds, text] of cases) assert.equal(formatDuration(seconds), text);
});
