// Where this package lies, and what is shipped with it.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Folder of the package, whether it is a checkout or lies in node_modules. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error(`${fileURLToPath(import.meta.url)}: no package.json in any folder above`);
    folder = parent;
  }
  return folder;
}

export function packageVersion(): string {
  return (JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8")) as { version: string }).version;
}

/** The molecules that come with the package (see data/README.md). */
export function embeddedMolecules(): string {
  return join(packageRoot(), "data", "nci-xtb", "nci-xtb.sdf.gz");
}
