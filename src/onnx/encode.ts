// Writes a graph as the bytes of an ONNX model (protobuf wire format, field numbers of onnx.proto3).
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Attribute, DataType, Graph, Node, Value } from "./graph.js";
import { initializer, liveNodes, placeInitializers, usedValues } from "./initializers.js";
import type { Dim } from "./shape.js";
import { ELEMENT_TYPES, entry, integer, message, text } from "./wire.js";

export { liveNodes };

const OPSET = 20;
const IR_VERSION = 9;
const MICROSOFT_OPSET = 1;

/** AttributeProto; a number is an integer unless the attribute is one of the float ones. */
const FLOAT_ATTRIBUTES = new Set(["alpha", "beta", "epsilon"]);

function attribute(writer: BinaryWriter, name: string, value: Attribute): void {
  text(writer, 1, name);
  if (name === "to") {
    integer(writer, 3, ELEMENT_TYPES[value as DataType]);
    integer(writer, 20, 2);
  } else if (typeof value === "string") {
    text(writer, 4, value);
    integer(writer, 20, 3);
  } else if (typeof value !== "number") {
    for (const item of value) integer(writer, 8, item);
    integer(writer, 20, 7);
  } else if (FLOAT_ATTRIBUTES.has(name)) {
    writer.tag(2, WireType.Bit32).float(value);
    integer(writer, 20, 1);
  } else {
    integer(writer, 3, value);
    integer(writer, 20, 2);
  }
}

type Names = ReadonlyMap<Value, string>;

function node(writer: BinaryWriter, { op, name, domain, inputs, outputs, attributes }: Node, names: Names): void {
  for (const input of inputs) text(writer, 1, names.get(input) ?? input.name);
  for (const output of outputs) text(writer, 2, names.get(output) ?? output.name);
  text(writer, 3, name);
  text(writer, 4, op);
  for (const [key, value] of Object.entries(attributes)) message(writer, 5, (w) => attribute(w, key, value));
  if (domain) text(writer, 7, domain);
}

/** Little-endian bytes of a constant. */
function rawData(value: Value): Uint8Array {
  const data = value.data ?? [];
  if (value.dtype === "float32") return new Uint8Array(Float32Array.from(data).buffer);
  if (value.dtype === "float64") return new Uint8Array(Float64Array.from(data).buffer);
  if (value.dtype === "int64") return new Uint8Array(BigInt64Array.from(data as number[], BigInt).buffer);
  if (value.dtype === "int32") return new Uint8Array(Int32Array.from(data).buffer);
  return Uint8Array.from(data);
}

function tensor(writer: BinaryWriter, value: Value): void {
  for (const dim of value.shape) integer(writer, 1, dim as number);
  integer(writer, 2, ELEMENT_TYPES[value.dtype]);
  text(writer, 8, value.name);
  writer.tag(9, WireType.LengthDelimited).bytes(rawData(value));
}

function dimension(writer: BinaryWriter, dim: Dim): void {
  if (typeof dim === "number") integer(writer, 1, dim);
  else text(writer, 2, dim);
}

function valueInfo(writer: BinaryWriter, name: string, value: Value): void {
  text(writer, 1, name);
  message(writer, 2, (type) =>
    message(type, 1, (tensorType) => {
      integer(tensorType, 1, ELEMENT_TYPES[value.dtype]);
      message(tensorType, 2, (shape) => {
        for (const dim of value.shape) message(shape, 1, (w) => dimension(w, dim));
      });
    }),
  );
}

/**
 * The order in which ONNX Runtime best finds the nodes. It computes what is needed for the last node that no other node reads,
 * then for the one before, and so on. In the order in which a backward pass is built, the last is the gradient of the first layer,
 * and all gradients of activations would wait until those of the weights are computed from them.
 */
function schedule(nodes: readonly Node[]): readonly Node[] {
  const read = new Set(nodes.flatMap(({ inputs }) => inputs));
  const isLast = ({ outputs }: Node) => !outputs.some((output) => read.has(output));
  return [...nodes.filter((item) => !isLast(item)), ...nodes.filter(isLast).reverse()];
}

/** The public name of each output whose value can carry it; an input, or a value given out twice, needs a copy. */
function outputNames(graph: Graph): Names {
  const names = new Map<Value, string>();
  for (const { name, value } of graph.outputs) if (value.producer && !names.has(value)) names.set(value, name);
  return names;
}

/** Nodes for the outputs whose value has another name. */
function copies(graph: Graph, names: Names): readonly Node[] {
  return graph.outputs
    .filter(({ name, value }) => names.get(value) !== name)
    .map(({ name, value }) => ({
      ...{ op: "Identity", name: `copy ${name}`, domain: "" },
      ...{ inputs: [value], attributes: {}, outputs: [{ ...value, name }] },
    }));
}

const sequenceElement = (graph: Graph, name: string): Value => ({
  graph,
  name: `${name}/element`,
  dtype: "float32",
  shape: [],
  producer: null,
  data: [0],
});

function sequenceNode(writer: BinaryWriter, name: string): void {
  text(writer, 1, `${name}/element`);
  text(writer, 2, name);
  text(writer, 3, name);
  text(writer, 4, "SequenceConstruct");
}

/** ValueInfoProto of a sequence of float tensors of any shape. */
function sequenceInfo(writer: BinaryWriter, name: string): void {
  text(writer, 1, name);
  message(writer, 2, (type) =>
    message(type, 4, (sequence) =>
      message(sequence, 1, (element) =>
        message(element, 1, (tensorType) => integer(tensorType, 1, ELEMENT_TYPES.float32)),
      ),
    ),
  );
}

export interface EncodeOptions {
  /**
   * Name of an extra first output, a sequence that holds one scalar. The runtime's JavaScript binding stops at it
   * before it copies the other outputs.
   */
  readonly sequenceOutput?: string;
  /**
   * Numbers of graph inputs that become constants of the model. With them, inputs that no output needs are left out.
   */
  readonly initializers?: ReadonlyMap<string, Float32Array>;
  /** Name of a file beside the model that holds the bytes of the initializers instead (models of 2 GiB and more). */
  readonly externalFile?: string;
  /** `metadata_props` of the model. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** ONNX model bytes. The graph inputs and outputs keep their names; nodes that no output needs are left out. */
export function encodeModel(graph: Graph, options: EncodeOptions = {}): Uint8Array {
  const { sequenceOutput, initializers, externalFile, metadata = {} } = options;
  const names = outputNames(graph);
  const nodes = schedule([...liveNodes(graph), ...copies(graph, names)]);
  const used = usedValues(graph, nodes);
  const placed = initializers ? placeInitializers(graph, initializers) : [];
  const fixed = new Set(placed.map(({ value }) => value));
  const inputs = graph.inputs.filter((input) => !initializers || (used.has(input) && !fixed.has(input)));
  const writer = new BinaryWriter();
  integer(writer, 1, IR_VERSION);
  text(writer, 2, "moleblend");
  message(writer, 7, (body) => {
    for (const item of nodes) message(body, 1, (w) => node(w, item, names));
    if (sequenceOutput) message(body, 1, (w) => sequenceNode(w, sequenceOutput));
    text(body, 2, graph.name);
    if (sequenceOutput) message(body, 5, (w) => tensor(w, sequenceElement(graph, sequenceOutput)));
    for (const value of graph.constants) if (used.has(value)) message(body, 5, (w) => tensor(w, value));
    for (const item of placed) message(body, 5, (w) => initializer(w, item, externalFile));
    for (const input of inputs) message(body, 11, (w) => valueInfo(w, input.name, input));
    if (sequenceOutput) message(body, 12, (w) => sequenceInfo(w, sequenceOutput));
    for (const { name, value } of graph.outputs) message(body, 12, (w) => valueInfo(w, name, value));
  });
  const opset = (domain: string, version: number) =>
    message(writer, 8, (w) => {
      text(w, 1, domain);
      integer(w, 2, version);
    });
  opset("", OPSET);
  if (nodes.some((item) => item.domain)) opset("com.microsoft", MICROSOFT_OPSET);
  for (const [key, value] of Object.entries(metadata)) entry(writer, 14, key, value);
  return writer.finish();
}
