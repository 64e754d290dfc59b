// What the end-to-end tests share: the built command line as a child process, folders that vanish, a small set of molecules.
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

export function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

export const CLI = join(repositoryRoot(), "dist", "src", "cli", "main.js");

/** A folder that is removed when the tests of the file are done. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "moleblend-test-"));
  after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly outcome: Promise<Outcome>;
}

export interface StartOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

export function start(command: string, args: readonly string[], options: StartOptions = {}): Running {
  const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const outcome = new Promise<Outcome>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  return { child, outcome };
}

export function startCli(args: readonly string[], options: StartOptions = {}): Running {
  return start(process.execPath, [CLI, ...args], options);
}

export function moleblend(args: readonly string[], options: StartOptions = {}): Promise<Outcome> {
  return startCli(args, options).outcome;
}

/** The first molecules of the embedded set as an SDF file. */
export function smallSdf(folder: string, molecules: number): string {
  const all = gunzipSync(readFileSync(join(repositoryRoot(), "data", "nci-xtb", "nci-xtb.sdf.gz"))).toString("utf8");
  const records = all.split("$$$$\n").slice(0, molecules);
  const path = join(folder, "small.sdf");
  writeFileSync(path, records.map((record) => `${record}$$$$\n`).join(""));
  return path;
}

export function sha256File(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}
