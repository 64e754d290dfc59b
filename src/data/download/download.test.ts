// Downloads against a server on the loopback that fails in every way a server, a proxy or a disk may.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { DatasetError } from "../../errors.js";
import { type DownloadOptions, download } from "./download.js";
import { proxyFor } from "./proxy.js";

const folder = mkdtempSync(join(tmpdir(), "download-"));
const servers: Server[] = [];
after(() => {
  rmSync(folder, { recursive: true });
  for (const server of servers) server.close();
});

const CONTENT = Buffer.from(Array.from({ length: 400_000 }, (_, i) => (i * 7919) >> (i % 9)));
const SHA256 = createHash("sha256").update(CONTENT).digest("hex");
const MD5 = createHash("md5").update(CONTENT).digest("hex");
const QUICK: DownloadOptions = { retryDelay: 1, environment: {} };

type Handler = (request: IncomingMessage, response: ServerResponse, count: number) => void;

/** A server of its own for each case; `count` is the number of the request, from 1. */
async function serve(handler: Handler): Promise<{ url: string; requests: IncomingMessage[]; server: Server }> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    handler(request, response, requests.length);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/file.bin`, requests, server };
}

/** Answers like a good server, `If-Range` included. */
function answer(request: IncomingMessage, response: ServerResponse, etag = '"v1"', content = CONTENT): void {
  const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? "");
  const start = range && request.headers["if-range"] === etag ? Number(range[1]) : null;
  if (start !== null && start >= content.length) {
    response.writeHead(416, { "content-range": `bytes */${content.length}` }).end();
    return;
  }
  const body = content.subarray(start ?? 0);
  const place = start === null ? {} : { "content-range": `bytes ${start}-${content.length - 1}/${content.length}` };
  response.writeHead(start === null ? 200 : 206, { etag, "content-length": body.length, ...place }).end(body);
}

/** Announces everything and breaks off. */
function cut(response: ServerResponse, bytes: number, headers: Record<string, string> = { etag: '"v1"' }): void {
  response.writeHead(200, { ...headers, "content-length": CONTENT.length });
  response.write(CONTENT.subarray(0, bytes), () => setTimeout(() => response.destroy(), 20));
}

let files = 0;
const target = () => join(folder, `sub-${files++}`, "file.bin");

async function failure(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof DatasetError, String((error as Error).stack));
    return error.message;
  }
  return assert.fail("expected a DatasetError");
}

function assertWhole(path: string): void {
  assert.ok(readFileSync(path).equals(CONTENT));
  assert.ok(!existsSync(`${path}.part`) && !existsSync(`${path}.part.json`));
}

describe("a good server", () => {
  test("fetches, checks, reports, and does not fetch again", async () => {
    const { url, requests } = await serve((request, response) => answer(request, response));
    const path = target();
    const seen: number[] = [];
    const expected = { bytes: CONTENT.length, sha256: SHA256, md5: MD5 };
    const result = await download(url, path, {
      ...QUICK,
      expected,
      onProgress: ({ bytes, totalBytes }) => seen.push(bytes) && assert.equal(totalBytes, CONTENT.length),
    });
    assert.deepEqual(result, { path, bytes: CONTENT.length, sha256: SHA256, resumedFrom: 0, present: false });
    assert.equal(seen.at(-1), CONTENT.length);
    assertWhole(path);
    assert.equal((await download(url, path, { ...QUICK, expected })).present, true);
    assert.equal(requests.length, 1);
  });

  test("a file that is there but is another one is not touched", async () => {
    const path = target();
    mkdirSync(join(path, ".."));
    writeFileSync(path, "mine");
    assert.match(
      await failure(download("http://127.0.0.1:9/x", path, { ...QUICK, expected: { sha256: SHA256 } })),
      /expected sha256 .*delete it/,
    );
    assert.equal(readFileSync(path, "utf8"), "mine");
  });
});

describe("connections that break", () => {
  test("goes on where it broke off, within one call", async () => {
    const { url, requests } = await serve((request, response, count) =>
      count === 1 ? cut(response, 150_000) : answer(request, response),
    );
    const path = target();
    await download(url, path, { ...QUICK, expected: { sha256: SHA256 } });
    assertWhole(path);
    assert.equal(requests.length, 2);
    assert.match(requests[1].headers.range ?? "", /^bytes=[1-9]\d*-$/);
    assert.equal(requests[1].headers["if-range"], '"v1"');
  });

  test("goes on in a later call, and begins anew when the file has changed meanwhile", async () => {
    for (const etag of ['"v1"', '"v2"']) {
      const { url, requests } = await serve((request, response, count) =>
        count === 1 ? cut(response, 150_000) : answer(request, response, etag),
      );
      const path = target();
      assert.match(await failure(download(url, path, { ...QUICK, retries: 0 })), /aborted|hang up|ECONNRESET/i);
      assert.ok(existsSync(`${path}.part`) && !existsSync(path));
      const result = await download(url, path, QUICK);
      assert.ok(result.resumedFrom > 0);
      assertWhole(path);
      assert.ok(requests[1].headers.range);
    }
  });

  test("a partial file that is whole already", async () => {
    const { url } = await serve((request, response) => answer(request, response));
    const path = target();
    mkdirSync(join(path, ".."));
    writeFileSync(`${path}.part`, CONTENT);
    writeFileSync(`${path}.part.json`, JSON.stringify({ url, validator: '"v1"' }));
    await download(url, path, { ...QUICK, expected: { sha256: SHA256 } });
    assertWhole(path);
  });

  test("a partial file of another version that is longer", async () => {
    const { url } = await serve((request, response) => answer(request, response));
    const path = target();
    mkdirSync(join(path, ".."));
    writeFileSync(`${path}.part`, Buffer.concat([CONTENT, CONTENT]));
    writeFileSync(`${path}.part.json`, JSON.stringify({ url, validator: '"v1"' }));
    await download(url, path, QUICK);
    assertWhole(path);
  });

  test("a server without ranges or version: from the beginning", async () => {
    const { url, requests } = await serve((_, response, count) => {
      if (count === 1) cut(response, 150_000, {});
      else response.writeHead(200, { "accept-ranges": "none", "content-length": CONTENT.length }).end(CONTENT);
    });
    const path = target();
    await download(url, path, QUICK);
    assertWhole(path);
    assert.equal(requests[1].headers.range, undefined);
  });

  test("a server that ignores the range: from the beginning", async () => {
    const { url, requests } = await serve((_, response, count) => {
      if (count === 1) cut(response, 150_000);
      else response.writeHead(200, { etag: '"v1"', "content-length": CONTENT.length }).end(CONTENT);
    });
    const path = target();
    await download(url, path, QUICK);
    assertWhole(path);
    assert.ok(requests[1].headers.range);
  });

  test("a server that sends other bytes than were asked for", async () => {
    const { url } = await serve((_, response, count) => {
      if (count === 1) cut(response, 150_000);
      else response.writeHead(206, { "content-range": `bytes 0-9/${CONTENT.length}` }).end(CONTENT.subarray(0, 10));
    });
    assert.match(await failure(download(url, target(), QUICK)), /expected the bytes from \d+ on, got bytes 0-9/);
  });

  test("a body that is always cut, and a server that falls silent", async () => {
    const { url, requests } = await serve((_, response) => cut(response, 1000));
    assert.match(await failure(download(url, target(), { ...QUICK, retries: 2 })), /after 3 attempts; run it again/);
    assert.equal(requests.length, 3);
    const silent = await serve((_, response) => response.writeHead(200, { "content-length": 5 }).write("a"));
    const options = { ...QUICK, retries: 1, stallTimeout: 60 };
    assert.match(
      await failure(download(silent.url, target(), options)),
      /does not answer, after 2 attempts|nothing came/,
    );
    silent.server.closeAllConnections();
  });

  test("a server that is not there", async () => {
    const { url, server } = await serve(() => {});
    await new Promise((resolve) => server.close(resolve));
    assert.match(
      await failure(download(url, target(), { ...QUICK, retries: 1 })),
      /refuses connections, after 2 attempts/,
    );
  });

  test("stops when told to, and keeps what it has", async () => {
    const { url, server } = await serve((_, response) => {
      response.writeHead(200, { etag: '"v1"', "content-length": CONTENT.length });
      response.write(CONTENT.subarray(0, 100_000));
    });
    const controller = new AbortController();
    const path = target();
    const job = download(url, path, { ...QUICK, signal: controller.signal, onProgress: () => controller.abort() });
    await assert.rejects(job, { name: "AbortError" });
    assert.ok(existsSync(`${path}.part`) && !existsSync(path));
    server.closeAllConnections();
  });
});

describe("answers that are no file", () => {
  test("404 at once; 503 and 429 again, as long as the server asks", async () => {
    const missing = await serve((_, response) => response.writeHead(404).end("no"));
    assert.match(await failure(download(missing.url, target(), QUICK)), /HTTP 404 \(no such file\)/);
    assert.equal(missing.requests.length, 1);
    const busy = await serve((request, response, count) => {
      if (count < 3) response.writeHead(count === 1 ? 503 : 429, { "retry-after": "0" }).end("later");
      else answer(request, response);
    });
    const path = target();
    await download(busy.url, path, { ...QUICK, retryDelay: 60_000 });
    assertWhole(path);
    const down = await serve((_, response) => response.writeHead(503).end());
    assert.match(await failure(download(down.url, target(), { ...QUICK, retries: 2 })), /HTTP 503, after 3 attempts/);
  });

  test("redirects: followed, in a circle, without end, to elsewhere", async () => {
    const good = await serve((request, response, count) => {
      if (count < 3) response.writeHead(count === 1 ? 302 : 307, { location: `/step${count}` }).end();
      else answer(request, response);
    });
    const path = target();
    await download(good.url, path, QUICK);
    assertWhole(path);
    const circle = await serve((request, response) =>
      response.writeHead(301, { location: request.url === "/a" ? "/b" : "/a" }).end(),
    );
    assert.match(await failure(download(circle.url, target(), QUICK)), /redirects go in a circle/);
    const endless = await serve((_, response, count) => response.writeHead(302, { location: `/${count}` }).end());
    assert.match(await failure(download(endless.url, target(), QUICK)), /more than 10 redirects/);
    const away = await serve((_, response) => response.writeHead(302, { location: "file:///etc/passwd" }).end());
    assert.match(await failure(download(away.url, target(), QUICK)), /redirect to file:\/\/, which is not followed/);
    const nowhere = await serve((_, response) => response.writeHead(302).end());
    assert.match(await failure(download(nowhere.url, target(), QUICK)), /to nowhere/);
  });

  test("the wrong content is removed, and said which", async () => {
    const { url } = await serve((request, response) => answer(request, response));
    for (const expected of [{ sha256: "0".repeat(64) }, { md5: "0".repeat(32) }, { bytes: 7 }]) {
      const path = target();
      const what = Object.keys(expected)[0];
      assert.match(
        await failure(download(url, path, { ...QUICK, expected })),
        new RegExp(`expected ${what} .*was removed`),
      );
      assert.ok(!existsSync(path) && !existsSync(`${path}.part`) && !existsSync(`${path}.part.json`));
    }
  });
});

describe("disks that fail", () => {
  test("no space: said so, and what is there stays for the next call", async () => {
    const { url } = await serve((request, response) => answer(request, response));
    const path = target();
    let written = 0;
    const write: DownloadOptions["write"] = async (file, bytes, position) => {
      if (written > 100_000) throw Object.assign(new Error("write"), { code: "ENOSPC", syscall: "write" });
      written += (await file.write(bytes, 0, bytes.length, position)).bytesWritten;
    };
    assert.match(
      await failure(download(url, path, { ...QUICK, write })),
      /no space is left on the disk; free some and run it again/,
    );
    assert.ok(existsSync(`${path}.part`) && !existsSync(path));
    assert.ok((await download(url, path, QUICK)).resumedFrom > 0);
    assertWhole(path);
  });

  test("no permission, and a path through a file", async () => {
    const { url } = await serve((request, response) => answer(request, response));
    const write: DownloadOptions["write"] = async () => {
      throw Object.assign(new Error("open"), { code: "EACCES", syscall: "open" });
    };
    assert.match(await failure(download(url, target(), { ...QUICK, write })), /no permission to write it/);
    const path = target();
    writeFileSync(join(path, ".."), "a file");
    assert.match(await failure(download(url, path, QUICK)), /a part of its path is not a folder/);
  });
});

describe("proxies", () => {
  test("which one", () => {
    const proxy = (url: string, environment: Record<string, string>) =>
      proxyFor(new URL(url), environment)?.href ?? null;
    const all = { HTTPS_PROXY: "http://p:1", HTTP_PROXY: "http://q:2", NO_PROXY: "localhost, .a.org,b.org:8080" };
    assert.equal(proxy("https://x.org/", all), "http://p:1/");
    assert.equal(proxy("http://x.org/", all), "http://q:2/");
    for (const exempt of ["http://localhost/", "https://a.org/", "https://c.a.org/", "http://b.org:8080/"]) {
      assert.equal(proxy(exempt, all), null, exempt);
    }
    assert.equal(proxy("http://b.org/", all), "http://q:2/");
    assert.equal(proxy("http://notlocalhost/", all), "http://q:2/");
    assert.equal(proxy("https://x.org/", { https_proxy: "host:3128" }), "http://host:3128/");
    assert.equal(proxy("https://x.org/", { HTTPS_PROXY: "http://p:1", no_proxy: "*" }), null);
    assert.throws(
      () => proxy("https://x.org/", { HTTPS_PROXY: "socks5://p:1" }),
      /expected an http:\/\/ URL, got "socks5/,
    );
  });

  test("http goes through it by its full address, with the login", async () => {
    const proxy = await serve((request, response) => answer(request, response));
    const path = target();
    const environment = { http_proxy: proxy.url.replace("//", "//me:pa%40ss@").replace("/file.bin", "") };
    await download("http://data.invalid/set.csv", path, { ...QUICK, environment });
    assertWhole(path);
    assert.equal(proxy.requests[0].url, "http://data.invalid/set.csv");
    assert.equal(proxy.requests[0].headers.host, "data.invalid");
    assert.equal(
      proxy.requests[0].headers["proxy-authorization"],
      `Basic ${Buffer.from("me:pa@ss").toString("base64")}`,
    );
  });

  test("https through a tunnel, refused and granted", async (context) => {
    const refusing = await serve(() => {});
    refusing.server.on("connect", (_, socket) => socket.end("HTTP/1.1 403 Forbidden\r\n\r\n"));
    const environment = { HTTPS_PROXY: refusing.url };
    const refused = download("https://data.invalid/x", target(), { ...QUICK, environment });
    assert.match(await failure(refused), /refused to connect to data\.invalid:443 \(HTTP 403\)/);

    const [key, certificate] = [join(folder, "key.pem"), join(folder, "certificate.pem")];
    const request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=data.invalid"];
    if (spawnSync("openssl", [...request, "-keyout", key, "-out", certificate]).status !== 0) {
      context.diagnostic("no openssl to make a certificate with: the tunnel itself was not tried");
      return;
    }
    const secure = createSecureServer({ key: readFileSync(key), cert: readFileSync(certificate) }, (req, res) =>
      answer(req, res),
    );
    await new Promise<void>((resolve) => secure.listen(0, "127.0.0.1", resolve));
    const proxy = await serve(() => {});
    const asked: string[] = [];
    proxy.server.on("connect", (req: IncomingMessage, socket) => {
      asked.push(req.url ?? "");
      const onward = connect((secure.address() as AddressInfo).port, "127.0.0.1", () => {
        socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
        socket.pipe(onward).pipe(socket);
      });
      onward.on("error", () => socket.destroy());
      socket.on("error", () => onward.destroy());
    });
    // The certificate is nobody's: a download that went through would have trusted anyone.
    const job = download("https://data.invalid/x", target(), { ...QUICK, environment: { HTTPS_PROXY: proxy.url } });
    assert.match(
      await job.then(String, (error: Error) => `${error.message} ${String(error.cause)}`),
      /self-signed certificate/,
    );
    assert.deepEqual(asked, ["data.invalid:443"]);
    secure.close();
  });
});
