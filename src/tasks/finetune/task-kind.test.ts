// Labels that make a task, and the messages for those that make none.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LabelTable } from "../../train/task-labels.js";
import { checkSplit, chooseKind } from "./task-kind.js";

const missing = Number.NaN;
const labels = (...values: number[]): LabelTable => ({ names: ["y"], values: Float64Array.from(values) });
const rows = (...numbers: number[]) => Int32Array.from(numbers);
const refused = (run: () => unknown, message: RegExp) => assert.throws(run, { name: "DatasetError", message });

describe("chooseKind", () => {
  it("takes zeros and ones for binary, all else for regression, and says where that is doubtful", () => {
    assert.equal(chooseKind(labels(0, 1, missing), "auto").kind, "binary");
    assert.deepEqual(chooseKind(labels(0.5, 1.25), "auto"), { kind: "regression", outputs: 1, remarks: [] });
    assert.match(chooseKind(labels(0, 1, 2), "auto").remarks[0], /--kind classes/);
    assert.deepEqual(chooseKind(labels(0, 2, 2), "classes"), { kind: "classes", outputs: 3, remarks: [] });
  });

  it("names what is wrong and what to do", () => {
    refused(() => chooseKind(labels(missing, missing), "auto"), /every label is missing; leave it out/);
    refused(() => chooseKind(labels(3, 3, missing), "auto"), /every label is 3, there is nothing to learn/);
    refused(
      () => chooseKind(labels(-1, 0, 1), "binary"),
      /expected 0 and 1 .* got -1, 0, 1; leave missing labels empty/,
    );
    refused(() => chooseKind(labels(0, 7), "classes"), /at least as many molecules as its 8 classes, got 2/);
    refused(() => chooseKind(labels(0.5, 1), "classes"), /classes numbered from 0/);
    refused(
      () => chooseKind({ names: ["a", "b"], values: Float64Array.of(0, 1, 1, 0) }, "classes"),
      /expected one target, got 2/,
    );
  });
});

describe("checkSplit", () => {
  const split = (train: Int32Array, validation: Int32Array, test: Int32Array) => ({ train, validation, test });

  it("refuses parts without labels or with one class only", () => {
    const values = labels(0, 1, missing, missing, 1, 0);
    refused(
      () => checkSplit(values, split(rows(0, 1), rows(2, 3), rows(4, 5)), "binary"),
      /validation part.*labels of its 2 molecules are missing/,
    );
    refused(
      () => checkSplit(values, split(rows(0, 1), rows(4, 5), rows()), "binary"),
      /test part of the split: it has no molecule/,
    );
    refused(
      () => checkSplit(values, split(rows(1, 4), rows(0), rows(5)), "binary"),
      /train part.*one class only.*stratified/,
    );
    refused(() => checkSplit(values, split(rows(0, 1), rows(4), rows(5)), "binary"), /validation part.*one class only/);
  });

  it("goes on where only the test part has one class, and says so", () => {
    const remarks = checkSplit(labels(0, 1, 0, 1, 1), split(rows(0, 1), rows(2, 3), rows(4)), "binary");
    assert.deepEqual(remarks, ["test: one class only of y"]);
  });

  it("refuses a target without labels to train on", () => {
    const values = { names: ["a", "b"], values: Float64Array.of(1, missing, 2, missing, 3, 4) };
    refused(
      () => checkSplit(values, split(rows(0, 1), rows(2), rows(2)), "regression"),
      /target "b" has no label in it/,
    );
  });
});
