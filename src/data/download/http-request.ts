// One GET request over http or https, straight or through a proxy, following redirects.
import { type ClientRequest, request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Duplex } from "node:stream";
import { connect as tlsConnect } from "node:tls";
import { DatasetError } from "../../errors.js";
import { type Environment, proxyFor } from "./proxy.js";

export interface RequestSettings {
  readonly headers: Readonly<Record<string, string>>;
  readonly environment: Environment;
  /** Milliseconds without a byte after which the connection counts as dead. */
  readonly stallTimeout: number;
  readonly signal?: AbortSignal | undefined;
}

export interface Response {
  /** Where the redirects ended. */
  readonly url: URL;
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: IncomingMessage;
}

const MAX_REDIRECTS = 10;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * Sends the request and answers with the first response that is no redirect; its body must be read or destroyed.
 *
 * @throws DatasetError for redirects that go in circles, to another protocol, or from https to http, and where a proxy refuses
 * @throws Error of the system where a connection fails
 */
export async function get(start: URL, settings: RequestSettings): Promise<Response> {
  const seen = new Set<string>();
  for (let url = start; ; ) {
    if (seen.has(url.href)) throw new DatasetError(`${start.href}: its redirects go in a circle (${url.href})`);
    if (seen.size > MAX_REDIRECTS) throw new DatasetError(`${start.href}: more than ${MAX_REDIRECTS} redirects`);
    seen.add(url.href);
    const body = await send(url, settings);
    const status = body.statusCode ?? 0;
    if (!REDIRECTS.has(status)) return { url, status, headers: body.headers, body };
    body.destroy();
    const location = body.headers.location;
    if (!location) throw new DatasetError(`${url.href}: a redirect (HTTP ${status}) to nowhere`);
    const next = new URL(location, url);
    if (next.protocol !== "https:" && (next.protocol !== "http:" || url.protocol === "https:")) {
      throw new DatasetError(`${url.href}: a redirect to ${next.protocol}//, which is not followed`);
    }
    url = next;
  }
}

async function send(url: URL, settings: RequestSettings): Promise<IncomingMessage> {
  const proxy = proxyFor(url, settings.environment);
  if (url.protocol === "https:") {
    if (!proxy) return answer(httpsRequest(url, common(settings)), settings);
    const socket = await openTunnel(url, proxy, settings);
    const createConnection = () => tlsConnect({ socket, servername: url.hostname });
    const { agent: _, ...others } = common(settings); // with an agent, its connections would be used
    return answer(httpsRequest(url, { ...others, createConnection }), settings);
  }
  if (!proxy) return answer(httpRequest(url, common(settings)), settings);
  const headers = { ...settings.headers, host: url.host, ...proxyAuthorization(proxy) };
  const target = { host: hostOf(proxy), port: portOf(proxy), path: url.href };
  return answer(requestTo(proxy)({ ...common(settings), ...target, headers }), settings);
}

function common({ headers, signal }: RequestSettings): RequestOptions {
  // No agent: connections are not kept, so that the process can end when the download does.
  return { method: "GET", headers, agent: false, ...(signal ? { signal } : {}) };
}

/** CONNECT: the proxy passes on bytes that it cannot read. */
function openTunnel(url: URL, proxy: URL, settings: RequestSettings): Promise<Duplex> {
  const authority = `${url.hostname}:${url.port || 443}`;
  return new Promise((resolve, reject) => {
    const request = requestTo(proxy)({
      ...common(settings),
      ...{ method: "CONNECT", host: hostOf(proxy), port: portOf(proxy), path: authority },
      headers: { host: authority, ...proxyAuthorization(proxy) },
    });
    request.setTimeout(settings.stallTimeout, () => request.destroy(stalled(settings)));
    request.on("error", reject);
    request.on("connect", (response, socket) => {
      if (response.statusCode === 200) {
        resolve(socket);
        return;
      }
      socket.destroy();
      reject(new DatasetError(`proxy ${proxy.host}: refused to connect to ${authority} (HTTP ${response.statusCode})`));
    });
    request.end();
  });
}

function answer(request: ClientRequest, settings: RequestSettings): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    let response: IncomingMessage | null = null;
    request.setTimeout(settings.stallTimeout, () => (response ?? request).destroy(stalled(settings)));
    request.on("error", reject);
    request.on("response", (found) => {
      response = found;
      resolve(found);
    });
    request.end();
  });
}

function stalled({ stallTimeout }: RequestSettings): Error {
  return Object.assign(new Error(`nothing came for ${stallTimeout / 1000} s`), { code: "ETIMEDOUT" });
}

const requestTo = (proxy: URL) => (proxy.protocol === "https:" ? httpsRequest : httpRequest);
const hostOf = (url: URL) => url.hostname.replace(/^\[|\]$/g, "");
const portOf = (url: URL) => url.port || (url.protocol === "https:" ? "443" : "80");

function proxyAuthorization({ username, password }: URL): Record<string, string> {
  if (!username) return {};
  const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { "proxy-authorization": `Basic ${Buffer.from(login).toString("base64")}` };
}
