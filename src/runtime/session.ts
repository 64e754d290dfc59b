// Runs a graph on ONNX Runtime: the only module that knows the runtime.
import * as ort from "onnxruntime-node";
import { ShapeError } from "../errors.js";
import { encodeModel } from "../onnx/encode.js";
import type { DataType, Graph } from "../onnx/graph.js";
import { formatShape } from "../onnx/shape.js";

export type TensorData = Float32Array | Float64Array | Uint8Array | Int32Array | BigInt64Array;

/** A tensor as plain data. A view into a larger array is read and written in place. */
export interface Tensor {
  readonly data: TensorData;
  readonly shape: readonly number[];
}

export interface SessionOptions {
  /** Threads inside an operator; 0 lets the runtime choose one a physical core. */
  readonly threads?: number;
  /** Path prefix of an operator profile, written when the session is closed. */
  readonly profile?: string;
}

const ARRAY_TYPES: Readonly<Record<DataType, { new (length: number): TensorData }>> = {
  float32: Float32Array,
  float64: Float64Array,
  uint8: Uint8Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
};

export class Session {
  private constructor(
    readonly graph: Graph,
    private readonly session: ort.InferenceSession,
  ) {}

  static async create(graph: Graph, options: SessionOptions = {}): Promise<Session> {
    const session = await ort.InferenceSession.create(encodeModel(graph), {
      executionProviders: ["cpu"],
      graphOptimizationLevel: "all",
      intraOpNumThreads: options.threads ?? 0,
      logSeverityLevel: 3,
      ...(options.profile ? { enableProfiling: true, profileFilePrefix: options.profile } : {}),
    });
    return new Session(graph, session);
  }

  /**
   * @param feeds a tensor for every graph input
   * @param into arrays that receive outputs in place; any other output comes in an array of its own
   * @throws ShapeError that names an input which is missing, has another type, or dimensions that contradict each other
   */
  async run(
    feeds: Readonly<Record<string, Tensor>>,
    into: Readonly<Record<string, Tensor>> = {},
  ): Promise<Readonly<Record<string, Tensor>>> {
    this.#check(feeds);
    const inputs: Record<string, ort.Tensor> = {};
    for (const input of this.graph.inputs) inputs[input.name] = toRuntime(input.dtype, feeds[input.name]);
    const fetches: Record<string, ort.Tensor | null> = {};
    for (const { name, value } of this.graph.outputs)
      fetches[name] = into[name] ? toRuntime(value.dtype, into[name]) : null;
    const results = await this.session.run(inputs, fetches);
    return Object.fromEntries(
      this.graph.outputs.map(({ name }) => {
        const result = results[name];
        return [name, into[name] ?? { data: result.data as TensorData, shape: result.dims }];
      }),
    );
  }

  /** Frees the native session and writes the profile, if one was asked for. */
  async close(): Promise<void> {
    this.session.endProfiling();
    await this.session.release();
  }

  #check(feeds: Readonly<Record<string, Tensor>>): void {
    const sizes = new Map<string, { length: number; input: string }>();
    for (const input of this.graph.inputs) {
      const what = `graph "${this.graph.name}", input "${input.name}"`;
      const feed = feeds[input.name];
      if (!feed) throw new ShapeError(`${what}: nothing was fed, expected ${input.dtype}${formatShape(input.shape)}`);
      if (!(feed.data instanceof ARRAY_TYPES[input.dtype])) {
        throw new ShapeError(`${what}: expected ${input.dtype}, got ${feed.data.constructor.name}`);
      }
      const fits =
        feed.shape.length === input.shape.length &&
        feed.shape.reduce((size, dim) => size * dim, 1) === feed.data.length &&
        input.shape.every((dim, axis) => {
          if (typeof dim === "number") return feed.shape[axis] === dim;
          const known = sizes.get(dim);
          if (!known) sizes.set(dim, { length: feed.shape[axis], input: input.name });
          return !known || known.length === feed.shape[axis];
        });
      if (!fits) {
        const symbols = [...sizes].map(([symbol, { length, input: from }]) => `${symbol}=${length} ("${from}")`);
        throw new ShapeError(
          `${what}: expected ${formatShape(input.shape)}, got ${formatShape(feed.shape)} of ${feed.data.length} elements; ${symbols.join(", ")}`,
        );
      }
    }
  }
}

function toRuntime(dtype: DataType, { data, shape }: Tensor): ort.Tensor {
  return new ort.Tensor(dtype as "float32", data as Float32Array, shape);
}
