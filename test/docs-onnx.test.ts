// The example of docs/onnx.md runs and prints what the page says; the operator it adds has the right gradient.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { checkGradients } from "../src/autodiff/gradient-check.test.support.js";
import { RULES, type Rule } from "../src/autodiff/rules.js";
import { OPERATORS, type OperatorSpec } from "../src/onnx/operators.js";
import * as ops from "../src/onnx/ops.js";
import { repositoryRoot, temporaryFolder } from "./support.js";

const PAGE = readFileSync(join(repositoryRoot(), "docs", "onnx.md"), "utf8");

/** The first fenced block of a language. */
function block(language: string): string {
  const found = new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(PAGE);
  assert.ok(found, `docs/onnx.md has no block of ${language}`);
  return found[1];
}

test("the example prints what the page shows", () => {
  const file = join(temporaryFolder(), "example.mjs");
  writeFileSync(file, block("js").replaceAll('"./dist/', `"${pathToFileURL(join(repositoryRoot(), "dist")).href}/`));
  const printed = execFileSync(process.execPath, [file], { encoding: "utf8" });
  assert.equal(printed.trim(), block("text").trim());
});

test("the operator that the page adds: Tanh with its rule", async () => {
  const rule = "Tanh: unary((g, _x, y) => ops.mul(g, ops.sub(ops.scalar(y, 1), ops.mul(y, y)))),";
  assert.ok(PAGE.includes(rule) && PAGE.includes('export const tanh = unary("Tanh");'));
  const [operators, rules] = [OPERATORS as Record<string, OperatorSpec>, RULES as Record<string, Rule>];
  operators["Tanh"] = operators["Exp"];
  rules["Tanh"] = ({ gradients: [g], outputs: [y] }) => [g && ops.mul(g, ops.sub(ops.scalar(y, 1), ops.mul(y, y)))];
  const operands = [{ shape: ["n", 3] }];
  await checkGradients({ operands, build: ([x]) => x.graph.node("Tanh", [x])[0], sizes: [{ n: 2 }, { n: 5 }] }, 1);
});
