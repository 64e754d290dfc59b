import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

/** A process that was told to stop and never does. */
const STUBBORN = `
  import { listenForStop } from ${JSON.stringify(new URL("./stop-request.js", import.meta.url).href)};
  const stop = listenForStop("finishing");
  stop.signal.addEventListener("abort", () => console.log("asked", stop.exitCode()));
  setInterval(() => {}, 1000);
  console.log("ready");
`;

async function line(child: ChildProcess): Promise<string> {
  const [data] = (await once(child.stdout!, "data")) as [Buffer];
  return data.toString().trim();
}

test("the first signal asks, its echo is ignored, a later one ends the process", async () => {
  const child = spawn(process.execPath, ["--input-type=module", "-e", STUBBORN], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  assert.equal(await line(child), "ready");
  child.kill("SIGINT");
  assert.equal(await line(child), "asked 130");
  child.kill("SIGINT");
  await sleep(300);
  assert.equal(child.exitCode, null);
  await sleep(900);
  child.kill("SIGTERM");
  const [code] = (await once(child, "exit")) as [number];
  assert.equal(code, 143);
});
