// moleblend export: a checkpoint or a fine-tuned model of ours → fairseq, safetensors or ONNX.
import { type Command, Option } from "commander";
import { exportFairseq, exportSafetensors, type TensorNames } from "../../tasks/export-checkpoint.js";
import { exportOnnx } from "../../tasks/export-onnx.js";
import { nameList, seedList } from "../arguments.js";
import { UsageError } from "../failure.js";
import { alignColumns, printJson, printLines, thousands } from "../output.js";

interface ExportFlags {
  readonly format: "fairseq" | "safetensors" | "onnx";
  readonly out: string;
  readonly reference?: string;
  readonly names?: TensorNames;
  readonly outputs?: readonly string[];
  readonly seeds?: readonly number[];
  readonly geometry: boolean;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  moleblend export runs/pretrain-mini --format onnx --out model.onnx
  moleblend export runs/pretrain-mini --format onnx --outputs cls,mean,attention.0 --out model.onnx
  moleblend export runs/finetune-logs --format onnx --out logs.onnx
  moleblend export runs/official --format fairseq --out checkpoint.pt`;

export function addExportCommand(program: Command): void {
  program
    .command("export")
    .summary("write a checkpoint in another format")
    .description(
      "Writes a checkpoint as fairseq's checkpoint of the official code, as safetensors, or as an ONNX model of standard operators.",
    )
    .argument(
      "<checkpoint>",
      "a checkpoint, a run (its newest checkpoint), a folder of checkpoints; onnx: or a fine-tuned run",
    )
    .addOption(
      new Option("-f, --format <name>", "what to write")
        .choices(["fairseq", "safetensors", "onnx"])
        .makeOptionMandatory(),
    )
    .requiredOption("-o, --out <file>", "file to write")
    .addOption(
      new Option("--names <whose>", "safetensors: names of the tensors (default: official)").choices([
        "official",
        "moleblend",
      ]),
    )
    .option("--reference <folder>", "fairseq, safetensors: an import whose unused rows and settings are written back")
    .option(
      "--outputs <names>",
      "onnx: property and property.std of a fine-tuned run (default there); cls, mean, atoms, layer.N, attention.N; pair.spd, pair.edge, pair.distance or pair.displacement, noise of a pretrained model (default there: all but layers and attention)",
      nameList,
    )
    .option("--seeds <numbers>", "onnx: models of a fine-tuned run to average (default: all)", seedList)
    .option("--no-geometry", "onnx: a model of the 2D graph alone, which takes no coordinates")
    .option("--json", "print one JSON document on stdout")
    .addHelpText("after", EXAMPLES)
    .action(async (checkpoint: string, flags: ExportFlags) => {
      refuseForeign(flags);
      const summary = await write(checkpoint, flags);
      if (flags.json) printJson(summary);
      else printLines(describe(summary));
    });
}

/** @throws UsageError for an option that the format has no use for */
function refuseForeign({ format, names, reference, outputs, seeds, geometry }: ExportFlags): void {
  const refuse = (option: string, formats: string) => {
    throw new UsageError(`${option} goes with --format ${formats}, not with ${format}`);
  };
  if (names !== undefined && format !== "safetensors") refuse("--names", "safetensors");
  if (reference !== undefined && format === "onnx") refuse("--reference", "fairseq or safetensors");
  if (outputs !== undefined && format !== "onnx") refuse("--outputs", "onnx");
  if (seeds !== undefined && format !== "onnx") refuse("--seeds", "onnx");
  if (!geometry && format !== "onnx") refuse("--no-geometry", "onnx");
}

type Summary = Awaited<ReturnType<typeof exportFairseq>> | Awaited<ReturnType<typeof exportOnnx>>;

function write(checkpoint: string, flags: ExportFlags): Promise<Summary> {
  const kept = flags.reference === undefined ? {} : { reference: flags.reference };
  if (flags.format === "fairseq") return exportFairseq(checkpoint, flags.out, kept);
  if (flags.format === "safetensors") return exportSafetensors(checkpoint, flags.out, flags.names ?? "official", kept);
  const outputs = flags.outputs === undefined ? {} : { outputs: flags.outputs };
  const seeds = flags.seeds === undefined ? {} : { seeds: flags.seeds };
  return exportOnnx(checkpoint, flags.out, { geometry: flags.geometry, ...outputs, ...seeds });
}

function describe(summary: Summary): string[] {
  const rows = [
    ["checkpoint", summary.checkpoint],
    ["file", `${summary.file} (${thousands(summary.bytes)} bytes)`],
  ];
  if (!("deviation" in summary)) {
    const table = alignColumns([...rows, ["tensors", thousands(summary.tensors)], ["sha256", summary.sha256]]);
    return [...table, ...summary.remarks.map((remark) => `note: ${remark}`)];
  }
  const { inputs, outputs, data, deviation } = summary;
  return alignColumns([
    ...rows,
    ...(data ? [["parameters", data]] : []),
    ["inputs", inputs.join(", ")],
    ["outputs", outputs.join(", ")],
    ["check", `a fresh session differs by ${deviation.toExponential(1)} of the largest value`],
  ]);
}
