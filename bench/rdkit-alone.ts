// A thread that does nothing but RDKit's own part of featurizing: the yardstick beside which `prepare` is measured.
import { parentPort, workerData } from "node:worker_threads";
import { loadRdkit, type RdkitCode } from "../src/chem/rdkit.js";
import { PICKLE_OPTIONS } from "../src/chem/rdkit-pickle.js";

export interface AloneRequest {
  readonly code: RdkitCode;
  readonly smiles: readonly string[];
  /** RDKit's options for parsing. */
  readonly details: string;
  /** Whether each molecule is pickled as well. */
  readonly pickle: boolean;
}

const WARM_UP = 2000;

const { code, smiles, details, pickle } = workerData as AloneRequest;
const rdkit = await loadRdkit(code);

function run(texts: readonly string[]): void {
  for (const text of texts) {
    try {
      const molecule = rdkit.parse(text, details);
      if (pickle) molecule.get_as_uint8array(PICKLE_OPTIONS);
      molecule.delete();
    } catch {
      // What RDKit refuses costs time as well.
    }
  }
}

run(smiles.slice(0, WARM_UP));
parentPort?.once("message", () => {
  run(smiles);
  parentPort?.postMessage("done");
});
parentPort?.postMessage("ready");
