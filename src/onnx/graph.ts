// A graph of ONNX operators under construction: every value has a type and a shape from the moment it is made.
import { ShapeError, UnsupportedOpError } from "../errors.js";
import { OPERATORS } from "./operators.js";
import { type Dim, formatShape, product, type Shape, sameShape } from "./shape.js";

export type DataType = "float32" | "float64" | "uint8" | "int32" | "int64" | "bool";
export type Attribute = number | string | readonly number[];
export type Attributes = Readonly<Record<string, Attribute>>;

/** The output of a node, a graph input, or a constant. */
export interface Value {
  readonly graph: Graph;
  readonly name: string;
  readonly dtype: DataType;
  readonly shape: Shape;
  /** The node that computes it; null for inputs and constants. */
  readonly producer: Node | null;
  /** The numbers of a constant; null for what is computed or fed. */
  readonly data: readonly number[] | Float32Array | null;
}

export interface Node {
  readonly op: string;
  readonly name: string;
  readonly domain: string;
  readonly inputs: readonly Value[];
  readonly attributes: Attributes;
  readonly outputs: readonly Value[];
}

/** What an operator's shape inference returns for each output. */
export interface TensorType {
  readonly dtype: DataType;
  readonly shape: Shape;
}

export class Graph {
  readonly inputs: Value[] = [];
  readonly outputs: { readonly name: string; readonly value: Value }[] = [];
  readonly constants: Value[] = [];
  readonly nodes: Node[] = [];
  readonly #names = new Map<string, number>();
  readonly #cache = new Map<string, Value>();
  readonly #scopes: string[] = [];

  constructor(readonly name: string) {}

  /** Names made inside `build` begin with `scope/`, so that a printed graph and a profile can be read by part. */
  scope<T>(scope: string, build: () => T): T {
    this.#scopes.push(scope);
    try {
      return build();
    } finally {
      this.#scopes.pop();
    }
  }

  input(name: string, dtype: DataType, shape: Shape): Value {
    if (this.#names.has(name)) throw new ShapeError(`graph "${this.name}": a second value named "${name}"`);
    this.#names.set(name, 1);
    const value: Value = { graph: this, name, dtype, shape, producer: null, data: null };
    this.inputs.push(value);
    return value;
  }

  /** @throws ShapeError when another value, of this graph or given out already, has the name. */
  output(name: string, value: Value): void {
    if (value.graph !== this) throw new ShapeError(`output "${name}" of graph "${this.name}" belongs to another graph`);
    const own = value.producer !== null && value.name === name;
    if ((this.#names.has(name) && !own) || this.outputs.some((output) => output.name === name)) {
      throw new ShapeError(`graph "${this.name}": a second value named "${name}"`);
    }
    this.#names.set(name, this.#names.get(name) ?? 1);
    this.outputs.push({ name, value });
  }

  /** A constant tensor; equal small constants are made once. */
  constant(dtype: DataType, shape: readonly number[], data: readonly number[] | Float32Array): Value {
    if (data.length !== product(shape)) {
      throw new ShapeError(`constant: ${data.length} numbers do not fill ${formatShape(shape)}`);
    }
    const make = () => {
      const value: Value = { graph: this, name: this.#unique("constant"), dtype, shape, producer: null, data };
      this.constants.push(value);
      return value;
    };
    return data.length <= 64 ? this.once(`${dtype}${formatShape(shape)}${data.join()}`, make) : make();
  }

  /** The value that `make` gave when `key` was first asked for. */
  once(key: string, make: () => Value): Value {
    const known = this.#cache.get(key);
    if (known) return known;
    const value = make();
    this.#cache.set(key, value);
    return value;
  }

  /**
   * Appends an operator. Its type and shapes come from the operator table; `shape` is given for the operators whose
   * result depends on symbols that inference cannot derive (Reshape, Slice, Pad, Concat).
   * @throws ShapeError that names operator, node and shapes; UnsupportedOpError for an operator without an entry.
   */
  node(op: string, inputs: readonly Value[], attributes: Attributes = {}, shape?: Shape): readonly Value[] {
    const spec = OPERATORS[op];
    if (!spec) throw new UnsupportedOpError(`operator ${op} has no entry in the operator table`);
    const name = this.#unique(op);
    const what = `${op} node "${name}"`;
    if (inputs.length < spec.inputs[0] || inputs.length > spec.inputs[1]) {
      throw new ShapeError(`${what}: expected ${spec.inputs.join(" to ")} inputs, got ${inputs.length}`);
    }
    for (const input of inputs) {
      if (input.graph !== this) throw new ShapeError(`${what}: input "${input.name}" belongs to another graph`);
    }
    const types = spec.infer({ what, inputs, attributes, shape });
    const outputs: Value[] = [];
    const node: Node = { op, name, domain: spec.domain ?? "", inputs, attributes, outputs };
    types.forEach((type, i) => {
      outputs.push({ graph: this, name: i === 0 ? name : `${name}:${i}`, ...type, producer: node, data: null });
    });
    this.nodes.push(node);
    return outputs;
  }

  /** The current length of a symbolic dimension as an int64 tensor [1], read off an input that has it, else a result. */
  dimension(symbol: string): Value {
    return this.once(`dimension ${symbol}`, () => {
      for (const value of [...this.inputs, ...this.nodes.flatMap((node) => node.outputs)]) {
        const axis = value.shape.indexOf(symbol);
        if (axis >= 0) return this.node("Shape", [value], { start: axis, end: axis + 1 })[0];
      }
      throw new ShapeError(`graph "${this.name}": nothing has the dimension "${symbol}"`);
    });
  }

  #unique(base: string): string {
    const path = [...this.#scopes, base].join("/");
    let count = this.#names.get(path) ?? 0;
    // An input or output may already be called what the count would give.
    while (count > 0 && this.#names.has(`${path}_${count}`)) count++;
    this.#names.set(path, count + 1);
    if (count === 0) return path;
    this.#names.set(`${path}_${count}`, 1);
    return `${path}_${count}`;
  }
}

/** @throws ShapeError when the value does not have this shape. */
export function expectShape(what: string, value: Value, shape: Shape): Value {
  if (!sameShape(value.shape, shape)) {
    throw new ShapeError(`${what}: expected ${formatShape(shape)}, got ${formatShape(value.shape)} of "${value.name}"`);
  }
  return value;
}

export type { Dim, Shape };
