// Sends a stream of molecules through a model in batches of like sizes and gives the results back in input order.
import type { BatchTensors } from "../../blend/tensors.js";
import type { Molecule } from "../../chem/molecule.js";
import { planBatches } from "../../data/batches.js";
import { type PackedMolecules, packMolecules } from "../../data/packed-molecules.js";
import type { Label } from "../../random.js";
import { INFERENCE_BATCH } from "../../train/predict-entries.js";
import type { TaskBatchOrder, TaskBatchPool } from "../../train/task-batch-pool.js";
import type { SourceMolecule } from "./molecule-source.js";

/** Molecules that are sorted by size together: all that is held in memory, beside the batches under way. */
const WINDOW = 4096;

export interface InOrderOptions {
  /** Times that each batch is made, with draws of its own each time; 1 by default. */
  readonly draws?: number;
  /** Adds fingerprints to the first draw of each batch. */
  readonly fingerprints?: boolean;
}

export interface InferenceBatch {
  readonly molecules: readonly SourceMolecule[];
  readonly tensors: BatchTensors;
  /** From 0. */
  readonly draw: number;
}

interface Window<Result> {
  readonly molecules: readonly SourceMolecule[];
  readonly results: Result[];
  left: number;
}

interface Order<Result> extends TaskBatchOrder {
  readonly window: Window<Result>;
  /** Places of its molecules in the window. */
  readonly places: Int32Array;
  readonly draw: number;
}

/**
 * @param run gives a result for each molecule of a batch; with several draws it is called for each in turn, and what it
 *   gives at the last one counts
 */
export async function* inOrder<Result>(
  chunks: AsyncIterable<readonly SourceMolecule[]>,
  pool: TaskBatchPool,
  run: (batch: InferenceBatch) => Promise<readonly Result[]>,
  { draws = 1, fingerprints = false }: InOrderOptions = {},
): AsyncGenerator<readonly { readonly molecule: SourceMolecule; readonly result: Result }[]> {
  async function* orders(): AsyncGenerator<Order<Result>> {
    let number = 0;
    for await (const molecules of windows(chunks)) {
      const atoms = Uint16Array.from(molecules, (molecule) => molecule.atoms);
      const every = Int32Array.from(molecules.keys());
      const { batches } = planBatches(every, atoms, INFERENCE_BATCH, 0, 0);
      const window: Window<Result> = { molecules, results: new Array(molecules.length), left: molecules.length };
      for (const places of batches) {
        const content = contentOf(places, molecules);
        for (let draw = 0; draw < draws; draw++) {
          const labels: Label[] = ["infer", number, draw];
          yield { molecules: content, labels, fingerprints: fingerprints && draw === 0, window, places, draw };
        }
        number++;
      }
    }
  }
  for await (const { order, tensors } of pool.inOrder(orders())) {
    const { window, places, draw } = order;
    const molecules = Array.from(places, (place) => window.molecules[place]);
    const results = await run({ molecules, tensors, draw });
    if (draw < draws - 1) continue;
    places.forEach((place, i) => {
      window.results[place] = results[i];
    });
    window.left -= places.length;
    if (window.left === 0) {
      yield window.molecules.map((molecule, i) => ({ molecule, result: window.results[i] }));
    }
  }
}

/** Rows of the corpus, or molecules packed for a message. */
function contentOf(places: Int32Array, molecules: readonly SourceMolecule[]): Int32Array | PackedMolecules {
  if (typeof molecules[places[0]].content === "number") {
    return Int32Array.from(places, (place) => molecules[place].content as number);
  }
  return packMolecules(
    Array.from(places, (place) => molecules[place].content as Molecule),
    [],
  );
}

async function* windows(chunks: AsyncIterable<readonly SourceMolecule[]>): AsyncGenerator<readonly SourceMolecule[]> {
  let window: SourceMolecule[] = [];
  for await (const chunk of chunks) {
    for (const molecule of chunk) {
      window.push(molecule);
      if (window.length < WINDOW) continue;
      yield window;
      window = [];
    }
  }
  if (window.length > 0) yield window;
}
