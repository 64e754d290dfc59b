// Runs a graph on ONNX Runtime: the only module that knows the runtime.
import * as ort from "onnxruntime-node";
import { MoleblendError, ShapeError } from "../errors.js";
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
  /** The session is run by `runInPlace` alone. */
  readonly inPlace?: boolean;
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

const BARRIER = "barrier";
/** What the binding (onnxruntime-node 1.30) says of an output that is no tensor, after the run. */
const SEQUENCE_REFUSED = "Non tensor type is temporarily not supported.";
/** A value that no computation is likely to give, to see that a run wrote its outputs. */
const UNTOUCHED = Math.fround(-1.2345678e-30);

export class Session {
  private constructor(
    readonly graph: Graph,
    private readonly session: ort.InferenceSession,
  ) {}

  static async create(graph: Graph, options: SessionOptions = {}): Promise<Session> {
    const model = encodeModel(graph, options.inPlace ? { sequenceOutput: BARRIER } : {});
    const session = await ort.InferenceSession.create(model, {
      executionProviders: ["cpu"],
      graphOptimizationLevel: "all",
      intraOpNumThreads: options.threads ?? 0,
      // Plans memory for one set of shapes; with batches of ever other shapes it keeps a plan and a block for each.
      enableMemPattern: false,
      logSeverityLevel: 3,
      extra: {
        // Else the runtime's threads go on spinning after a run, and take a core from the optimizer and the batch thread.
        session: { force_spinning_stop: "1" },
        // It would join what the backward pass computes again with the values of the forward pass, and keep those.
        optimization: { disable_specified_optimizers: "CommonSubexpressionElimination" },
      },
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
    const inputs = this.#inputs(feeds);
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

  /**
   * Runs with an array of the caller's for every output, and returns nothing. The runtime's binding writes outputs into
   * given arrays but then copies each once more into an object of its own: 200 MB a step for a model of 50 M parameters.
   * It refuses sequences before it comes to that, so a first output of that kind spares the copy; when a later binding
   * accepts it, this runs with the copy.
   * @throws ShapeError for an input that does not fit or an output without an array
   */
  async runInPlace(feeds: Readonly<Record<string, Tensor>>, into: Readonly<Record<string, Tensor>>): Promise<void> {
    const inputs = this.#inputs(feeds);
    const fetches: Record<string, ort.Tensor | null> = { [BARRIER]: null };
    for (const { name, value } of this.graph.outputs) {
      if (!into[name]) throw new ShapeError(`graph "${this.graph.name}": no array was given for output "${name}"`);
      fetches[name] = toRuntime(value.dtype, into[name]);
    }
    const witness = into[this.graph.outputs[0].name].data;
    witness[0] = UNTOUCHED;
    try {
      await this.session.run(inputs, fetches);
    } catch (error) {
      if ((error as Error).message !== SEQUENCE_REFUSED) throw error;
    }
    if (witness[0] === UNTOUCHED) throw new MoleblendError(`graph "${this.graph.name}": the runtime wrote no outputs`);
  }

  /** Frees the native session and writes the profile, if one was asked for. */
  async close(): Promise<void> {
    this.session.endProfiling();
    await this.session.release();
  }

  /** What the graph takes of the feeds, once they fit. */
  #inputs(feeds: Readonly<Record<string, Tensor>>): Record<string, ort.Tensor> {
    this.#check(feeds);
    return Object.fromEntries(this.graph.inputs.map(({ name, dtype }) => [name, toRuntime(dtype, feeds[name])]));
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
