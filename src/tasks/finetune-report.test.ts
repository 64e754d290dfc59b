import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { FinetuneReportInput } from "./finetune-report/input.js";
import { worstMistakes } from "./finetune-report/mistakes.js";
import { writeFinetuneReport } from "./finetune-report.js";

const folder = mkdtempSync(join(tmpdir(), "moleblend-report-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const SMILES = ["CCO", "c1ccccc1O", "CC(=O)O", "<script>", "CCN", "c1ccncc1", "CCCC", "C1CC1"];

function input(kind: "binary" | "regression"): FinetuneReportInput {
  const values = kind === "binary" ? [0, 1, 0, 1, 0, 1, 0, 1] : [1, 2, 3, 4, 5, 6, 7, 8];
  const own = kind === "binary" ? [0.2, 0.1, 0.3, 0.9] : [5, 6, 7, 2];
  const other = kind === "binary" ? [0.1, 0.9, 0.2, 0.8] : [5, 6, 7, 8];
  return {
    title: "A run & its report",
    task: { kind, outputs: 1, targets: ["p_np"] },
    data: {
      sources: ["set.csv"],
      structures: SMILES,
      names: SMILES,
      labels: Float64Array.from(values),
      rejects: { "unparsable-smiles": 3 },
    },
    split: {
      method: "scaffold",
      seed: 1,
      train: Int32Array.of(0, 1),
      validation: Int32Array.of(2, 3),
      test: Int32Array.of(4, 5, 6, 7),
    },
    scored: "test",
    methods: [
      { name: "fine-tuned", predictions: Float64Array.from(own), seconds: 12 },
      { name: "random forest", predictions: Float64Array.from(other) },
    ],
    curves: [{ title: "Loss", xLabel: "epoch", yLabel: "loss", series: [{ name: "train", x: [1, 2], y: [2, 1] }] }],
    command: "moleblend finetune set.csv --seed 1",
    settings: { learningRate: 0.0001 },
    seed: 1,
    versions: { moleblend: "0.1.0" },
  };
}

for (const kind of ["binary", "regression"] as const) {
  test(`a report of a ${kind} run says what counts, with a baseline that wins`, async () => {
    const files = await writeFinetuneReport(join(folder, kind), input(kind));
    for (const path of [files.html, files.markdown]) {
      const text = readFileSync(path, "utf8");
      for (const words of [
        "a baseline wins",
        "random forest is better than this model",
        "scaffold, seed 1",
        "unparsable-smiles",
        "moleblend finetune set.csv --seed 1",
        "learningRate",
      ])
        assert.ok(text.includes(words), `${path}: ${words}`);
    }
    const html = readFileSync(files.html, "utf8");
    assert.doesNotMatch(html, /<script/);
    assert.doesNotMatch(html, /(?:src|href)=["'](?!#)/);
    assert.match(html, kind === "binary" ? /ROC curves/ : /measured p_np/);
    assert.ok(existsSync(join(folder, kind, "curves", "loss.svg")));
  });
}

test("a report of classes", async () => {
  const classes: FinetuneReportInput = {
    ...input("binary"),
    task: { kind: "classes", outputs: 3, targets: ["kind"] },
    data: { ...input("binary").data, labels: Float64Array.from([0, 1, 2, 0, 1, 2, 0, Number.NaN]) },
    methods: [
      { name: "from scratch", predictions: Float64Array.from([0, 1, 0, 0.6, 0.2, 0.2, 1, 0, 0, 0.3, 0.3, 0.4]) },
    ],
  };
  const { markdown } = await writeFinetuneReport(join(folder, "classes"), classes);
  const text = readFileSync(markdown, "utf8");
  assert.match(text, /accuracy on test \| 0\.6667/);
  assert.match(text, /\| c1ccncc1 \| kind \| 2 \| 0\.2000 \|/);
});

test("the worst mistakes come first", () => {
  assert.deepEqual(worstMistakes(input("regression")).map(({ row }) => row)[0], 7);
  const [first, second] = worstMistakes(input("binary"));
  assert.deepEqual([first.row, first.label, first.prediction], [5, 1, 0.1]);
  assert.deepEqual([second.row, second.prediction], [6, 0.7]);
});
