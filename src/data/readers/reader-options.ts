// How a molecule file is read: what all readers are told.
import type { OnBytes } from "./byte-source.js";
import type { FileFormat } from "./file-format.js";

export interface ReaderOptions {
  /** Read the file (or, in an archive, each file) as this, whatever its name says. */
  readonly format?: FileFormat | undefined;
  /** Column of a table that holds the SMILES, spelt exactly; else the usual names are looked for. */
  readonly smilesColumn?: string | undefined;
  /** A table with one row for each record of the file, in the same order, whose columns become properties. */
  readonly propertiesTable?: string | undefined;
  /** Columns or tags that are wanted; readers may leave out others. All by default. */
  readonly properties?: readonly string[] | undefined;
  /** The part of a data set that is read, where the set comes with a split (`train`, `valid`, ...). All by default. */
  readonly part?: string | undefined;
  /** Adds QM9's energies in eV and per free atoms to the properties (see `withQm9Energies`). */
  readonly derive?: "qm9" | undefined;
  readonly onBytes?: OnBytes | undefined;
  /** Told the columns of a table, which every one of its records has, before its first record. */
  readonly onColumns?: ((names: readonly string[]) => void) | undefined;
}
