// Opens a checkpoint of the official code: what may stand in one, and how it is reported where it cannot be read.
import { allowedGlobal, TORCH_CLASSES } from "../../data/python/allowed-globals.js";
import { failing } from "../../data/python/failure.js";
import { isKind } from "../../data/python/python-values.js";
import { openTorchFile, type TorchFile } from "../../data/python/torch-file.js";
import type { ByteSource } from "../../data/random-access.js";
import { CheckpointError } from "../../errors.js";

/** Classes that fairseq puts into its checkpoints. */
const CLASSES: ReadonlySet<string> = new Set([
  ...TORCH_CLASSES,
  "fairseq.meters.AverageMeter",
  "fairseq.meters.StopwatchMeter",
  "fairseq.meters.TimeMeter",
  "fairseq.logging.meters.AverageMeter",
  "fairseq.logging.meters.StopwatchMeter",
  "fairseq.logging.meters.TimeMeter",
  "fairseq.data.dictionary.Dictionary",
]);

/**
 * Its value as plain data, nothing of which was run; tensors are read when asked for.
 * @throws CheckpointError for a file that is damaged, foreign, of another version, or that asks for anything but plain data
 */
export function openOfficialFile(source: ByteSource): TorchFile {
  return openTorchFile(source, { classes: CLASSES, Failure: CheckpointError });
}

/**
 * A name that a checkpoint may hold, as it is written in one.
 * @param file for messages
 * @throws CheckpointError for any other
 */
export function officialName(full: string, file: string): string {
  const fail = failing(CheckpointError, file);
  const dot = full.lastIndexOf(".");
  const known = allowedGlobal(full.slice(0, dot), full.slice(dot + 1), CLASSES, fail);
  return isKind(known, "global") ? known.name : fail(`damaged: ${full} is no name`);
}
