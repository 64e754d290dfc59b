// Which proxy a request goes through, by the usual environment variables.
import { ConfigError } from "../../errors.js";

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy for a URL: HTTPS_PROXY or HTTP_PROXY by its scheme (lower case too, which wins), unless NO_PROXY lists its host:
 * names with their subdomains, `host:port`, or `*`, between commas or spaces.
 *
 * @throws ConfigError if the variable holds no http(s) URL
 */
export function proxyFor(url: URL, environment: Environment): URL | null {
  const variable = (name: string) => environment[name.toLowerCase()] ?? environment[name];
  const text = url.protocol === "https:" ? variable("HTTPS_PROXY") : variable("HTTP_PROXY");
  if (!text?.trim() || isExempt(url, variable("NO_PROXY") ?? "")) return null;
  try {
    const proxy = new URL(/^[a-z][a-z\d+.-]*:\/\//i.test(text) ? text : `http://${text}`);
    if (proxy.protocol === "http:" || proxy.protocol === "https:") return proxy;
  } catch {
    // told below, with what was found
  }
  throw new ConfigError(`proxy for ${url.protocol}//: expected an http:// URL, got ${JSON.stringify(text)}`);
}

function isExempt(url: URL, list: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, "").toLowerCase();
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .filter(Boolean)
    .some((entry) => {
      if (entry === "*") return true;
      const [, name, itsPort] = /^(.*?)(?::(\d+))?$/.exec(entry) ?? [];
      if (itsPort !== undefined && itsPort !== port) return false;
      const domain = name.replace(/^\*?\./, "");
      return host === domain || host.endsWith(`.${domain}`);
    });
}
