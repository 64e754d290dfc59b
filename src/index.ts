// The public API: tasks first, then what they are made of. Everything is documented where it is defined.

export {
  type BlendOptions,
  drawBlend,
  type MoleculeDraw,
  REFERENCE_NOISE,
} from "./blend/draws.js";
export {
  ATOM_MODALITIES,
  type AtomModality,
  type BlendProbabilities,
  type Choice,
  checkPolicy,
  type GeometryTarget,
  MODALITIES,
  type Modality,
  POLICY_NAMES,
  type Policy,
  type PolicyName,
  type PolicyOptions,
  policy,
  REFERENCE_PROBABILITIES,
  type Recovery,
} from "./blend/policy.js";
export type { BatchTensor, BatchTensors } from "./blend/tensors.js";
export { type FeaturizedMolecule, type FeaturizeOptions, featurize } from "./chem/featurize.js";
export {
  ATOM_FEATURES,
  atomCount,
  BOND_FEATURES,
  type Molecule,
  type RawRecord,
  type Reject,
} from "./chem/molecule.js";
export { loadRdkit, type Rdkit } from "./chem/rdkit.js";
export { BatchList, type BatchOptions, type BatchPlan, planBatches } from "./data/batches.js";
export { Corpus, openCorpus } from "./data/corpus.js";
export { FIELDS, type Field, type FieldName, type FieldType } from "./data/fields.js";
export { isCorpus, type Manifest, readManifest } from "./data/manifest.js";
export {
  FILE_FORMATS,
  type FileFormat,
  isReject,
  type ReaderOptions,
  type ReadItem,
  readRecords,
} from "./data/readers/index.js";
export { type Split, type SplitFractions, splitCorpus } from "./data/split.js";
export {
  CheckpointError,
  ConfigError,
  DatasetError,
  MoleblendError,
  MoleculeError,
  type RejectCode,
  ShapeError,
  type SourceLocation,
  UnsupportedOpError,
} from "./errors.js";
export {
  type DropoutConfig,
  type LossWeights,
  type ModelConfig,
  NO_DROPOUT,
  PRESETS,
  type PresetName,
  preset,
  REFERENCE_DROPOUT,
  REFERENCE_LOSS_WEIGHTS,
} from "./model/config.js";
export { evaluationGraph, LOSS_TERMS, type LossTerm, trainingGraph } from "./model/graphs.js";
export {
  type InitScheme,
  initialise,
  layoutParameters,
  type ParameterSlot,
  type ParameterSpec,
  parameterSpecs,
} from "./model/parameters.js";
export { type Readout, TASK_MODES, type TaskKind, type TaskMode } from "./model/task-graphs.js";
export { encodeModel } from "./onnx/encode.js";
export type { DataType, Graph, Node, Value } from "./onnx/graph.js";
export { printGraph } from "./onnx/print.js";
export { type Label, Random } from "./random.js";
export { graphRelations } from "./relations/graph.js";
export { type GraphRelations, MAX_HOPS, UNREACHABLE } from "./relations/relations.js";
export { Session, type SessionOptions, type Tensor } from "./runtime/session.js";
export {
  type BenchOptions,
  type BenchReport,
  bench,
  describeMachine,
  formatBench,
  type Machine,
} from "./tasks/bench.js";
export { type BenchmarkJob, type BenchmarkSummary, type BenchmarkTask, runBenchmark } from "./tasks/benchmark.js";
export { labelTasks, moleculenetTasks } from "./tasks/benchmark-tasks.js";
export { type EmbedJob, type EmbedSummary, embed } from "./tasks/embed.js";
export { type EvaluateJob, type EvaluateSummary, evaluate } from "./tasks/evaluate.js";
export { type ExplainJob, type ExplainSummary, explain } from "./tasks/explain.js";
export {
  type ExportOptions,
  type ExportSummary,
  exportFairseq,
  exportSafetensors,
  type TensorNames,
} from "./tasks/export-checkpoint.js";
export { exportOnnx, type OnnxOptions, type OnnxSummary } from "./tasks/export-onnx.js";
export type { CalibrationSummary } from "./tasks/finetune/calibrate.js";
export type { SplitRequest } from "./tasks/finetune/split-entries.js";
export { type FinetuneJob, type FinetuneSummary, finetune, type PartScore } from "./tasks/finetune.js";
export { type GetDatasetOptions, type GetDatasetSummary, getDataset } from "./tasks/get-dataset.js";
export { type ImportOptions, type ImportSummary, importCheckpoint } from "./tasks/import-checkpoint.js";
export { POOLINGS, type Pooling } from "./tasks/inference/embedding.js";
export { type PredictJob, type PredictSummary, predict, type Uncertainty } from "./tasks/predict.js";
export { type PrepareOptions, type PrepareProgress, type PrepareSummary, prepare } from "./tasks/prepare.js";
export { type PretrainJob, type PretrainSummary, pretrain, runSettings } from "./tasks/pretrain.js";
export { type ReportRunJob, reportRun } from "./tasks/report-run.js";
export { type SweepJob, type SweepSummary, sweep } from "./tasks/sweep.js";
export type { Comparison } from "./tasks/verify/comparison.js";
export { formatVerify, type VerifyReport, verify } from "./tasks/verify.js";
export { ADAM_DEFAULTS, type AdamConfig } from "./train/adam.js";
export type { Calibration, SpreadSource } from "./train/calibration.js";
export {
  type CheckpointPlace,
  type Json,
  type LoadedCheckpoint,
  listCheckpoints,
  loadCheckpoint,
  loadLatest,
  type TrainingState,
} from "./train/checkpoint.js";
export { type FinetunedModel, loadFinetuned, type TaskDescription } from "./train/finetuned-model.js";
export type { HeldOut, Measure } from "./train/heldout.js";
export { type BatchRecipe, makeBatch } from "./train/make-batch.js";
export type { ProgressMode } from "./train/progress.js";
export { type LogRecord, readRunLog } from "./train/run-log.js";
export { type NamedTensor, readDense, readTensor, type Safetensors } from "./train/safetensors.js";
export { type CosineSchedule, learningRateAt } from "./train/schedule.js";
export { type PretrainSettings, pretrainSettings, type SettingOverrides } from "./train/settings.js";
export type { FinetuneOverrides } from "./train/task-settings.js";
export { type LossValues, Trainer, type TrainerOptions } from "./train/trainer.js";
