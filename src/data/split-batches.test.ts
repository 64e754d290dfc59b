// Splits and batches lose no molecule, keep structures together and budgets, and follow from their seeds alone.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ConfigError } from "../errors.js";
import { Random } from "../random.js";
import { type BatchOptions, type BatchPlan, planBatches } from "./batches.js";
import { splitCorpus } from "./split.js";

const ascending = (rows: Iterable<number>) => [...rows].sort((a, b) => a - b);

describe("splitCorpus", () => {
  const keys = fc.array(fc.bigInt({ min: 0n, max: 40n }), { maxLength: 200 }).map((list) => BigUint64Array.from(list));

  it("puts every row on one side and every structure on one side", () => {
    fc.assert(
      fc.property(keys, fc.integer(), fc.double({ min: 0, max: 0.49, noNaN: true }), (rows, seed, share) => {
        const { train, validation, test } = splitCorpus(rows, { validation: share, test: share }, seed);
        assert.deepEqual(
          ascending([...train, ...validation, ...test]),
          [...rows].map((_, row) => row),
        );
        const sides = [train, validation, test].map((side) => new Set(Array.from(side, (row) => rows[row])));
        const distinct = new Set(rows).size;
        assert.equal(sides[0].size + sides[1].size + sides[2].size, distinct);
        if (distinct > 0) assert.ok(train.length > 0);
      }),
    );
  });

  it("does not depend on the order of the rows", () => {
    fc.assert(
      fc.property(keys, fc.integer(), (rows, seed) => {
        const order = Random.fromSeed(seed).shuffle(Int32Array.from(rows, (_, row) => row));
        const shuffled = BigUint64Array.from(order, (row) => rows[row]);
        const side = (list: BigUint64Array, picked: Int32Array) => new Set(Array.from(picked, (row) => list[row]));
        const before = splitCorpus(rows, { validation: 0.2 }, seed);
        const after = splitCorpus(shuffled, { validation: 0.2 }, seed);
        assert.deepEqual(side(shuffled, after.validation), side(rows, before.validation));
      }),
    );
  });

  it("keeps its sides from version to version", () => {
    const key = (row: number) => BigInt.asUintN(64, BigInt((row * 7919) % 2100) * 0x9e3779b97f4a7c15n);
    const rows = BigUint64Array.from({ length: 3000 }, (_, row) => key(row));
    const { train, validation, test } = splitCorpus(rows, { validation: 0.05, test: 0.1 }, 3);
    const text = JSON.stringify([train, validation, test].map((side) => [...side]));
    assert.equal(createHash("sha256").update(text).digest("hex").slice(0, 16), "15e3aa12bef82ba6");
  });

  it("gives the shares asked for, and other sides for another seed", () => {
    const rows = BigUint64Array.from({ length: 1000 }, (_, row) => BigInt(row) << 33n);
    const first = splitCorpus(rows, { validation: 0.05, test: 0.1 }, 1);
    assert.deepEqual([first.validation.length, first.test.length, first.train.length], [50, 100, 850]);
    assert.notDeepEqual(splitCorpus(rows, { validation: 0.05, test: 0.1 }, 2), first);
    assert.equal(splitCorpus(rows.slice(0, 2), {}, 1).validation.length, 1);
    assert.equal(splitCorpus(rows, { validation: 0 }, 1).train.length, 1000);
    assert.throws(() => splitCorpus(rows, { validation: 1 }, 1), ConfigError);
    assert.throws(() => splitCorpus(rows, { validation: -0.1 }, 1), ConfigError);
  });
});

describe("planBatches", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 300 }).map((list) => Uint16Array.from(list));
  const budget = fc.record({
    maxPairs: fc.integer({ min: 1, max: 20000 }),
    maxTokens: fc.integer({ min: 1, max: 500 }),
    maxMolecules: fc.integer({ min: 1, max: 32 }),
    window: fc.integer({ min: 1, max: 100 }),
  });
  const everyRow = (counts: Uint16Array) => Int32Array.from(counts, (_, row) => row);
  const lists = ({ batches }: BatchPlan) => Array.from(batches, (batch) => [...batch]);

  it("uses every molecule once and keeps the budgets", () => {
    fc.assert(
      fc.property(sizes, budget, fc.integer(), (counts, options, seed) => {
        const { batches, overBudget } = planBatches(everyRow(counts), counts, options, seed, 0);
        assert.deepEqual(ascending([...batches].flatMap((batch) => [...batch])), [...everyRow(counts)]);
        let over = 0;
        for (const batch of batches) {
          const tokens = 1 + Math.max(...Array.from(batch, (row) => counts[row]));
          const fits = batch.length * tokens ** 2 <= options.maxPairs && batch.length * tokens <= options.maxTokens;
          if (!fits) {
            assert.equal(batch.length, 1);
            over++;
          }
          assert.ok(batch.length > 0 && batch.length <= options.maxMolecules);
        }
        assert.equal(overBudget, over);
      }),
    );
  });

  it("follows from seed and epoch alone", () => {
    const counts = Uint16Array.from({ length: 500 }, (_, row) => 1 + (row % 30));
    const plan = (seed: number, epoch: number) =>
      lists(planBatches(everyRow(counts), counts, { maxTokens: 200 }, seed, epoch));
    assert.deepEqual(plan(3, 7), plan(3, 7));
    assert.notDeepEqual(plan(3, 7), plan(3, 8));
    assert.notDeepEqual(plan(3, 7), plan(4, 7));
  });

  // Results and checkpoints were made with these: a run that is resumed counts on them.
  it("keeps its batches from version to version", () => {
    const few = Uint16Array.from({ length: 24 }, (_, row) => 1 + ((row * 7) % 11));
    const plan = (options: BatchOptions) => lists(planBatches(everyRow(few), few, options, 7, 2));
    assert.deepEqual(plan({ maxTokens: 40, window: 16 }), [
      ...[[12, 20, 17], [14], [21, 10, 18, 7, 4], [22, 19, 15, 1], [3], [23, 9, 6]],
      [11, 0, 8, 16, 5, 13, 2],
    ]);
    assert.deepEqual(plan({ fixed: 5 }), [
      ...[
        [11, 13, 21, 16, 5],
        [10, 3, 4, 0, 20],
        [17, 18, 12, 7, 2],
        [8, 6, 1, 22, 14],
      ],
      [23, 15, 19, 9],
    ]);
    const many = Uint16Array.from({ length: 30000 }, (_, row) => 1 + ((row * 7919) % 83));
    const some = everyRow(many).filter((row) => row % 5 !== 3);
    const cases: [BatchOptions, number, number, string][] = [
      [{ maxPairs: 65536, maxTokens: 2048, maxMolecules: 64 }, 1, 0, "929f8029e817cd0f"],
      [{ maxPairs: 32768 }, 2024, 3, "b3eee421441af445"],
      [{ maxTokens: 500, window: 300 }, 9, 11, "e611ee4b1dba9ecd"],
      [{ fixed: 32 }, 5, 1, "b1311c01eb9a0b6d"],
    ];
    for (const [options, seed, epoch, digest] of cases) {
      const text = JSON.stringify(lists(planBatches(some, many, options, seed, epoch)));
      assert.equal(createHash("sha256").update(text).digest("hex").slice(0, 16), digest);
    }
  });

  it("pads little where fixed batches pad much", () => {
    const random = Random.fromSeed(1);
    const counts = Uint16Array.from({ length: 20000 }, () => Math.max(1, Math.round(12 + 4 * random.normal())));
    const sorted = planBatches(everyRow(counts), counts, { maxTokens: 64 * 13 }, 1, 0);
    const fixed = planBatches(everyRow(counts), counts, { fixed: 64 }, 1, 0);
    assert.ok(sorted.pairEfficiency > 0.95, String(sorted.pairEfficiency));
    assert.ok(fixed.pairEfficiency < 0.6, String(fixed.pairEfficiency));
    assert.equal(fixed.batches.length, Math.ceil(20000 / 64));
    assert.ok([...fixed.batches].slice(0, -1).every((batch) => batch.length === 64));
  });

  it("does not run from small to large, nor always pair the same molecules", () => {
    const counts = Uint16Array.from({ length: 4000 }, (_, row) => 1 + (row % 40));
    const [first, second] = [0, 1].map((epoch) => planBatches(everyRow(counts), counts, { maxTokens: 400 }, 1, epoch));
    const largest = Array.from(first.batches, (batch) => Math.max(...Array.from(batch, (row) => counts[row])));
    const rises = largest.filter((size, at) => at > 0 && size > largest[at - 1]).length;
    assert.ok(rises > largest.length * 0.3 && rises < largest.length * 0.7);
    const partners = new Set(Array.from(second.batches, (batch) => ascending(batch).join()));
    assert.ok([...first.batches].every((batch) => !partners.has(ascending(batch).join())));
  });

  it("uses only the molecules it is given, and refuses senseless budgets", () => {
    const counts = Uint16Array.from([5, 5, 5, 5]);
    const { batches } = planBatches(Int32Array.of(1, 3), counts, { fixed: 2 }, 1, 0);
    assert.deepEqual(ascending(batches.at(0)), [1, 3]);
    assert.throws(() => batches.at(1), RangeError);
    assert.deepEqual(lists(planBatches(new Int32Array(0), counts, { fixed: 2 }, 1, 0)), []);
    const bad: BatchOptions[] = [{}, { fixed: 0 }, { maxPairs: 1.5 }, { maxTokens: -1 }, { window: 0, fixed: 1 }];
    for (const options of bad) assert.throws(() => planBatches(Int32Array.of(0), counts, options, 1, 0), ConfigError);
  });
});
