// Sends a stream of molecules through threads in batches of like sizes and gives the results back in input order.
import type { Molecule } from "../../chem/molecule.js";
import { planBatches } from "../../data/batches.js";
import { type PackedMolecules, packMolecules } from "../../data/packed-molecules.js";
import { INFERENCE_BATCH } from "../../train/predict-entries.js";
import type { BatchOrder, BatchPool } from "../../train/task-batch-pool.js";
import type { SourceMolecule } from "./molecule-source.js";

/** Molecules that are sorted by size together: all that is held in memory, beside the batches under way. */
const WINDOW = 4096;

interface Window<Result> {
  readonly molecules: readonly SourceMolecule[];
  readonly results: Result[];
  left: number;
}

interface Order<Result> extends BatchOrder {
  readonly window: Window<Result>;
  /** Places of its molecules in the window. */
  readonly places: Int32Array;
}

/** @param resultsOf a result for each molecule of a batch, from what a thread answered */
export async function* inOrder<Answer, Result>(
  chunks: AsyncIterable<readonly SourceMolecule[]>,
  pool: BatchPool<Answer>,
  resultsOf: (molecules: readonly SourceMolecule[], answer: Answer) => readonly Result[],
): AsyncGenerator<readonly { readonly molecule: SourceMolecule; readonly result: Result }[]> {
  async function* orders(): AsyncGenerator<Order<Result>> {
    let number = 0;
    for await (const molecules of windows(chunks)) {
      const atoms = Uint16Array.from(molecules, (molecule) => molecule.atoms);
      const every = Int32Array.from(molecules.keys());
      const { batches } = planBatches(every, atoms, INFERENCE_BATCH, 0, 0);
      const window: Window<Result> = { molecules, results: new Array(molecules.length), left: molecules.length };
      for (const places of batches)
        yield { molecules: contentOf(places, molecules), labels: ["infer", number++], window, places };
    }
  }
  for await (const { order, answer } of pool.inOrder(orders())) {
    const { window, places } = order;
    const molecules = Array.from(places, (place) => window.molecules[place]);
    const results = resultsOf(molecules, answer);
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
