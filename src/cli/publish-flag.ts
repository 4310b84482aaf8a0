/** `-p`: docker's short form and its long form, which tsd has two more keys for. */
import type { PortBinding, PortMap } from "../api/schema/container-config.ts";
import {
  type PortRange,
  parsePortProtocol,
  parsePortRange,
  publishAnnotation,
  publishModes,
  splitPortKey,
} from "../api/schema/port-key.ts";
import { EngineError } from "../core/errors.ts";
import { tryParseAddress } from "../core/ip-address.ts";

export interface PublishedFlags {
  /** `"80/tcp": {}`, of all that is published. */
  exposedPorts: Record<string, object>;
  portBindings: PortMap;
  /** How ports are published where a flag says so: `tsd.publish.80/tcp=socket`. */
  annotations: Record<string, string>;
}

/**
 * `8080:80`, `127.0.0.1:8080:80/udp`, `[::1]:8000-8010:80`, `80`, and
 * `published=8080,target=80,protocol=tcp,host-ip=127.0.0.1,mode=socket`.
 * @throws EngineError invalid_argument in docker's words.
 */
export function parsePublish(publish: readonly string[]): PublishedFlags {
  const flags: PublishedFlags = { exposedPorts: {}, portBindings: {}, annotations: {} };
  for (const text of publish) {
    const { spec, hostIp, mode } = text.includes("=") ? readLongForm(text) : { spec: text };
    for (const [key, binding] of readSpec(spec, hostIp)) {
      flags.exposedPorts[key] = {};
      flags.portBindings[key] = [...(flags.portBindings[key] ?? []), binding];
      if (mode !== undefined) setMode(flags.annotations, key, mode);
    }
  }
  return flags;
}

function setMode(annotations: Record<string, string>, key: string, mode: string): void {
  const name = `${publishAnnotation}.${key}`;
  const other = annotations[name];
  if (other !== undefined && other !== mode)
    throw invalid(`port ${key} is published with mode=${other} and mode=${mode}`);
  annotations[name] = mode;
}

const longFormKeys = new Set(["published", "target", "protocol", "host-ip", "mode"]);

function readLongForm(text: string): { spec: string; hostIp?: string; mode?: string } {
  const values = new Map<string, string>();
  for (const part of text.split(",")) {
    const [, key = "", value = ""] = /^([^=]+)=(.*)$/s.exec(part) ?? [];
    if (key === "") throw invalid(`invalid publish opts format (should be name=value but got '${part}')`);
    // Docker passes over those that it does not know, and publishes another port than was meant.
    if (!longFormKeys.has(key)) {
      throw invalid(`invalid publish opts: unknown name '${key}', choose of ${[...longFormKeys].join(", ")}`);
    }
    values.set(key, value);
  }
  const mode = values.get("mode");
  // Swarm's words for services: `host` is what a container has anyway.
  const isOwn = mode !== undefined && mode !== "host";
  if (isOwn && !(publishModes as readonly string[]).includes(mode)) {
    throw invalid(`invalid publish opts: mode=${mode}, choose ${publishModes.join(" or ")}`);
  }
  const target = values.get("target") ?? "";
  const protocol = values.get("protocol") || "tcp";
  return {
    spec: `${values.get("published") ?? ""}:${target}/${protocol}`,
    ...(values.has("host-ip") && { hostIp: values.get("host-ip")! }),
    ...(isOwn && { mode }),
  };
}

/** Each container port with its binding. */
function readSpec(spec: string, hostIp?: string): [string, PortBinding][] {
  const parts = spec.split(":");
  const { port: containerPort, protocol: protocolText } = splitPortKey(parts.pop()!);
  const hostPort = parts.pop() ?? "";
  const address = readAddress(hostIp ?? parts.join(":"));
  if (containerPort === "") throw invalid(`no port specified: ${spec}<empty>`);
  const container = parsePortRange(containerPort);
  if (container === undefined || container.first === 0) throw invalid(`invalid containerPort: ${containerPort}`);
  const host = hostPort === "" ? undefined : parsePortRange(hostPort);
  if (hostPort !== "" && host === undefined) throw invalid(`invalid hostPort: ${hostPort}`);
  const isRange = container.first !== container.last;
  if (host !== undefined && isRange && length(host) !== length(container)) {
    throw invalid(`invalid ranges specified for container and host Ports: ${containerPort} and ${hostPort}`);
  }
  const protocol = parsePortProtocol(protocolText);
  if (protocol === undefined) throw invalid(`invalid proto: ${protocolText}`);
  return Array.from({ length: length(container) }, (_, n) => {
    const HostPort = isRange && host !== undefined ? String(host.first + n) : hostPort;
    return [`${container.first + n}/${protocol}`, { HostIp: address, HostPort }];
  });
}

function length({ first, last }: PortRange): number {
  return last - first + 1;
}

function readAddress(text: string): string {
  if (text.startsWith("[") && !text.endsWith("]")) throw invalid(`invalid IP address: ${text}: missing ']' in address`);
  const address = text.replace(/^\[(.*)\]$/, "$1");
  if (address !== "" && tryParseAddress(address) === undefined) throw invalid(`invalid IP address: ${address}`);
  return address;
}

function invalid(message: string): EngineError {
  return new EngineError("invalid_argument", message);
}
