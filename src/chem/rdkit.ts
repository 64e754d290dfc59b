// Loads RDKit's WebAssembly build once and wraps what this package needs of it in types of our own.
import initRdkit, { type MainModule } from "@rdkit/rdkit";
import { MoleblendError } from "../errors.js";

/** A molecule held in RDKit's memory. It lives until `delete()`; nothing frees it otherwise. */
export interface RdkitMolecule {
  /** RDKit's binary pickle. */
  get_as_uint8array(details: string): Uint8Array;
  get_smiles(): string;
  get_json(): string;
  get_molblock(details?: string): string;
  get_v3Kmolblock(): string;
  get_svg(width: number, height: number): string;
  get_svg_with_highlights(details: string): string;
  get_num_atoms(): number;
  /** Circular fingerprint, 8 bits a byte. @param details e.g. `{"radius":2,"nBits":1024}` */
  get_morgan_fp_as_uint8array(details: string): Uint8Array;
  /** Makes every implied hydrogen an atom, behind all others. */
  add_hs_in_place(): boolean;
  /** A property as text, also those that RDKit keeps for itself, such as `_smilesAtomOutputOrder`. */
  get_prop(name: string): string;
  delete(): void;
}

/** RDKit, ready for use, with the stereo perception of the reference (legacy). One per thread. */
export interface Rdkit {
  /** RDKit's own version, e.g. "2026.09.1". */
  readonly version: string;
  /**
   * Reads SMILES, a MOL block or RDKit's JSON. The caller must `delete()` the molecule.
   *
   * @param details RDKit's JSON options, e.g. `{"removeHs":true}`.
   * @throws RdkitFailure with RDKit's own words when the text is refused, or when RDKit crashes on it.
   */
  parse(text: string, details?: string): RdkitMolecule;
  /** Switches the stereo perception; returns the previous setting. Whoever changes it changes it back. */
  useLegacyStereo(legacy: boolean): boolean;
}

/** RDKit refused a text. */
export class RdkitFailure extends MoleblendError {}

/** RDKit compiled and not yet running: threads that share it share its machine code, and one compilation. */
export interface RdkitCode {
  /** A `WebAssembly.Module`. */
  readonly compiled: object;
}

type WasmBytes = ArrayBuffer | Uint8Array<ArrayBuffer>;
type WasmExports = Record<string, (...values: number[]) => number>;
interface WasmInstance {
  readonly exports: WasmExports;
}

/** What this file uses of its host, a browser or Node; typed here because neither's types hold in the other. */
interface Host {
  readonly WebAssembly: {
    compile(bytes: WasmBytes): Promise<object>;
    instantiate(module: object, imports: object): Promise<WasmInstance>;
  };
  readonly location?: { readonly href: string };
  readonly process?: {
    readonly versions?: { readonly node?: string };
    getBuiltinModule?(id: "node:fs"): { readFileSync(path: URL): Uint8Array<ArrayBuffer> };
  };
}
const host = globalThis as unknown as Host;

/** RDKit's version, the only one that this reader takes: minified names of the WebAssembly exports change from build to build. */
export const RDKIT_VERSION = "2026.09.1";
const EXPORTS = { malloc: "$", stackRestore: "fa", stackCurrent: "ga" } as const;

/**
 * RDKit recurses along chains of atoms, and the 64 KiB stack it is built with ends at about 300 atoms in a row, after which the
 * module is lost. This block, in RDKit's own heap, becomes its stack: about 4,400 atoms in a row until the host's stack ends.
 */
const STACK_BYTES = 8 << 20;

let loading: Promise<Rdkit> | undefined;
let compiling: Promise<RdkitCode> | undefined;

/**
 * RDKit, loaded on the first call and shared by all later ones.
 *
 * @param wasm where `RDKit_minimal.wasm` lies, or its bytes, or what `compileRdkit` made of them. Node finds it beside the package; a browser page looks
 *   beside itself by default.
 * @throws MoleblendError if the file is missing or of another version than this package was written for.
 */
export function loadRdkit(wasm?: URL | string | WasmBytes | RdkitCode): Promise<Rdkit> {
  loading ??= load(wasm).catch((error: unknown) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function wasmBytes(wasm: URL | string | WasmBytes | undefined): Promise<WasmBytes> {
  if (wasm !== undefined && typeof wasm !== "string" && !(wasm instanceof URL)) return wasm;
  const fs = host.process?.versions?.node ? host.process.getBuiltinModule?.("node:fs") : undefined;
  if (fs) return fs.readFileSync(new URL(wasm ?? import.meta.resolve("@rdkit/rdkit/RDKit_minimal.wasm")));
  const url = new URL(wasm ?? "RDKit_minimal.wasm", host.location?.href);
  const response = await fetch(url);
  if (!response.ok)
    throw new MoleblendError(`RDKit: expected its WebAssembly at ${url.href}, got HTTP ${response.status}`);
  return response.arrayBuffer();
}

/**
 * RDKit for other threads to load, compiled on the first call and shared by all later ones and by `loadRdkit`.
 *
 * @param wasm as for `loadRdkit`
 */
export function compileRdkit(wasm?: URL | string | WasmBytes): Promise<RdkitCode> {
  compiling ??= compile(wasm).catch((error: unknown) => {
    compiling = undefined;
    throw error;
  });
  return compiling;
}

async function compile(wasm: URL | string | WasmBytes | undefined): Promise<RdkitCode> {
  return { compiled: await host.WebAssembly.compile(await wasmBytes(wasm)) };
}

async function load(wasm: URL | string | WasmBytes | RdkitCode | undefined): Promise<Rdkit> {
  const isCode = typeof wasm === "object" && "compiled" in wasm;
  const { compiled } = isCode ? wasm : await compileRdkit(wasm);
  let exports: WasmExports = {};
  // The hook's promise is never rejected by the glue code, so a failed instantiation must be raced against it.
  const module = await new Promise<MainModule>((resolve, reject) => {
    const instantiateWasm = (imports: object, done: (instance: WasmInstance) => void) => {
      host.WebAssembly.instantiate(compiled, imports).then((instance) => {
        exports = instance.exports;
        done(instance);
      }, reject);
      return {};
    };
    initRdkit.default({ instantiateWasm }).then(resolve, reject);
  });
  if (module.version() !== RDKIT_VERSION) {
    throw new MoleblendError(
      `RDKit: expected version ${RDKIT_VERSION} (@rdkit/rdkit 2026.9.1), got ${module.version()}`,
    );
  }
  module.use_legacy_stereo_perception(true);
  return wrap(module, exports);
}

function wrap(module: MainModule, exports: WasmExports): Rdkit {
  const restoreStack = exports[EXPORTS.stackRestore];
  const block = exports[EXPORTS.malloc](STACK_BYTES);
  const stackTop = (block + STACK_BYTES) & ~15;
  restoreStack(stackTop);
  if (exports[EXPORTS.stackCurrent]() !== stackTop) throw new MoleblendError("RDKit: its stack could not be moved");
  const log = module.set_log_capture("rdApp.error");
  // Warnings of RDKit ("tagged as 2D, but ...") would otherwise go to the console, once for each molecule.
  module.disable_logging("rdApp.warning");
  return {
    version: module.version(),
    useLegacyStereo: (legacy) => module.use_legacy_stereo_perception(legacy),
    parse(text, details = "{}") {
      log?.clear_buffer();
      let molecule: RdkitMolecule | null;
      try {
        molecule = module.get_mol(text, details);
      } catch (error) {
        // A trap or the host's stack limit: RDKit's stack pointer is left where it stopped, which would fail every later call.
        restoreStack(stackTop);
        throw new RdkitFailure(`RDKit crashed on it (${error instanceof Error ? error.message : "exception"})`, {
          cause: error,
        });
      }
      if (!molecule) throw new RdkitFailure(explain(log?.get_buffer() ?? ""));
      return molecule;
    },
  };
}

/** The first line of RDKit's log that says something, without its time stamp. */
function explain(log: string): string {
  for (const line of log.split("\n")) {
    const words = line.replace(/^\[\d\d:\d\d:\d\d\]\s*/, "").trim();
    if (words && !/^(Check for mistakes|~|Extra )/.test(words)) return words.slice(0, 200);
  }
  return "RDKit cannot read it";
}
