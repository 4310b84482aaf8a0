/**
 * Which proxy a request goes through: HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the daemon's environment, with the rules
 * of Go's httpproxy, because that is what users of docker have written them for.
 */
import { isIP } from "node:net";
import { EngineError } from "../../core/errors.ts";
import { isInNetwork, splitPort } from "./address.ts";

export interface ProxySettings {
  /** For requests by HTTP; absent: none. */
  http?: string | undefined;
  /** For requests by HTTPS. */
  https?: string | undefined;
  /** Hosts that are reached directly, with commas between: `example.com,.corp,10.0.0.0/8,host:5000`, or `*`. */
  no?: string | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

const variables = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"] as const;

/**
 * Takes the settings out of the environment, which is the daemon's own: Bun would obey the variables by itself, with
 * other rules.
 * @throws EngineError invalid_argument for a proxy that is no http or https URL.
 */
export function takeProxies(environment: Record<string, string | undefined>): ProxySettings {
  const settings = proxiesOf(environment);
  for (const name of variables) delete environment[name];
  return settings;
}

export function proxiesOf(environment: Environment): ProxySettings {
  const value = (name: string) => environment[name] || environment[name.toLowerCase()] || undefined;
  return {
    http: checkedProxy("HTTP_PROXY", value("HTTP_PROXY")),
    https: checkedProxy("HTTPS_PROXY", value("HTTPS_PROXY")),
    no: value("NO_PROXY"),
  };
}

/** @returns the proxy's URL, undefined where the host is to be reached directly. */
export function proxyFor(url: URL, settings: ProxySettings): string | undefined {
  const proxy = url.protocol === "https:" ? settings.https : settings.http;
  return proxy === undefined || isDirect(url, settings.no ?? "") ? undefined : proxy;
}

function checkedProxy(name: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const whole = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  const url = URL.canParse(whole) ? new URL(whole) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol) || url.hostname === "") {
    // Not the value: it may hold a password.
    const kind = url === undefined ? "it is no URL" : `its scheme is ${url.protocol.slice(0, -1)}`;
    throw new EngineError("invalid_argument", `${name}: ${kind}: only http and https proxies are supported`);
  }
  return url.href;
}

function isDirect(url: URL, list: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, "").toLowerCase();
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  // Through a proxy "this machine" would be the proxy's.
  if (host === "localhost" || isInNetwork(host, "127.0.0.0/8") || isInNetwork(host, "::1/128")) return true;
  return list.split(",").some((item) => matches(item.trim().toLowerCase(), host, port));
}

function matches(item: string, host: string, port: string): boolean {
  if (item === "") return false;
  if (item === "*") return true;
  if (item.includes("/")) return isInNetwork(host, item);
  if (isIP(item) > 0) return isInNetwork(host, `${item}/${isIP(item) === 4 ? 32 : 128}`);
  const { name, port: itemPort } = splitPort(item);
  if (itemPort !== undefined && itemPort !== port) return false;
  if (isIP(name) > 0) return isInNetwork(host, `${name}/${isIP(name) === 4 ? 32 : 128}`);
  const domain = name.replace(/^\*\./, ".");
  // A leading dot stands for the hosts below that domain alone.
  return domain.startsWith(".") ? host.endsWith(domain) : host === domain || host.endsWith(`.${domain}`);
}
