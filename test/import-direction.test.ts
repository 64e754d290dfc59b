// Enforces which folder may import from which, where third-party packages may appear, and what must run in a browser.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, sep } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

/** A module imports from its own place in this list or from places before it. */
const ORDER = [
  ...["errors.ts", "random.ts", "chem", "relations", "data", "blend", "onnx", "autodiff"],
  ...["model", "runtime", "train", "tasks", "cli", "server"],
];
const BROWSER = ["errors.ts", "random.ts", "chem", "relations", "blend", "onnx", "autodiff", "model"];
/** The only folder that may know a package. */
const WALLS: readonly [RegExp, string][] = [
  [/^@rdkit\/|^openchemlib/, "chem"],
  [/^onnxruntime/, "runtime"],
];

interface Import {
  readonly target: string;
  /** Erased by the compiler. */
  readonly typeOnly: boolean;
}

/** The folder that holds package.json, above the compiled test. */
function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

const SOURCE = join(repositoryRoot(), "src");
const MODULES = readdirSync(SOURCE, { recursive: true })
  .map((name) => String(name).split(sep).join("/"))
  .filter((name) => name.endsWith(".ts"));
const isTest = (module: string) => module.includes(".test.");
const place = (module: string) => module.split("/")[0];

const STATEMENT = /^\s*(?:import|export)\s+(type\s+)?(?:[^;"']*?\sfrom\s+)?"([^"]+)"/gm;
/** Dynamic imports, and the files of worker threads. */
const EXPRESSION = /(?:\bimport\(\s*|new URL\(\s*)"([^"]+)"/g;

/** Comments may quote imports; strings that look like comments do no harm here. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "$1");
}

function importsOf(module: string): readonly Import[] {
  const text = withoutComments(readFileSync(join(SOURCE, module), "utf8"));
  return [
    ...Array.from(text.matchAll(STATEMENT), ([, type, target]) => ({ target, typeOnly: type !== undefined })),
    ...Array.from(text.matchAll(EXPRESSION), ([, target]) => ({ target, typeOnly: false })),
  ];
}

/** The module of this package that a relative import means; null for packages and for files that are no modules. */
function resolveModule(from: string, target: string): string | null {
  if (!target.startsWith(".")) return null;
  const path = normalize(join(dirname(from), target))
    .split(sep)
    .join("/")
    .replace(/\.js$/, ".ts");
  return path.endsWith(".ts") ? path : null;
}

test("modules are found and their imports read", () => {
  assert.ok(MODULES.includes("onnx/graph.ts"));
  const targets = importsOf("autodiff/backward.ts").map(({ target }) => target);
  assert.ok(targets.includes("../onnx/graph.js") && targets.includes("./rules.js"), targets.join(", "));
  assert.deepEqual(
    importsOf("model/config.ts").find(({ target }) => target.includes("policy")),
    { target: "../blend/policy.js", typeOnly: true },
  );
});

test("every relative import means a module that exists", () => {
  for (const module of MODULES) {
    for (const { target } of importsOf(module)) {
      const imported = resolveModule(module, target);
      assert.ok(imported === null || MODULES.includes(imported), `${module} imports ${target}, which does not exist`);
    }
  }
});

test("a folder imports only from folders before it", () => {
  for (const module of MODULES) {
    if (module === "index.ts" || isTest(module)) continue;
    const own = ORDER.indexOf(place(module));
    assert.ok(own >= 0, `${module}: its folder has no place in the order ${ORDER.join(", ")}`);
    for (const { target } of importsOf(module)) {
      const imported = resolveModule(module, target);
      if (imported === null) continue;
      const other = ORDER.indexOf(place(imported));
      assert.ok(other >= 0 && other <= own, `${module} imports ${imported}: ${place(imported)} comes later`);
      assert.ok(!isTest(imported), `${module} imports the test ${imported}`);
    }
  }
});

test("index.ts only re-exports, by name", { skip: !MODULES.includes("index.ts") && "there is no index.ts yet" }, () => {
  const text = withoutComments(readFileSync(join(SOURCE, "index.ts"), "utf8"));
  for (const statement of text.split(";").map((part) => part.trim())) {
    if (statement) assert.match(statement, /^export (type )?\{[^}]*\} from "[^"]+"$/);
  }
});

test("packages stay behind their walls", () => {
  for (const module of MODULES) {
    for (const { target } of importsOf(module)) {
      for (const [packages, folder] of WALLS) {
        assert.ok(
          !packages.test(target) || place(module) === folder,
          `${module} imports ${target}: only ${folder} may`,
        );
      }
    }
  }
});

test("what runs in a browser reaches no module of Node", () => {
  const reachedFrom = new Map<string, string>();
  const pending = MODULES.filter((module) => BROWSER.includes(place(module)) && !isTest(module));
  for (const module of pending) reachedFrom.set(module, module);
  for (let module = pending.pop(); module; module = pending.pop()) {
    const way = reachedFrom.get(module);
    for (const { target, typeOnly } of importsOf(module)) {
      assert.ok(typeOnly || !target.startsWith("node:"), `${way}: imports ${target}`);
      const imported = typeOnly ? null : resolveModule(module, target);
      if (imported === null || reachedFrom.has(imported)) continue;
      reachedFrom.set(imported, `${way} → ${imported}`);
      pending.push(imported);
    }
  }
});
