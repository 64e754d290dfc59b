// The page of a report as one HTML file that needs no other: tables, charts and drawings inside it.
import { curveSvg } from "../../train/curve-svg.js";
import type { Cell, Report, ReportTable } from "../../train/report.js";
import type { Drawing } from "./mistakes.js";
import type { Figure } from "./outcome-charts.js";

const STYLE = `
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "Liberation Sans", Helvetica, Arial, sans-serif; color: #1d2430; background: #f4f6f8; margin: 0; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 14px; }
h2 { font-size: 18px; margin: 34px 0 10px; }
section.card, .scroll, .charts figure, .drawings figure { background: #fff; border: 1px solid #dde3ea; border-radius: 8px; }
section.card { padding: 8px 18px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 6px 12px; vertical-align: top; border-bottom: 1px solid #edf0f4; }
td:not(:first-child), th:not(:first-child) { white-space: nowrap; }
.scroll { width: fit-content; max-width: 100%; }
.summary td { white-space: normal; overflow-wrap: anywhere; }
.summary td:first-child { color: #5b6675; white-space: nowrap; width: 1%; }
tr:last-child td { border-bottom: 0; }
th { font-size: 13px; color: #5b6675; font-weight: 600; }
td.number { text-align: right; }
td:first-child { min-width: 110px; max-width: 420px; overflow-wrap: anywhere; }
.charts, .drawings { display: flex; flex-wrap: wrap; gap: 14px; }
figure { margin: 0; padding: 10px; }
.charts figure { flex: 0 1 478px; display: flex; justify-content: center; }
.charts svg { display: block; max-width: 100%; height: auto; }
.drawings figure { width: 240px; }
figcaption { font-size: 12.5px; white-space: pre-line; overflow-wrap: anywhere; color: #3a4452; }
pre { background: #10151d; color: #e6ebf2; padding: 14px 16px; border-radius: 8px; overflow-x: auto; font-size: 13px; }
details summary { cursor: pointer; font-weight: 600; margin: 26px 0 8px; }
@media print { body { background: #fff; } main { max-width: none; } }
`;

function escapeHtml(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (character) => entities[character]);
}

/** Numbers with four significant digits, whole ones in full. */
function cell(value: Cell): string {
  if (typeof value === "string") return `<td>${escapeHtml(value)}</td>`;
  const text = Number.isInteger(value) ? value.toLocaleString("en-US") : String(Number(value.toPrecision(4)));
  return `<td class="number">${text}</td>`;
}

function table({ header, rows }: Pick<ReportTable, "header" | "rows">): string {
  const head = header.map((name) => `<th>${escapeHtml(name)}</th>`).join("");
  const body = rows.map((cells) => `<tr>${cells.map(cell).join("")}</tr>`).join("\n");
  return `<div class="scroll"><table><thead><tr>${head}</tr></thead>\n<tbody>\n${body}\n</tbody></table></div>`;
}

/** SVG files begin with a declaration that has no place inside a page. */
const inline = (svg: string) => svg.replace(/^<\?xml[^>]*\?>\s*/, "");

/** The drawings stand under the last table, which lists the same molecules. */
export function reportHtml(report: Report, figures: readonly Figure[], drawings: readonly Drawing[]): string {
  const summary = report.summary
    .map(([name, value]) => `<tr><td>${escapeHtml(name)}</td>${cell(String(value))}</tr>`)
    .join("\n");
  const charts = [...figures.map(({ svg }) => svg), ...report.curves.map((curve) => inline(curveSvg(curve)))].map(
    (svg) => `<figure>${svg}</figure>`,
  );
  const [results, ...others] = report.tables;
  const section = (one: ReportTable) => `<h2>${escapeHtml(one.title)}</h2>\n${table(one)}`;
  const drawn = drawings.map(
    ({ svg, caption }) =>
      `<figure>${svg ?? "<p>not drawn</p>"}<figcaption>${escapeHtml(caption)}</figcaption></figure>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(report.title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escapeHtml(report.title)}</h1>
<section class="card summary"><table><tbody>
${summary}
</tbody></table></section>
${results ? section(results) : ""}
${charts.length > 0 ? `<h2>Charts</h2>\n<div class="charts">\n${charts.join("\n")}\n</div>` : ""}
${others.map(section).join("\n")}
${drawn.length > 0 ? `<div class="drawings" style="margin-top:14px">\n${drawn.join("\n")}\n</div>` : ""}
<h2>Command</h2>
<pre>${escapeHtml(report.command)}</pre>
<details><summary>Settings</summary>
<pre>${escapeHtml(JSON.stringify(report.settings, null, 2))}</pre>
</details>
</main>
</body>
</html>
`;
}
