// The order of the official parameters, against the one recorded from the official model.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { referenceLayout } from "./reference-layout.js";
import { inReferenceOrder } from "./reference-order.js";

function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

test("the official order of parameters", () => {
  const path = join(repositoryRoot(), "test", "golden", "model-tiny", "config.json");
  const expected = (JSON.parse(readFileSync(path, "utf8")) as { parameter_order: string[] }).parameter_order;
  const config = { layers: 3, width: 64, heads: 8, feedForward: 64, kernels: 16, geometryHidden: 32 };
  const layout = referenceLayout({ ...config, geometryTarget: "displacement" });
  const names = inReferenceOrder(layout).map(({ name }) => name);
  assert.deepEqual(names, expected);
});
