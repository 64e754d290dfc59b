// Parameters as constants of an exported model: inside it, or in a data file beside it.
import { type BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { ShapeError } from "../errors.js";
import type { Graph, Node, Value } from "./graph.js";
import { formatShape, product } from "./shape.js";
import { ELEMENT_TYPES, entry, integer, text } from "./wire.js";

/**
 * Nodes that the outputs need, in order of computation: what only a dropped output used is not written.
 */
export function liveNodes(graph: Graph): readonly Node[] {
  const needed = new Set<Node>();
  const pending = graph.outputs.map((output) => output.value);
  for (let value = pending.pop(); value; value = pending.pop()) {
    if (!value.producer || needed.has(value.producer)) continue;
    needed.add(value.producer);
    pending.push(...value.producer.inputs);
  }
  return graph.nodes.filter((candidate) => needed.has(candidate));
}

/** Data files begin tensors at whole pages, so that runtimes can map them. */
const PAGE = 4096;

/** What the nodes read and the graph gives out. */
export function usedValues(graph: Graph, nodes: readonly Node[]): ReadonlySet<Value> {
  return new Set([...nodes.flatMap((item) => item.inputs), ...graph.outputs.map((output) => output.value)]);
}

/** The initializers that the model needs, with the place of each in a data file. */
export function placeInitializers(
  graph: Graph,
  initializers: ReadonlyMap<string, Float32Array>,
): { readonly value: Value; readonly data: Float32Array; readonly offset: number }[] {
  const used = usedValues(graph, liveNodes(graph));
  let offset = 0;
  return graph.inputs.flatMap((value) => {
    const data = initializers.get(value.name);
    if (!data || !used.has(value)) return [];
    if (value.dtype !== "float32" || data.length !== product(value.shape)) {
      throw new ShapeError(`initializer "${value.name}": ${data.length} numbers for ${formatShape(value.shape)}`);
    }
    const placed = { value, data, offset };
    offset += Math.ceil(data.byteLength / PAGE) * PAGE;
    return [placed];
  });
}

const asBytes = ({ buffer, byteOffset, byteLength }: Float32Array) => new Uint8Array(buffer, byteOffset, byteLength);

/** The content of `externalFile`, as parts to be written one after the other. */
export function* externalData(graph: Graph, initializers: ReadonlyMap<string, Float32Array>): Generator<Uint8Array> {
  for (const { data } of placeInitializers(graph, initializers)) {
    yield asBytes(data);
    yield new Uint8Array((PAGE - (data.byteLength % PAGE)) % PAGE);
  }
}

/** TensorProto of an initializer, its bytes in it or in a file beside the model. */
export function initializer(
  writer: BinaryWriter,
  { value, data, offset }: ReturnType<typeof placeInitializers>[number],
  file: string | undefined,
): void {
  for (const dim of value.shape) integer(writer, 1, dim as number);
  integer(writer, 2, ELEMENT_TYPES[value.dtype]);
  text(writer, 8, value.name);
  if (file === undefined) {
    writer.tag(9, WireType.LengthDelimited).bytes(asBytes(data));
    return;
  }
  entry(writer, 13, "location", file);
  entry(writer, 13, "offset", String(offset));
  entry(writer, 13, "length", String(data.byteLength));
  integer(writer, 14, 1);
}
