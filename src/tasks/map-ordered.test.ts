// Results come in the order of the stream, few jobs run at a time, and errors end the iteration cleanly.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { mapOrdered } from "./map-ordered.js";

async function* numbers(count: number, onYield: (n: number) => void = () => {}) {
  for (let n = 0; n < count; n++) {
    onYield(n);
    yield n;
  }
}

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of stream) list.push(item);
  return list;
}

describe("mapOrdered", () => {
  it("keeps the order although later jobs end sooner, and never has more under way than asked", async () => {
    let running = 0;
    let most = 0;
    let ahead = 0;
    const job = async (n: number) => {
      most = Math.max(most, ++running);
      await sleep((n * 7) % 5);
      running--;
      return n * 2;
    };
    let given = 0;
    const results: number[] = [];
    for await (const result of mapOrdered(
      numbers(50, (n) => (given = n + 1)),
      job,
      4,
    )) {
      results.push(result);
      ahead = Math.max(ahead, given - results.length);
    }
    assert.deepEqual(
      results,
      Array.from({ length: 50 }, (_, n) => n * 2),
    );
    assert.equal(most, 4);
    assert.ok(ahead <= 4);
  });

  it("throws what a job throws, at its turn, after the others have settled", async () => {
    let settled = 0;
    const job = async (n: number) => {
      await sleep(n === 3 ? 0 : 5);
      settled++;
      if (n === 3) throw new Error("third");
      return n;
    };
    await assert.rejects(collect(mapOrdered(numbers(10), job, 4)), /third/);
    assert.ok(settled >= 4 && settled <= 7);
  });

  it("throws what the stream throws", async () => {
    const failing = numbers(5, (n) => {
      if (n === 2) throw new Error("unreadable");
    });
    await assert.rejects(collect(mapOrdered(failing, async (n) => n, 8)), /unreadable/);
  });

  it("ends the stream when the consumer stops", async () => {
    let closed = false;
    async function* endless() {
      try {
        for (let n = 0; ; n++) yield n;
      } finally {
        closed = true;
      }
    }
    for await (const n of mapOrdered(endless(), async (value) => value, 3)) if (n === 5) break;
    assert.ok(closed);
  });
});
