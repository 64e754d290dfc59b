import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ConfigError } from "../errors.js";
import { SPLIT_METHODS, splitForTask, type TaskSplit, type TaskSplitOptions } from "./task-split.js";

const distinct = (count: number) =>
  BigUint64Array.from({ length: count }, (_, i) => BigInt(i + 1) * 0x9e3779b97f4a7c15n);

function sideOf(split: TaskSplit, row: number): string {
  for (const side of ["train", "validation", "test", "dropped"] as const) if (split[side].includes(row)) return side;
  throw new Error(`row ${row} is nowhere`);
}

function inputs(keys: BigUint64Array): Omit<TaskSplitOptions, "method" | "seed"> {
  return {
    keys,
    scaffolds: Array.from(keys, (key) => `ring ${key % 7n}`),
    labels: Float64Array.from(keys, (key) => Number(key % 13n)),
    assignments: Array.from(keys, (_, row) => ["train", "train", "valid", "TEST"][row % 4]),
  };
}

test("every row is on one side, and the rows of a structure on the same one, whatever the method", () => {
  const keys = fc.array(fc.bigInt({ min: 1n, max: 40n }), { minLength: 40, maxLength: 80 });
  fc.assert(
    fc.property(keys, fc.integer(), (list, seed) => {
      const rows = BigUint64Array.from([...list, ...Array.from({ length: 10 }, (_, i) => BigInt(i + 100))]);
      for (const method of SPLIT_METHODS) {
        const split = splitForTask({ ...inputs(rows), method, seed });
        const all = [...split.train, ...split.validation, ...split.test, ...split.dropped];
        assert.deepEqual(
          all.sort((a, b) => a - b),
          [...rows.keys()],
        );
        const sides = new Map<bigint, string>();
        for (const [row, key] of rows.entries()) {
          const side = sideOf(split, row);
          if (side === "dropped") continue;
          assert.equal(sides.get(key) ?? side, side, method);
          sides.set(key, side);
        }
      }
    }),
    { numRuns: 25 },
  );
});

test("shares are met, and the seed decides who is where", () => {
  const keys = distinct(200);
  for (const method of ["random", "stratified"] as const) {
    const split = splitForTask({ ...inputs(keys), method, seed: 1 });
    assert.deepEqual([split.train.length, split.validation.length, split.test.length], [160, 20, 20], method);
    assert.deepEqual(splitForTask({ ...inputs(keys), method, seed: 1 }), split);
    assert.notDeepEqual(splitForTask({ ...inputs(keys), method, seed: 2 }), split);
  }
});

test("a random split does not depend on the order of the file", () => {
  const keys = distinct(50);
  const reversed = keys.slice().reverse();
  const tests = (rows: BigUint64Array) =>
    new Set([...splitForTask({ method: "random", keys: rows, seed: 5 }).test].map((row) => rows[row]));
  assert.deepEqual(tests(keys), tests(reversed));
});

test("a stratified split keeps the share of a rare class", () => {
  const labels = Float64Array.from({ length: 500 }, (_, i) => (i % 20 === 0 ? 1 : 0)); // 25 positives
  const split = splitForTask({ method: "stratified", keys: distinct(500), labels, seed: 3 });
  const positives = (rows: Int32Array) => rows.reduce((sum, row) => sum + labels[row], 0);
  for (const side of [split.validation, split.test])
    assert.ok(positives(side) >= 1 && positives(side) <= 4, `${positives(side)} positives`);
});

test("a scaffold split as DeepChem's ScaffoldSplitter gives it, worked by hand", () => {
  // Sizes: A 5, B 2, C 1 (row 7), D 1 (row 8), E 1 (row 9). Of equal size the one with the last first row comes first.
  const scaffolds = ["A", "A", "B", "A", "A", "B", "A", "C", "D", "E"];
  const split = splitForTask({ method: "scaffold", keys: distinct(10), scaffolds, seed: 1 });
  assert.deepEqual([...split.train], [0, 1, 2, 3, 4, 5, 6, 9]);
  assert.deepEqual([...split.validation], [8]);
  assert.deepEqual([...split.test], [7]);
});

test("scaffolds are never on two sides, and the seed matters only where it is said to", () => {
  const keys = distinct(120);
  const scaffolds = Array.from({ length: 120 }, (_, i) => `ring ${Math.floor(Math.sqrt(i * 3))}`);
  for (const method of ["scaffold", "random-scaffold"] as const) {
    const split = splitForTask({ method, keys, scaffolds, seed: 1 });
    const of = (rows: Int32Array) => new Set([...rows].map((row) => scaffolds[row]));
    for (const scaffold of of(split.train))
      assert.ok(!of(split.test).has(scaffold) && !of(split.validation).has(scaffold));
    assert.ok(split.test.length > 0 && split.test.length <= 12 * 2);
    const other = splitForTask({ method, keys, scaffolds, seed: 2 });
    if (method === "scaffold") assert.deepEqual(other, split);
    else assert.notDeepEqual(other, split);
  }
});

test("the folds test every structure once", () => {
  const keys = distinct(23);
  const folds = [0, 1, 2, 3].map((fold) => splitForTask({ method: "k-fold", keys, seed: 1, fold, folds: 4 }));
  const tested = folds.flatMap(({ test: rows }) => [...rows]).sort((a, b) => a - b);
  assert.deepEqual(tested, [...keys.keys()]);
  assert.deepEqual(folds[0].validation, folds[1].test);
});

test("a given split is kept, but no structure of the test is trained on", () => {
  const keys = BigUint64Array.from([1n, 2n, 3n, 4n, 4n, 3n]);
  const assignments = ["train", "train", "train", "validation", "train", "test"];
  const split = splitForTask({ method: "given", keys, assignments, seed: 1 });
  assert.deepEqual([...split.train], [0, 1]);
  assert.deepEqual([...split.validation], [3]);
  assert.deepEqual([...split.test], [5]);
  assert.deepEqual([...split.dropped], [2, 4]);
});

test("what is missing or impossible is named", () => {
  const keys = distinct(10);
  const fails = (options: Omit<TaskSplitOptions, "keys" | "seed">, words: RegExp) =>
    assert.throws(
      () => splitForTask({ keys, seed: 1, ...options }),
      (error) => error instanceof ConfigError && words.test(error.message),
    );
  fails({ method: "scaffold" }, /expected scaffolds, one a molecule, got none/);
  fails({ method: "stratified", labels: new Float64Array(3) }, /got 3 for 10/);
  fails({ method: "given", assignments: Array.from({ length: 10 }, () => "holdout") }, /molecule 1: .* got "holdout"/);
  fails({ method: "k-fold", folds: 2 }, /3 to 10 folds/);
  fails({ method: "k-fold", fold: 5 }, /0 to 4/);
  fails({ method: "random", fractions: { validation: 0.5, test: 0.5 } }, /below 1 in all/);
});
