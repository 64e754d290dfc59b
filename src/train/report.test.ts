import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { DOMParser } from "linkedom";
import { type Curve, curveSvg } from "./curve-svg.js";
import { type Report, reportMarkdown, writeReport } from "./report.js";

const numbers = (n: number, f: (i: number) => number) => Float64Array.from({ length: n }, (_, i) => f(i));

const LOSS: Curve = {
  title: "Training loss",
  xLabel: "update",
  yLabel: "loss",
  smooth: true,
  series: [
    { name: "total", x: numbers(5000, (i) => i), y: numbers(5000, (i) => 8 * Math.exp(-i / 900) + 1) },
    { name: "spd & <edge>", x: numbers(5000, (i) => i), y: numbers(5000, (i) => 2 * Math.exp(-i / 900)) },
  ],
};

const EMPTY: Report = { title: "t", summary: [], tables: [], curves: [], command: "x", settings: {} };

function elements(svg: string, name: string) {
  return [...new DOMParser().parseFromString(svg, "image/svg+xml").querySelectorAll(name)];
}

test("a chart has its title, legend, axes and one line a series (two when smoothed)", () => {
  const svg = curveSvg(LOSS);
  const texts = elements(svg, "text").map((element) => element.textContent);
  for (const text of ["Training loss", "update", "loss", "total", "spd & <edge>", "5,000"])
    assert.ok(texts.includes(text), text);
  const lines = elements(svg, '[aria-label="line"] path').map((path) => path.getAttribute("d") ?? "");
  assert.equal(lines.length, 4);
  assert.ok(lines.every((d) => /^M[\d.]+,/.test(d) && !d.includes("NaN")));
  assert.ok(
    lines.every((d) => d.split(/[LC]/).length <= 1501),
    "points are averaged in groups",
  );
  assert.ok(!elements(svg, "rect").some((rect) => rect.getAttribute("fill") === "black"));
});

test("few points are dots; what a scale cannot show is a gap", () => {
  const y = [1, 0.5, Number.NaN, 0.3, 0, 0.1];
  const curve = { ...LOSS, series: [{ name: "auc", x: [1, 2, 3, 4, 5, 6], y }] };
  assert.equal(elements(curveSvg(curve), "circle").length, 5);
  const log = curveSvg({ ...curve, logScale: true });
  assert.equal(elements(log, "circle").length, 4);
  const texts = elements(log, "text").map((element) => element.textContent);
  assert.ok(
    ["0.1", "0.2", "0.5", "1"].every((tick) => texts.includes(tick)),
    texts.join(" "),
  );
  assert.ok(!texts.includes("1.5"), "no ticks between whole numbers");
});

test("curves without a point still give a file", () => {
  const svg = curveSvg({ ...LOSS, logScale: true, series: [{ name: "none", x: [], y: [] }] });
  assert.ok(svg.includes("Training loss"));
});

test("the page holds everything, with Markdown's signs escaped", () => {
  const report: Report = {
    ...EMPTY,
    title: "Run 1",
    summary: [["updates", 12000]],
    tables: [
      {
        title: "Terms",
        header: ["term", "value"],
        rows: [
          ["a|b", 0.123456],
          ["<c>\nd", Number.NaN],
        ],
      },
    ],
    command: "moleblend ```x```",
    settings: { layers: 3, list: [1, null] },
  };
  const page = reportMarkdown(report, []);
  assert.ok(page.includes("# Run 1\n"));
  assert.ok(page.includes("| updates | 12,000 |"));
  assert.ok(page.includes("| term | value |\n| --- | ---: |\n| a\\|b | 0.1235 |\n| \\<c\\> d | NaN |"));
  assert.ok(page.includes("````sh\nmoleblend ```x```\n````"));
  assert.ok(page.includes('"layers": 3'));
});

test("written files: page and curves, of the same title too, and every image exists", () => {
  const folder = mkdtempSync(join(tmpdir(), "moleblend-"));
  try {
    const path = writeReport(folder, { ...EMPTY, curves: [LOSS, LOSS, { ...LOSS, title: "→" }] });
    const page = readFileSync(path, "utf8");
    const images = [...page.matchAll(/!\[.*\]\((.*)\)/g)].map((match) => match[1]);
    assert.deepEqual(images, ["curves/training-loss.svg", "curves/training-loss-2.svg", "curves/curve.svg"]);
    assert.ok(images.every((image) => existsSync(join(folder, image))));
    assert.deepEqual(readdirSync(folder).sort(), ["curves", "report.md"]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
