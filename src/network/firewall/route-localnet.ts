/**
 * Whether a bridge takes packets of 127.0.0.0/8, which elsewhere are dropped as impossible: answers to the host's own
 * 127.0.0.1 come so from a container (ip-sysctl.rst, route_localnet).
 */
import { readFileSync, writeFileSync } from "node:fs";
import { EngineError, errorMessage, isErrno } from "../../core/errors.ts";

/** @throws EngineError not_found when there is no such interface. */
export function setRouteLocalnet(bridge: string, on: boolean): void {
  const path = `/proc/sys/net/ipv4/conf/${bridge}/route_localnet`;
  const value = on ? "1" : "0";
  try {
    if (readFileSync(path, "utf8").trim() !== value) writeFileSync(path, value);
  } catch (error) {
    // An interface that is gone takes no packets at all.
    if (!on && isErrno(error, "ENOENT")) return;
    const code = isErrno(error, "ENOENT") ? "not_found" : "unsupported";
    throw new EngineError(code, `ports at 127.0.0.1 cannot lead to ${bridge}: ${errorMessage(error)}`, {
      cause: error,
    });
  }
}
