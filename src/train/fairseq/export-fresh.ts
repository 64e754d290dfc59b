// An official checkpoint for a model that never was one: every entry that fairseq's loader looks at.

import {
  dict,
  float,
  list,
  type PythonDict,
  type PythonEntry,
  type PythonTensor,
  type PythonValue,
  tuple,
} from "../../data/python/python-values.js";
import { type ReferenceTensor, referenceLayout, toReference } from "../../model/reference-layout.js";
import { inReferenceOrder } from "../../model/reference-order.js";
import {
  type Exported,
  type ExportSource,
  floatBytes,
  type Kept,
  officialTensors,
  slotsByName,
} from "./export-source.js";
import { officialConfig } from "./official-arguments.js";
import type { Moment } from "./official-state.js";

/** Adam's state of every tensor that is trained, as fairseq's Adam writes it. */
export function optimizerState(source: ExportSource, kept: Kept | null): PythonDict {
  const slots = slotsByName(source);
  const order = inReferenceOrder(referenceLayout(source.config));
  const tensor = (moment: Moment, layout: ReferenceTensor): PythonTensor => ({
    kind: "tensor",
    type: "float32",
    shape: layout.shape,
    requiresGradient: false,
    read: () => floatBytes(toReference(layout, slots, source[moment])),
  });
  const entries = order.flatMap((layout, index): PythonEntry[] => {
    if (layout.pieces.length === 0) return [];
    const fitted = { ...layout, shape: kept?.described.get(`model:${layout.name}`)?.shape ?? layout.shape };
    return [[index, dict({ step: source.step, exp_avg: tensor("m", fitted), exp_avg_sq: tensor("v", fitted) })]];
  });
  const { adam, learningRate } = source.settings;
  const group = dict({
    lr: float(learningRate),
    betas: tuple([float(adam.beta1), float(adam.beta2)]),
    eps: float(adam.epsilon),
    weight_decay: float(adam.weightDecay),
    amsgrad: false,
    params: list(order.map((_, index) => index)),
  });
  return dict({ state: { kind: "dict", entries }, param_groups: list([group]) });
}

/** `state_dict` with the `_metadata` that torch attaches: a version for every module. */
function stateDict(source: ExportSource): PythonValue {
  const entries = [...officialTensors(source, null)].map(({ name, shape, read }): PythonEntry => {
    const bytes = () => floatBytes(read());
    return [name, { kind: "tensor", type: "float32", shape, requiresGradient: false, read: bytes }];
  });
  const modules = new Set([""]);
  for (const [name] of entries) {
    const parts = String(name).split(".").slice(0, -1);
    for (let length = 1; length <= parts.length; length++) modules.add(parts.slice(0, length).join("."));
  }
  const made = { kind: "object", type: "collections.OrderedDict", made: "call", given: [] } as const;
  const versions = [...modules].map((name): PythonEntry => [name, dict({ version: 1 })]);
  return { ...made, entries, state: dict({ _metadata: { ...made, entries: versions, state: undefined } }) };
}

/** A whole official checkpoint for a model that never was one. */
export function exportFresh(source: ExportSource): Exported {
  const { config, settings, step, epoch } = source;
  const history = dict({
    criterion_name: "GraphPredictionLoss",
    optimizer_name: "FairseqAdam",
    lr_scheduler_state: dict({ best: null }),
    num_updates: step,
  });
  const iterator = dict({ version: 2, epoch: epoch + 1, iterations_in_epoch: 0, shuffle: true });
  const trained = source.m.some((value) => value !== 0);
  const root = dict({
    args: null,
    cfg: officialConfig(config, settings),
    model: stateDict(source),
    criterion: null,
    optimizer_history: list([history]),
    task_state: dict({}),
    extra_state: dict({
      metrics: dict({}),
      previous_training_time: float(0),
      train_iterator: iterator,
      val_loss: null,
    }),
    ...(trained ? { last_optimizer_state: optimizerState(source, null) } : {}),
  });
  const remarks = ["rows and heads that ours has no use for hold a fresh official initialisation"];
  if (config.geometryTarget === "distance") {
    remarks.push(
      "the official 3D head predicts displacements: the last map of our distance head is lost, theirs is fresh",
    );
  }
  return { root, remarks };
}
