// The typed errors of the package: each says which input it is about, what was expected and what came.

/** Where in the input an error lies. Lines and records count from 1. */
export interface SourceLocation {
  readonly file?: string;
  readonly line?: number;
  readonly record?: number;
  readonly name?: string;
}

/** `file.sdf:120 (record 4, "aspirin")` */
export function formatLocation(location: SourceLocation): string {
  const place = location.file ?? "";
  const line = location.line === undefined ? "" : place ? `:${location.line}` : `line ${location.line}`;
  const details = [
    location.record === undefined ? "" : `record ${location.record}`,
    location.name ? JSON.stringify(location.name) : "",
  ].filter(Boolean);
  return [place + line, details.length ? `(${details.join(", ")})` : ""].filter(Boolean).join(" ");
}

/** Base of every error that a user can cause or mend; anything else that escapes is a defect of this package. */
export class MoleblendError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** Why a molecule could not be used; short, stable, and what the rejects file counts by. */
export type RejectCode =
  | "unparsable-smiles"
  | "empty-line"
  | "unparsable-record"
  | "truncated-record"
  | "too-many-atoms"
  | "no-atoms"
  | "binary-data"
  | "excluded";

/** One molecule that cannot be used. Jobs catch it, write it to the rejects file and go on. */
export class MoleculeError extends MoleblendError {
  constructor(
    readonly code: RejectCode,
    readonly reason: string,
    readonly location: SourceLocation = {},
    options?: ErrorOptions,
  ) {
    const place = formatLocation(location);
    super(place ? `${place}: ${reason}` : reason, options);
  }
}

/** A file or folder of molecules that cannot be read at all, or a damaged corpus. */
export class DatasetError extends MoleblendError {}

/** A checkpoint that is damaged, foreign, or does not fit the model. */
export class CheckpointError extends MoleblendError {}

/** A setting that is unknown, out of range, or contradicts another. */
export class ConfigError extends MoleblendError {}

/** Tensors whose shapes or types do not fit the operator or input that takes them. */
export class ShapeError extends MoleblendError {}

/** An operator without a builder, a gradient rule or a kernel where one is needed. */
export class UnsupportedOpError extends MoleblendError {}
