// Reads the operator profile that ONNX Runtime writes: time by operator and by part of the graph.
import { readFileSync } from "node:fs";
import { median } from "./median.js";

export interface ProfiledNode {
  readonly op: string;
  /** Path of scopes and the operator, as the graph names it. */
  readonly node: string;
  /** Of the operator's own work, median of the runs. */
  readonly milliseconds: number;
}

interface TraceEvent {
  readonly cat?: string;
  readonly name: string;
  readonly dur: number;
  readonly args?: { readonly op_name?: string };
}

const KERNEL = "_kernel_time";

/** Time of each node over the runs of a profile, in which it has its place once. */
export function readProfile(path: string): readonly ProfiledNode[] {
  const events = JSON.parse(readFileSync(path, "utf8")) as readonly TraceEvent[];
  const nodes = new Map<string, { op: string; microseconds: number[] }>();
  for (const { cat, name, dur, args } of events) {
    if (cat !== "Node" || !name.endsWith(KERNEL)) continue;
    const node = name.slice(0, -KERNEL.length);
    const known = nodes.get(node) ?? { op: args?.op_name ?? "?", microseconds: [] };
    known.microseconds.push(dur);
    nodes.set(node, known);
  }
  return [...nodes].map(([node, { op, microseconds }]) => ({ op, node, milliseconds: median(microseconds) / 1000 }));
}

/** Sums by a key, largest first. */
export function sumBy(
  nodes: readonly ProfiledNode[],
  key: (node: ProfiledNode) => string,
): readonly { key: string; milliseconds: number; count: number }[] {
  const sums = new Map<string, { milliseconds: number; count: number }>();
  for (const node of nodes) {
    const sum = sums.get(key(node)) ?? { milliseconds: 0, count: 0 };
    sum.milliseconds += node.milliseconds;
    sum.count++;
    sums.set(key(node), sum);
  }
  return [...sums].map(([name, sum]) => ({ key: name, ...sum })).sort((a, b) => b.milliseconds - a.milliseconds);
}

/** Operators that are matrix products. */
export const PRODUCTS: ReadonlySet<string> = new Set(["Gemm", "MatMul", "FusedMatMul", "FusedGemm"]);

/** Part of the model that a node belongs to, forward and backward apart: `layers`, `layers backward`, `heads`, … */
export function modelPart({ node }: ProfiledNode): string {
  const backward = node.startsWith("gradient/");
  const scope = (backward ? node.slice("gradient/".length) : node).split("/")[0];
  const part = /^layer\d+$/.test(scope)
    ? "layers"
    : ["embedding", "relations", "heads", "losses"].includes(scope)
      ? scope
      : "other";
  return backward ? `${part} backward` : part;
}
