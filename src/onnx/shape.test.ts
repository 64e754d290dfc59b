// The algebra of symbolic dimensions, against plain numbers: put sizes in for the symbols and everything must agree.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  broadcast,
  type Dim,
  formatShape,
  positiveAxis,
  product,
  quotient,
  type Shape,
  sameShape,
  symbolsOf,
} from "./shape.js";

const SIZES: Readonly<Record<string, number>> = { atoms: 5, batch: 7, tokens: 11 };
const number = fc.integer({ min: 1, max: 6 });
const symbol = fc.constantFrom(...Object.keys(SIZES));
const dim: fc.Arbitrary<Dim> = fc.oneof(
  number,
  symbol,
  fc.tuple(number, symbol, symbol).map(([factor, a, b]) => product([factor, a, b])),
);
const shape = fc.array(dim, { maxLength: 4 });

function sizeOf(value: Dim): number {
  if (typeof value === "number") return value;
  return value.split("*").reduce((size, factor) => size * (SIZES[factor] ?? Number(factor)), 1);
}

test("a product is the product of the sizes", () => {
  fc.assert(
    fc.property(shape, (dims) => {
      assert.equal(
        sizeOf(product(dims)),
        dims.map(sizeOf).reduce((a, b) => a * b, 1),
      );
    }),
  );
});

test("a product has one spelling, whatever the order and grouping of its factors", () => {
  fc.assert(
    fc.property(shape, shape, (first, second) => {
      const whole = product([...first, ...second]);
      assert.equal(product([...second, ...first].reverse()), whole);
      assert.equal(product([product(first), product(second)]), whole);
      assert.equal(product([whole]), whole);
    }),
  );
  assert.equal(product(["tokens", 2, "batch", 3]), "6*batch*tokens");
  assert.equal(product(["batch", 1]), "batch");
  assert.equal(product(["batch", 0]), 0);
  assert.equal(product([]), 1);
});

test("a quotient undoes a product, and is null where symbols or numbers do not divide", () => {
  fc.assert(
    fc.property(shape, shape, (first, second) => {
      assert.equal(quotient(product([...first, ...second]), product(first)), product(second));
    }),
  );
  assert.equal(quotient("batch*tokens", "atoms"), null);
  assert.equal(quotient("3*batch", 2), null);
  assert.equal(quotient("batch", "batch*batch"), null);
  assert.equal(quotient("6*batch", "2*batch"), 3);
});

test("symbols are listed as often as they occur", () => {
  assert.deepEqual(symbolsOf("4*atoms*atoms*batch"), ["atoms", "atoms", "batch"]);
  assert.deepEqual(symbolsOf(12), []);
});

const part = (whole: Shape) =>
  fc
    .tuple(fc.array(fc.boolean(), { minLength: whole.length, maxLength: whole.length }), fc.nat(whole.length))
    .map(([keep, dropped]) => whole.map((value, i) => (keep[i] ? value : 1)).slice(dropped));

test("broadcasting: of two parts of a shape, the larger dimension at each axis; in any order", () => {
  fc.assert(
    fc.property(
      shape.chain((whole) => fc.tuple(part(whole), part(whole))),
      ([a, b]) => {
        const rank = Math.max(a.length, b.length);
        const expected = Array.from({ length: rank }, (_, i) => {
          const [left, right] = [a[a.length - rank + i] ?? 1, b[b.length - rank + i] ?? 1];
          return left === 1 ? right : left;
        });
        assert.deepEqual(broadcast("Add", a, b), expected);
        assert.deepEqual(broadcast("Add", b, a), expected);
        assert.deepEqual(broadcast("Add", expected, a), expected);
      },
    ),
  );
});

test("what does not broadcast is refused with both shapes", () => {
  assert.throws(() => broadcast('Add node "sum"', ["batch", 3], ["batch", 4]), {
    name: "ShapeError",
    message: 'Add node "sum": cannot broadcast [batch, 3] with [batch, 4]',
  });
  assert.throws(() => broadcast("Add", ["batch"], ["tokens"]), /\[batch\] with \[tokens\]/);
  assert.throws(() => broadcast("Add", ["batch"], [2]), /\[batch\] with \[2\]/);
});

test("shapes are compared and written dimension by dimension", () => {
  assert.ok(sameShape(["batch", 2], ["batch", 2]));
  assert.ok(!sameShape(["batch", 2], ["batch"]) && !sameShape([2], ["2"]));
  assert.equal(formatShape([]), "[]");
  assert.equal(formatShape(["batch", "2*atoms", 3]), "[batch, 2*atoms, 3]");
});

test("axes count from either end", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 6 }), fc.integer({ min: -8, max: 8 }), (rank, axis) => {
      if (axis >= -rank && axis < rank) assert.equal(positiveAxis("Split", axis, rank), (axis + rank) % rank);
      else assert.throws(() => positiveAxis("Split", axis, rank), /axis -?\d does not exist in a tensor of rank \d/);
    }),
  );
  assert.throws(() => positiveAxis("Split", 0.5, 2), { name: "ShapeError" });
});
