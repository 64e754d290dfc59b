// Explanation as a job: molecules and a fine-tuned model → which atoms and pairs each prediction rests on, as numbers and drawings.
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { ATOM_FEATURES, atomCount, type Molecule } from "../chem/molecule.js";
import { loadRdkit } from "../chem/rdkit.js";
import { type Corpus, openCorpus } from "../data/corpus.js";
import type { ReaderOptions } from "../data/readers/index.js";
import { ConfigError } from "../errors.js";
import { explanationGraph } from "../model/explanation-graph.js";
import { readsGeometry, type TaskConfig } from "../model/task-graphs.js";
import { Random } from "../random.js";
import { Session, type Tensor } from "../runtime/session.js";
import { type FinetunedModel, loadFinetuned } from "../train/finetuned-model.js";
import { makeTaskBatch } from "../train/task-batch.js";
import { toPredictions } from "../train/task-labels.js";
import { predictionRecipe } from "../train/task-predictor.js";
import { parameterTensors } from "../train/trainer.js";
import { type Attribution, attribute, meanAttribution, strongestPairs } from "./explain/attribution.js";
import { drawExplanation } from "./explain/drawing.js";
import { outputNames } from "./finetune/predictions-file.js";
import { openSource } from "./inference/molecule-source.js";
import { openRejects } from "./inference/rejects.js";

export interface ExplainJob {
  /** Run of a fine-tuned model; contributions are means over its seeds. */
  readonly model: string;
  /** Files of molecules, "-" for standard input, or a corpus. */
  readonly inputs: readonly string[];
  /** Folder for the drawings and `explanations.jsonl`. */
  readonly outDir: string;
  /** Target or class to explain; by default the first target, or the class that is predicted. */
  readonly target?: string;
  /** Most molecules to explain; 20 by default. */
  readonly limit?: number;
  readonly reader?: ReaderOptions;
  readonly threads?: number;
}

/** One line of `explanations.jsonl`; atoms are numbered from 0, as the molecule was read. */
export interface Explanation {
  readonly record: number;
  readonly name: string;
  readonly output: string;
  readonly prediction: number;
  /** Contributions in log-odds (classification) or the units of the label. */
  readonly atoms: readonly {
    readonly atomicNumber: number;
    readonly contribution: number;
    readonly attention: number;
  }[];
  readonly pairs: readonly { readonly atoms: readonly [number, number]; readonly contribution: number }[];
  /** Null where the molecule could not be drawn. */
  readonly drawing: string | null;
}

export interface ExplainSummary {
  readonly molecules: number;
  readonly rejects: Readonly<Record<string, number>>;
  readonly explanations: string;
  readonly drawings: number;
}

const PAIRS_WRITTEN = 50;

/** The output that a job asks for, or null for the class that is predicted. */
function outputOf(job: ExplainJob, { description: { task, targets } }: FinetunedModel): number | null {
  if (job.target === undefined) return task.kind === "classes" ? null : 0;
  const names = outputNames(targets, task);
  const at = names.indexOf(job.target);
  if (at < 0) throw new ConfigError(`target: expected one of ${names.slice(0, 40).join(", ")}, got "${job.target}"`);
  return at;
}

/** Inputs of the loss, which the graph has but nobody asks for. */
function unusedLabels({ kind, outputs }: TaskConfig): Record<string, Tensor> {
  const width = kind === "classes" ? 1 : outputs;
  return {
    labels: { data: new Float32Array(outputs), shape: [1, outputs] },
    label_weights: { data: new Float32Array(width), shape: [1, width] },
  };
}

interface Explained {
  readonly attribution: Attribution;
  readonly output: number;
  readonly prediction: number;
}

class Explainer {
  private constructor(
    private readonly model: FinetunedModel,
    private readonly session: Session,
    private readonly wanted: number | null,
  ) {}

  static async create(model: FinetunedModel, wanted: number | null, threads: number): Promise<Explainer> {
    const { model: config, task } = model.description;
    return new Explainer(model, await Session.create(explanationGraph(config, task), { threads }), wanted);
  }

  /** Contributions to the mean of the models' predictions. */
  async explain(molecule: Molecule): Promise<Explained> {
    const { description, slots, parameters } = this.model;
    const { task, targets } = description;
    const batch = makeTaskBatch([molecule], predictionRecipe(description), Random.fromSeed(0));
    const members = parameters.map((flat) => parameterTensors(slots, flat));
    const output = this.wanted ?? (await this.#predictedClass(batch, members));
    const all: Attribution[] = [];
    let prediction = 0;
    for (const member of members) {
      const results = await this.#run(batch, member, output);
      const values = toPredictions(results["logits"].data as Float32Array, task, targets);
      prediction += values[output] / members.length;
      all.push(this.#attribution(results, atomCount(molecule), output));
    }
    return { attribution: meanAttribution(all), output, prediction };
  }

  async #predictedClass(batch: Readonly<Record<string, Tensor>>, members: readonly Readonly<Record<string, Tensor>>[]) {
    const { task, targets } = this.model.description;
    const sums = new Float64Array(task.outputs);
    for (const member of members) {
      const { logits } = await this.#run(batch, member, 0);
      toPredictions(logits.data as Float32Array, task, targets).forEach((value, i) => {
        sums[i] += value;
      });
    }
    return sums.indexOf(Math.max(...sums));
  }

  #run(batch: Readonly<Record<string, Tensor>>, member: Readonly<Record<string, Tensor>>, output: number) {
    const { task } = this.model.description;
    const selected = new Float32Array(task.outputs);
    selected[output] = 1;
    const feeds = {
      ...batch,
      ...member,
      ...unusedLabels(task),
      selected: { data: selected, shape: [1, task.outputs] },
    };
    return this.session.run(feeds);
  }

  #attribution(results: Readonly<Record<string, Tensor>>, atoms: number, output: number): Attribution {
    const { model, task, targets } = this.model.description;
    // Regression: the head's output times the standard deviation of the labels is in their units.
    const scale = task.kind === "regression" ? targets[output].std : 1;
    const gradient = (name: string) => (results[name].data as Float32Array).map((value) => value * scale);
    return attribute(
      {
        ...{ tokens: atoms + 1, heads: model.heads, width: model.width },
        embedding: results["embedding"].data as Float32Array,
        embeddingGradient: gradient("gradient.embedding"),
        bias: results["bias"].data as Float32Array,
        biasGradient: gradient("gradient.bias"),
        attention: Array.from({ length: model.layers }, (_, i) => results[`layer.${i}.weights`].data as Float32Array),
      },
      task.readout,
    );
  }

  close(): Promise<void> {
    return this.session.close();
  }
}

/** @throws ConfigError, CheckpointError, DatasetError */
export async function explain(job: ExplainJob): Promise<ExplainSummary> {
  const model = loadFinetuned(job.model);
  const wanted = outputOf(job, model);
  const { task, reading, targets } = model.description;
  mkdirSync(job.outDir, { recursive: true });
  const rejects = openRejects(join(job.outDir, "rejects.jsonl"));
  const source = await openSource(job.inputs, {
    ...reading,
    geometry: readsGeometry(task.mode),
    onReject: rejects.add,
    workers: 0,
    ...(job.reader ? { reader: job.reader } : {}),
  });
  const corpus: Corpus | null = source.corpusDir === null ? null : await openCorpus(source.corpusDir);
  const explainer = await Explainer.create(model, wanted, job.threads ?? availableParallelism());
  const rdkit = await loadRdkit();
  const names = outputNames(targets, task);
  const lines: string[] = [];
  let drawings = 0;
  try {
    molecules: for await (const chunk of source.chunks()) {
      for (const { record, name, content } of chunk) {
        if (lines.length >= (job.limit ?? 20)) break molecules;
        const molecule = typeof content === "number" ? (corpus as Corpus).get(content) : content;
        const explained = await explainer.explain(molecule);
        const output = names[explained.output];
        const what = task.kind === "regression" ? `${output} predicted: ` : `probability of ${output}: `;
        const svg = drawExplanation(rdkit, {
          ...{ molecule, attribution: explained.attribution, title: name },
          subtitle: what + Number(explained.prediction.toPrecision(4)),
          unit: task.kind === "regression" ? "" : "log-odds",
        });
        const file = svg ? join(job.outDir, `${String(lines.length + 1).padStart(4, "0")}.svg`) : null;
        if (svg && file) writeFileSync(file, svg);
        if (file) drawings++;
        lines.push(JSON.stringify(explanationOf({ record, name, molecule, output, explained, drawing: file })));
      }
    }
  } finally {
    await Promise.all([explainer.close(), source.close()]);
    corpus?.close();
    rejects.close();
  }
  const explanations = join(job.outDir, "explanations.jsonl");
  writeFileSync(explanations, lines.map((line) => `${line}\n`).join(""));
  return { molecules: lines.length, rejects: rejects.counts(), explanations, drawings };
}

interface ExplainedMolecule extends Pick<Explanation, "record" | "name" | "output" | "drawing"> {
  readonly molecule: Molecule;
  readonly explained: Explained;
}

function explanationOf({ record, name, molecule, output, explained, drawing }: ExplainedMolecule): Explanation {
  const { attribution, prediction } = explained;
  return {
    ...{ record, name, output, prediction, drawing },
    atoms: Array.from(attribution.atoms, (contribution, atom) => ({
      atomicNumber: molecule.atomFeatures[atom * ATOM_FEATURES.length] + 1,
      contribution,
      attention: attribution.rollout[atom],
    })),
    pairs: strongestPairs(attribution, PAIRS_WRITTEN).map(({ first, second, value }) => ({
      atoms: [first, second] as const,
      contribution: value,
    })),
  };
}
