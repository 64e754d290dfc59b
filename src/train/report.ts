// The report of a run: a Markdown page with its results, curves beside it, the command and all settings.

import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Json } from "./checkpoint.js";
import { type Curve, curveSvg } from "./curve-svg.js";

export type Cell = string | number;

export interface ReportTable {
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
}

export interface Report {
  readonly title: string;
  /** What a reader wants first: name and value. */
  readonly summary: readonly (readonly [name: string, value: Cell])[];
  readonly tables: readonly ReportTable[];
  readonly curves: readonly Curve[];
  /** The command that gives the same run again. */
  readonly command: string;
  readonly settings: Json;
}

/** Writes DIR/report.md and DIR/curves/*.svg, and gives the path of the page. */
export function writeReport(directory: string, report: Report): string {
  const folder = join(directory, "curves");
  mkdirSync(folder, { recursive: true });
  const names = fileNames(report.curves.map((curve) => curve.title));
  report.curves.forEach((curve, i) => void replaceFile(join(folder, names[i]), curveSvg(curve)));
  const path = join(directory, "report.md");
  replaceFile(
    path,
    reportMarkdown(
      report,
      names.map((name) => `curves/${name}`),
    ),
  );
  return path;
}

/** The page; `images` are the addresses of the curves. */
export function reportMarkdown(report: Report, images: readonly string[]): string {
  const parts = [`# ${report.title}`];
  if (report.summary.length) parts.push(markdownTable(["", ""], report.summary));
  for (const table of report.tables) parts.push(`## ${table.title}`, markdownTable(table.header, table.rows));
  if (report.curves.length) {
    parts.push("## Curves", ...report.curves.map((curve, i) => `![${escapeText(curve.title)}](${images[i]})`));
  }
  parts.push("## Command", codeBlock("sh", report.command));
  parts.push("## Settings", codeBlock("json", JSON.stringify(report.settings, null, 2)));
  return `${parts.join("\n\n")}\n`;
}

/** Columns that hold nothing but numbers are set to the right. */
function markdownTable(header: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const row = (cells: readonly Cell[]) => `| ${cells.map(cellText).join(" | ")} |`;
  const rule = header.map((_, column) =>
    rows.length > 0 && rows.every((cells) => typeof cells[column] === "number") ? "---:" : "---",
  );
  return [row(header), `| ${rule.join(" | ")} |`, ...rows.map(row)].join("\n");
}

/** Numbers with four significant digits, whole ones in full. */
function cellText(cell: Cell): string {
  if (typeof cell === "string") return escapeText(cell);
  if (Number.isInteger(cell)) return cell.toLocaleString("en-US");
  return Number.isFinite(cell) ? Number(cell.toPrecision(4)).toString() : `${cell}`;
}

function escapeText(text: string): string {
  return text.replace(/[\\|<>[\]]/g, "\\$&").replace(/\s+/g, " ");
}

/** A fence longer than any within. */
function codeBlock(language: string, code: string): string {
  const longest = Math.max(2, ...(code.match(/`+/g) ?? []).map((run) => run.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}${language}\n${code}\n${fence}`;
}

function fileNames(titles: readonly string[]): string[] {
  const taken = new Set<string>();
  return titles.map((title) => {
    const base =
      title
        .toLowerCase()
        .replace(/[^a-z0-9]+/g, "-")
        .replace(/^-|-$/g, "") || "curve";
    let name = base;
    for (let n = 2; taken.has(name); n++) name = `${base}-${n}`;
    taken.add(name);
    return `${name}.svg`;
  });
}

/** Readers see the old file or the new one, never a part. */
function replaceFile(path: string, text: string): void {
  writeFileSync(`${path}.writing`, text);
  renameSync(`${path}.writing`, path);
}
