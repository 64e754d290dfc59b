// Runs an ONNX file on a session of its own: to check what was exported, as a stranger would.
import * as ort from "onnxruntime-node";
import { MoleblendError } from "../errors.js";
import type { Tensor, TensorData } from "./session.js";

const TYPES = [
  [Float32Array, "float32"],
  [Float64Array, "float64"],
  [Uint8Array, "uint8"],
  [Int32Array, "int32"],
  [BigInt64Array, "int64"],
] as const;

/** Names of the inputs and outputs of an ONNX file. */
export interface OnnxFileNames {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/**
 * Loads FILE.onnx and runs it once.
 * @param feeds tensors by name; those that the model does not take are left out
 * @throws MoleblendError when the runtime refuses the file or the inputs
 */
export async function runOnnxFile(
  path: string,
  feeds: Readonly<Record<string, Tensor>>,
): Promise<OnnxFileNames & { readonly results: Readonly<Record<string, Tensor>> }> {
  try {
    const session = await ort.InferenceSession.create(path, { executionProviders: ["cpu"], logSeverityLevel: 3 });
    try {
      const inputs = Object.fromEntries(
        session.inputNames.flatMap((name) => {
          const feed = feeds[name];
          const type = feed && TYPES.find(([array]) => feed.data instanceof array)?.[1];
          return feed && type ? [[name, new ort.Tensor(type as "float32", feed.data as Float32Array, feed.shape)]] : [];
        }),
      );
      const results = await session.run(inputs);
      return {
        inputs: session.inputNames,
        outputs: session.outputNames,
        results: Object.fromEntries(
          Object.entries(results).map(([name, { data, dims }]) => [name, { data: data as TensorData, shape: dims }]),
        ),
      };
    } finally {
      await session.release();
    }
  } catch (cause) {
    throw new MoleblendError(`${path}: ONNX Runtime: ${(cause as Error).message}`, { cause });
  }
}
