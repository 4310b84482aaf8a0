import { EngineError, errorMessage } from "../../core/errors.ts";
import { throwIfAborted } from "../shared-work.ts";
import { type ProxySettings, proxyFor } from "./proxies.ts";
import { shownSeconds } from "./transport.ts";

/**
 * Sees whether somebody listens at a host, or at the proxy that leads there, before a request waits for the answer:
 * `dial_timeout` of a mirror is much shorter than what a slow registry is given.
 * @throws EngineError unavailable, cancelled.
 */
export async function dial(
  url: URL,
  timeoutMs: number,
  options: { proxies: ProxySettings; signal?: AbortSignal | undefined },
): Promise<void> {
  const target = new URL(proxyFor(url, options.proxies) ?? url);
  const hostname = target.hostname.replace(/^\[|\]$/g, "");
  const port = Number(target.port || (target.protocol === "https:" ? 443 : 80));
  const given = Promise.withResolvers<undefined>();
  const giveUp = () => given.resolve(undefined);
  const timer = setTimeout(giveUp, timeoutMs);
  options.signal?.addEventListener("abort", giveUp, { once: true });
  const connecting = Bun.connect({ hostname, port, socket: { data: () => undefined } });
  // One that comes too late is closed all the same.
  const closing = connecting.then((socket) => socket.end());
  try {
    const failure = await Promise.race([
      closing.then(
        () => "",
        (error: unknown) => errorMessage(error),
      ),
      given.promise,
    ]);
    throwIfAborted(options.signal);
    if (failure === "") return;
    const reason = failure ?? `i/o timeout after ${shownSeconds(timeoutMs)}`;
    throw new EngineError("unavailable", `dial ${target.host}: ${reason}`);
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", giveUp);
  }
}
