import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidArgumentError } from "commander";
import {
  blendProbabilities,
  integer,
  nameList,
  nonNegativeNumber,
  positiveInteger,
  positiveNumber,
  presetList,
  properShare,
  shareBelowOne,
  wholeNumber,
} from "./arguments.js";
import { alignColumns, shellWord } from "./output.js";

test("option values are read as plain decimal numbers in their range, all else is refused", () => {
  const cases: readonly [(text: string) => unknown, readonly string[], readonly string[]][] = [
    [positiveInteger, ["1", "20", "1e3"], ["0", "-1", "1.5", "", " ", "0x10", "ten", "1e99", "1,000", "NaN"]],
    [wholeNumber, ["0", "7"], ["-1", "0.5", ""]],
    [integer, ["-3", "0", "42"], ["1.5", "", "9007199254740993"]],
    [positiveNumber, ["1e-4", ".5", "2"], ["0", "-1", "Infinity", ""]],
    [nonNegativeNumber, ["0", "0.2"], ["-0.1", "x"]],
    [shareBelowOne, ["0", "0.99"], ["1", "-0.1", "50%"]],
    [properShare, ["0.5"], ["0", "1"]],
    [presetList, ["mini", "mini,base"], ["", "maxi", "mini,maxi"]],
    [blendProbabilities, ["0.2,0.2,0.6", "1,0,0"], ["0.5,0.5", "0.5,0.6,0.1", "a,b,c", "2,-1,0", ""]],
  ];
  for (const [parse, good, bad] of cases) {
    for (const text of good) assert.doesNotThrow(() => parse(text), `${parse.name} ${text}`);
    for (const text of bad) assert.throws(() => parse(text), InvalidArgumentError, `${parse.name} ${text}`);
  }
  assert.deepEqual(blendProbabilities("0.2,0.2,0.6"), { spd: 0.2, edge: 0.2, geometry: 0.6 });
  assert.deepEqual(nameList("b, c", ["a"]), ["a", "b", "c"]);
});

test("columns line up, numbers to the right", () => {
  const rows = [
    ["what", "count"],
    ["molecules", "4,431"],
    ["rejects", "7"],
  ];
  assert.deepEqual(alignColumns(rows, 1), ["what       count", "molecules  4,431", "rejects        7"]);
});

test("words of a command line are quoted where a shell needs it", () => {
  assert.equal(shellWord("--steps"), "--steps");
  assert.equal(shellWord("my molecules.csv"), "'my molecules.csv'");
  assert.equal(shellWord("it's"), "'it'\\''s'");
});
