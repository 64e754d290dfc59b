// The graph inputs of a model: batch fields from the registry, dropout multipliers, and parameters.
import { FIELDS, type FieldName } from "../data/fields.js";
import { UnsupportedOpError } from "../errors.js";
import type { DataType, Graph, Value } from "../onnx/graph.js";
import type { DropoutConfig, ModelConfig } from "./config.js";
import type { ParameterSpec } from "./parameters.js";

/** Multipliers of inverted dropout, drawn by the host: 0 or 1 / (1 - p). */
export interface DropoutInput {
  readonly name: string;
  readonly shape: readonly (number | string)[];
  readonly probability: number;
  readonly kind: "element" | "path";
}

/** Drop probability of each residual branch: rising from 0 at the first layer (reference `linspace(0, p, layers)`). */
export function droppathProbabilities(layers: number, last: number): readonly number[] {
  return Array.from({ length: layers }, (_, i) => (layers === 1 ? 0 : (last * i) / (layers - 1)));
}

/** The dropout inputs that a training graph of this model has; none where the probability is 0. */
export function dropoutInputs(config: ModelConfig, dropout: DropoutConfig): readonly DropoutInput[] {
  const inputs: DropoutInput[] = [];
  const element = (name: string, shape: readonly (number | string)[], probability: number) => {
    if (probability > 0) inputs.push({ name, shape, probability, kind: "element" });
  };
  droppathProbabilities(config.layers, dropout.droppath).forEach((probability, i) => {
    element(`keep.layer.${i}.attention`, ["batch", config.heads, "tokens", "tokens"], dropout.attention);
    element(`keep.layer.${i}.activation`, ["tokens", "batch", config.feedForward], dropout.activation);
    if (probability === 0) return;
    for (const branch of ["attention_path", "output_path"]) {
      inputs.push({ name: `keep.layer.${i}.${branch}`, shape: ["batch", "tokens", 1], probability, kind: "path" });
    }
  });
  element("keep.denoising.attention", ["batch", config.heads, "atoms", "atoms"], dropout.denoising);
  return inputs;
}

/** Makes graph inputs when they are first used, so that a graph takes what it needs and nothing else. */
export class ModelInputs {
  readonly #parameters: ReadonlyMap<string, ParameterSpec>;
  readonly #dropout: ReadonlyMap<string, DropoutInput>;
  /** Parameters in the order of first use. */
  readonly usedParameters: string[] = [];
  /** Intermediate values worth looking at, by name. */
  readonly probes = new Map<string, Value>();
  /** What the backward pass of a wide model computes again: a pass over memory each. */
  readonly recomputed = new Set<Value>();

  constructor(
    readonly graph: Graph,
    parameters: readonly ParameterSpec[],
    dropout: readonly DropoutInput[],
    readonly dtype: DataType = "float32",
    /** Before the names of the parameters, where a graph holds several models. */
    readonly prefix = "",
  ) {
    this.#parameters = new Map(parameters.map((spec) => [spec.name, spec]));
    this.#dropout = new Map(dropout.map((input) => [input.name, input]));
  }

  field(name: FieldName): Value {
    const field = FIELDS[name];
    return this.#once(name, field.dtype === "uint8" ? "uint8" : this.dtype, field.shape);
  }

  parameter(name: string): Value {
    const spec = this.#parameters.get(name);
    if (!spec) throw new UnsupportedOpError(`the model has no parameter "${name}"`);
    if (!this.usedParameters.includes(name)) this.usedParameters.push(name);
    return this.#once(this.prefix + name, this.dtype, spec.shape);
  }

  /** The multipliers of a dropout place, or null where nothing is dropped. */
  keep(name: string): Value | null {
    const input = this.#dropout.get(`keep.${name}`);
    return input ? this.#once(input.name, this.dtype, input.shape) : null;
  }

  /** Registers an intermediate value under a name, for graphs that give it out. */
  probe(name: string, value: Value): Value {
    this.probes.set(name, value);
    return value;
  }

  recompute(value: Value): Value {
    this.recomputed.add(value);
    return value;
  }

  /** The models of one graph read the same inputs. */
  #once(name: string, dtype: DataType, shape: readonly (number | string)[]): Value {
    return this.graph.once(`input ${name}`, () => this.graph.input(name, dtype, shape));
  }
}
