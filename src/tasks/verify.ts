// Compares this implementation with recorded runs of the reference, whatever sets a folder of them holds.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { loadRdkit, type Rdkit } from "../chem/rdkit.js";
import { DatasetError, MoleblendError } from "../errors.js";
import { openSafetensorsFile } from "../train/safetensors-file.js";
import { checkCheckpoints } from "./verify/checkpoint-check.js";
import { checkCollate, type GoldenInput } from "./verify/collate-check.js";
import { type Comparison, passes } from "./verify/comparison.js";
import { checkFeaturize } from "./verify/featurize-check.js";
import { checkFinetune } from "./verify/finetune-check.js";
import { checkMetrics } from "./verify/metrics-check.js";
import { checkModel } from "./verify/model-check.js";
import { checkSchedule, checkShapes } from "./verify/other-checks.js";

export interface VerifyReport {
  readonly dir: string;
  readonly passed: boolean;
  readonly counts: { readonly passed: number; readonly failed: number; readonly skipped: number };
  /** Worst first: failures, then by how much of the tolerance is used up. */
  readonly comparisons: readonly (Comparison & { readonly passed: boolean })[];
}

interface Set {
  readonly label: string;
  readonly check: () => Comparison[] | Promise<Comparison[]>;
}

function skipped(name: string, note: string): Set {
  return { label: name, check: () => [{ name, error: 0, tolerance: 0, kind: "skipped", note }] };
}

/** Pairs NAME.safetensors, and its variants NAME_*.safetensors, with the molecules in NAME.json. */
function collateSets(dir: string, label: string, rdkit: Rdkit): Set[] {
  const files = readdirSync(dir);
  const inputs = files.filter((file) => file.endsWith(".json")).map((file) => file.slice(0, -".json".length));
  return files.flatMap((file) => {
    const name = /^(.*)\.safetensors$/.exec(file)?.[1];
    const input = name && inputs.find((candidate) => name === candidate || name.startsWith(`${candidate}_`));
    if (!name || !input) return [];
    const check = () => {
      const molecules = JSON.parse(readFileSync(join(dir, `${input}.json`), "utf8")) as readonly GoldenInput[];
      const opened = openSafetensorsFile(join(dir, file));
      try {
        return checkCollate(rdkit, molecules, opened.file, `${label}/${name}`);
      } finally {
        opened.close();
      }
    };
    return [{ label: `${label}/${name}`, check }];
  });
}

/** Recognises the sets of a folder by the files in them, not by their names. */
function findSets(dir: string, label: string, rdkit: Rdkit): Set[] {
  const has = (name: string) => existsSync(join(dir, name));
  if (has("molecules.jsonl"))
    return [{ label, check: () => checkFeaturize(rdkit, join(dir, "molecules.jsonl"), label) }];
  if (has("manifest.json") && readdirSync(dir).some((name) => name.endsWith(".pt"))) {
    return [{ label, check: () => checkCheckpoints(dir, label) }];
  }
  if (has("config.json") && has("params.safetensors")) return [{ label, check: () => checkModel(dir, label) }];
  if (has("heads.safetensors") && has("results.json")) return [{ label, check: () => checkFinetune(dir, label) }];
  const collate = collateSets(dir, label, rdkit);
  if (collate.length > 0) return collate;
  return readdirSync(dir)
    .sort()
    .flatMap((name): Set[] => {
      const path = join(dir, name);
      const inner = label ? `${label}/${name}` : name;
      if (statSync(path).isDirectory()) {
        const found = findSets(path, inner, rdkit);
        return found.length > 0 ? found : [skipped(inner, "no check for this kind of set in this version")];
      }
      if (!name.endsWith(".json")) return [];
      const content = JSON.parse(readFileSync(path, "utf8")) as Readonly<Record<string, unknown>>;
      if (label !== "") return [];
      if ("schedules" in content) return [{ label: inner, check: () => checkSchedule(path, inner) }];
      if ("classification" in content && "regression" in content)
        return [{ label: inner, check: () => checkMetrics(path, inner) }];
      const pretraining =
        "parameters" in content && (content["args"] as Record<string, unknown> | undefined)?.["blending"] === true;
      const finetuning = pretraining && !("encoder.embed_out.weight" in (content["parameters"] as object));
      if (pretraining && !finetuning) return [{ label: inner, check: () => checkShapes(path, inner) }];
      return [skipped(inner, "no check for this kind of file in this version")];
    });
}

/**
 * Checks every set of a folder laid out like the reference fixtures: features, collation, model, gradients, optimizer.
 * A set that cannot be read counts as failed; it does not stop the others.
 * @throws DatasetError when there is no such folder or nothing in it can be compared
 */
export async function verify(dir: string): Promise<VerifyReport> {
  if (!existsSync(dir) || !statSync(dir).isDirectory())
    throw new DatasetError(`${dir}: expected a folder of reference fixtures`);
  const sets = findSets(dir, "", await loadRdkit());
  const results: Comparison[] = [];
  for (const { label, check } of sets) {
    try {
      results.push(...(await check()));
    } catch (error) {
      if (!(error instanceof MoleblendError || error instanceof SyntaxError || error instanceof TypeError)) throw error;
      const note = `could not be compared: ${error.message}`;
      results.push({ name: label, error: Number.POSITIVE_INFINITY, tolerance: 0, kind: "equal", note });
    }
  }
  if (!results.some(({ kind }) => kind !== "skipped"))
    throw new DatasetError(`${dir}: holds no reference fixtures that can be compared`);
  const used = ({ error, tolerance, kind }: Comparison) =>
    kind === "skipped" ? -1 : tolerance > 0 ? error / tolerance : error;
  const comparisons = results
    .map((comparison) => ({ ...comparison, passed: passes(comparison) }))
    .sort((a, b) => Number(a.passed) - Number(b.passed) || used(b) - used(a));
  const failed = comparisons.filter((comparison) => !comparison.passed).length;
  const left = comparisons.filter(({ kind }) => kind === "skipped").length;
  return {
    dir,
    passed: failed === 0,
    counts: { passed: comparisons.length - failed - left, failed, skipped: left },
    comparisons,
  };
}

/** Comparisons that a person wants to see when all is well. */
const SHOWN = 20;

/** A table, worst first; all failures, and everything that was left out with its reason. */
export function formatVerify({ dir, passed, counts, comparisons }: VerifyReport): string {
  const line = ({ name, error, tolerance, kind, note, passed: fine }: VerifyReport["comparisons"][number]) => {
    const verdict = kind === "skipped" ? "skip" : fine ? "ok" : "FAIL";
    const numbers =
      kind === "skipped"
        ? ""
        : kind === "equal"
          ? error === 0
            ? "equal"
            : `${error} differ`
          : `${error.toExponential(1)} of ${tolerance.toExponential(0)}`;
    return `${verdict.padEnd(5)}${numbers.padEnd(20)}${name}${note ? `  (${note})` : ""}`;
  };
  const failures = comparisons.filter((comparison) => !comparison.passed);
  const compared = comparisons.filter(({ kind, passed: fine }) => fine && kind !== "skipped");
  const close = compared.filter(({ kind }) => kind !== "equal").slice(0, SHOWN);
  const exact = compared.filter(({ kind }) => kind === "equal");
  const rest = compared.length - close.length - exact.length;
  const left = comparisons.filter(({ kind }) => kind === "skipped");
  return [
    `Comparison with the reference: ${dir}`,
    ...[...failures, ...close].map(line),
    ...(rest > 0 ? [`ok   ${rest} more, all closer than these`] : []),
    ...exact.map(line),
    ...left.map(line),
    `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped: ${passed ? "agrees with the reference" : "DIFFERS from the reference"}`,
  ].join("\n");
}
