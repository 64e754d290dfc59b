// Downloads a file so that it is either whole under its name or not there: resumed after a break, checked, then renamed.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { DatasetError, MoleblendError } from "../../errors.js";
import { get, type Response } from "./http-request.js";
import type { Environment } from "./proxy.js";

export interface DownloadOptions {
  /** What the file must be; what is not known is not checked. */
  readonly expected?: Expected;
  readonly onProgress?: (progress: DownloadProgress) => void;
  readonly signal?: AbortSignal;
  /** Attempts after the first one, each beginning where the last one ended; 5 by default. */
  readonly retries?: number;
  /** Milliseconds before the first of them, doubled for each further one; 1000 by default. */
  readonly retryDelay?: number;
  /** Milliseconds without a byte after which a connection is given up; 60,000 by default. */
  readonly stallTimeout?: number;
  /** Where proxies are named; `process.env` by default. */
  readonly environment?: Environment;
  /** How bytes get to the disk; for tests of failing disks. */
  readonly write?: (file: FileHandle, bytes: Uint8Array, position: number) => Promise<unknown>;
}

export interface Expected {
  readonly bytes?: number;
  /** Hex digits. */
  readonly sha256?: string;
  /** Hex digits; where the publisher gives nothing better. */
  readonly md5?: string;
}

export interface DownloadProgress {
  readonly bytes: number;
  /** Null where the server does not say. */
  readonly totalBytes: number | null;
}

export interface Downloaded {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Bytes that had been there from earlier attempts. */
  readonly resumedFrom: number;
  /** The file was there already, and nothing was fetched. */
  readonly present: boolean;
}

/** What a partial file is a part of. Only a server that names the version of a file can be asked for the rest of it. */
interface PartOf {
  readonly url: string;
  readonly validator: string | null;
}

/** An attempt that may do better next time. */
class Interrupted extends Error {
  constructor(
    message: string,
    readonly retryAfter: number | null = null,
  ) {
    super(message);
  }
}

/** Longest wait that a server may ask for, in milliseconds. */
const MAX_WAIT = 60_000;

/**
 * Fetches `url` to `path`. Until it is whole and checked it lies in `path.part`, with `path.part.json` beside it; a later
 * call goes on from there (Range and If-Range), or begins anew where the server cannot do that or has another version.
 *
 * @throws DatasetError where the server refuses, the content is not what was expected, or the disk does not take it
 * @throws the reason of `signal` when it is aborted; the partial file stays
 */
export async function download(url: string, path: string, options: DownloadOptions = {}): Promise<Downloaded> {
  const { expected = {}, signal, retries = 5, retryDelay = 1000 } = options;
  try {
    const existing = await sizeOf(path);
    if (existing !== null) return { ...(await check(path, path, url, expected)), resumedFrom: 0, present: true };
    await mkdir(dirname(path), { recursive: true });
    const part = `${path}.part`;
    const resumedFrom = (await readPartOf(part, new URL(url).href)) === null ? 0 : ((await sizeOf(part)) ?? 0);
    for (let attempt = 0; ; attempt++) {
      try {
        await fetchRest(new URL(url), part, options);
        break;
      } catch (error) {
        signal?.throwIfAborted();
        const delay = retryDelayOf(error, attempt, retries, retryDelay);
        if (delay === null) throw networkFailure(url, error, attempt);
        await wait(delay, undefined, signal ? { signal } : {});
      }
    }
    const checked = await check(part, path, url, expected);
    await rename(part, path);
    await rm(`${part}.json`, { force: true });
    return { ...checked, resumedFrom, present: false };
  } catch (error) {
    throw diskFailure(path, error);
  }
}

/** Appends to the partial file what it lacks. */
async function fetchRest(url: URL, part: string, options: DownloadOptions): Promise<void> {
  const known = await readPartOf(part, url.href);
  const have = known?.validator ? ((await sizeOf(part)) ?? 0) : 0;
  const headers: Record<string, string> = { "user-agent": "moleblend", "accept-encoding": "identity" };
  if (have > 0 && known?.validator) Object.assign(headers, { range: `bytes=${have}-`, "if-range": known.validator });
  const { environment = process.env, stallTimeout = 60_000, signal } = options;
  const response = await get(url, { headers, environment, stallTimeout, signal });
  try {
    const { start, total } = placeOf(response, have, url);
    if (start === null) {
      await rm(part, { force: true }); // longer than the file is: of another version
      throw new Interrupted("the partial file was of another version");
    }
    const file = await open(part, start === 0 ? "w" : "r+");
    try {
      if (start === 0) await writePartOf(part, url.href, response);
      await append(response, file, start, total, options);
      await file.sync();
    } finally {
      await file.close();
    }
  } finally {
    response.body.destroy();
  }
}

/** Where the body belongs in the file, and how long the file is; start is null where there is no such place. */
function placeOf(
  { status, headers, body }: Response,
  have: number,
  url: URL,
): { readonly start: number | null; readonly total: number | null } {
  const length = headers["content-length"] === undefined ? null : Number(headers["content-length"]);
  if (status === 200) return { start: 0, total: length };
  if (status === 206) {
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers["content-range"] ?? "");
    if (range && Number(range[1]) === have) return { start: have, total: range[2] === "*" ? null : Number(range[2]) };
    throw new DatasetError(
      `${url.href}: expected the bytes from ${have} on, got ${headers["content-range"] ?? "others"}`,
    );
  }
  if (status === 416) {
    // All bytes may be here already.
    const total = /^bytes \*\/(\d+)$/.exec(headers["content-range"] ?? "")?.[1];
    body.resume();
    return Number(total) === have ? { start: have, total: have } : { start: null, total: null };
  }
  if (status === 408 || status === 429 || status >= 500) {
    const seconds = Number(headers["retry-after"]);
    throw new Interrupted(`HTTP ${status}`, Number.isFinite(seconds) ? seconds * 1000 : null);
  }
  throw new DatasetError(`${url.href}: the server answered HTTP ${status}${status === 404 ? " (no such file)" : ""}`);
}

async function append(
  { status, body }: Response,
  file: FileHandle,
  start: number,
  total: number | null,
  options: DownloadOptions,
): Promise<void> {
  const { onProgress, signal, write = writeAll } = options;
  let at = start;
  if (status !== 416) {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      signal?.throwIfAborted();
      await write(file, chunk, at);
      at += chunk.length;
      onProgress?.({ bytes: at, totalBytes: total });
    }
  }
  if (total !== null && at < total) throw new Interrupted(`it ended after ${at} of ${total} bytes`);
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

/** Milliseconds until the next attempt; null where there is none. */
function retryDelayOf(error: unknown, attempt: number, retries: number, first: number): number | null {
  const code = (error as NodeJS.ErrnoException | null)?.code ?? "";
  const network =
    /^(E(CONN(RESET|REFUSED|ABORTED)|TIMEDOUT|PIPE|HOSTUNREACH|NETUNREACH|AI_AGAIN)|HPE_|UND_|ERR_STREAM_PREMATURE)/;
  const mayPass = error instanceof Interrupted || network.test(code);
  if (!mayPass || attempt >= retries) return null;
  const asked = error instanceof Interrupted ? error.retryAfter : null;
  return Math.min(asked ?? first * 2 ** attempt, MAX_WAIT);
}

function networkFailure(url: string, error: unknown, attempt: number): unknown {
  if (error instanceof MoleblendError || isDiskError(error)) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const known: Readonly<Record<string, string>> = {
    ENOTFOUND: "the server's name is not known (no network, or a proxy is needed: set HTTPS_PROXY)",
    EAI_AGAIN: "the server's name cannot be looked up (no network, or a proxy is needed: set HTTPS_PROXY)",
    ECONNREFUSED: "the server refuses connections",
    ETIMEDOUT: "the server does not answer",
  };
  const what = (code && known[code]) || message;
  const tries = attempt > 0 ? `, after ${attempt + 1} attempts; run it again to go on from there` : "";
  return new DatasetError(`${url}: ${what}${tries}`, { cause: error });
}

const DISK: Readonly<Record<string, string>> = {
  ENOSPC: "no space is left on the disk; free some and run it again: it goes on from there",
  EDQUOT: "the disk quota is used up; free some space and run it again: it goes on from there",
  EACCES: "no permission to write it",
  EPERM: "no permission to write it",
  EROFS: "the file system is read-only",
  ENOTDIR: "a part of its path is not a folder",
  EEXIST: "a part of its path is not a folder",
  EISDIR: "expected a file, got a folder",
};

function isDiskError(error: unknown): boolean {
  return ((error as NodeJS.ErrnoException | null)?.code ?? "") in DISK;
}

function diskFailure(path: string, error: unknown): unknown {
  if (error instanceof MoleblendError || !isDiskError(error)) return error;
  return new DatasetError(`${path}: ${DISK[(error as NodeJS.ErrnoException).code ?? ""]}`, { cause: error });
}

/** @throws DatasetError, after removing a partial file, where the content is not what was expected */
async function check(
  file: string,
  path: string,
  url: string,
  expected: Expected,
): Promise<{ readonly path: string; readonly bytes: number; readonly sha256: string }> {
  const sha256 = createHash("sha256");
  const md5 = expected.md5 === undefined ? null : createHash("md5");
  let bytes = 0;
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    sha256.update(chunk);
    md5?.update(chunk);
    bytes += chunk.length;
  }
  const found = { bytes, sha256: sha256.digest("hex"), md5: md5?.digest("hex") };
  for (const what of ["bytes", "sha256", "md5"] as const) {
    const wanted = expected[what];
    if (wanted === undefined || wanted === found[what]) continue;
    if (file !== path) await Promise.all([rm(file, { force: true }), rm(`${file}.json`, { force: true })]);
    const advice = file === path ? "; delete it to fetch it again" : "; it was removed";
    throw new DatasetError(`${path}: expected ${what} ${wanted}, got ${found[what]} from ${url}${advice}`);
  }
  return { path, bytes, sha256: found.sha256 };
}

async function sizeOf(path: string): Promise<number | null> {
  try {
    const found = await stat(path);
    if (found.isFile()) return found.size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  throw new DatasetError(`${path}: expected a file, got a folder`);
}

/** Null where the partial file belongs to something else. */
async function readPartOf(part: string, url: string): Promise<PartOf | null> {
  try {
    const found = JSON.parse(await readFile(`${part}.json`, "utf8")) as PartOf;
    return found.url === url ? found : null;
  } catch {
    return null; // none, or damaged: the file is fetched anew
  }
}

/** A weak ETag does not promise the same bytes. */
async function writePartOf(part: string, url: string, { headers }: Response): Promise<void> {
  const etag = headers.etag?.startsWith('"') ? headers.etag : undefined;
  const ranges = headers["accept-ranges"] !== "none";
  const content: PartOf = { url, validator: (ranges && (etag ?? headers["last-modified"])) || null };
  await writeFile(`${part}.json`, `${JSON.stringify(content)}\n`);
}
