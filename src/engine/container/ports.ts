/** What a container wants published, from the Engine API's PortBindings, ExposedPorts and annotations. */
import type { ContainerConfig, HostConfig, PortBinding } from "../../api/schema/container-config.ts";
import {
  type PortProtocol,
  type PortRange,
  parsePortProtocol,
  parsePortRange,
  publishAnnotation,
  publishModes,
  splitPortKey,
} from "../../api/schema/port-key.ts";
import { EngineError } from "../../core/errors.ts";
import { tryParseAddress } from "../../network/address.ts";
import type { PortRequest, PublishMode } from "../../network/ports/port.ts";

const portCount = 65_536;

/**
 * @param config with the image's ExposedPorts merged in: PublishAllPorts is about those.
 * @returns in the order of the container's ports; of one port as its bindings come.
 * @throws EngineError invalid_argument, naming the port, the binding or the annotation.
 */
export function portRequests(
  config: Pick<ContainerConfig, "ExposedPorts">,
  host: Pick<HostConfig, "PortBindings" | "PublishAllPorts" | "Annotations">,
): PortRequest[] {
  const wanted = new Map<string, PortRequest[]>();
  for (const [key, bindings] of Object.entries(host.PortBindings ?? {})) {
    const { range, protocol } = readKey(key);
    if (range.first !== range.last) throw invalid(`invalid port specification: ${quoted(key)}: it is a range`);
    for (const binding of bindings ?? []) {
      const requests = wanted.get(nameOf(range.first, protocol)) ?? [];
      requests.push({ transport: protocol, containerPort: range.first, ...readBinding(key, binding) });
      wanted.set(nameOf(range.first, protocol), requests);
    }
  }
  if (host.PublishAllPorts) {
    for (const { port, protocol } of exposedPorts(config.ExposedPorts ?? {})) {
      const name = nameOf(port, protocol);
      if (!wanted.has(name)) wanted.set(name, [{ transport: protocol, containerPort: port }]);
    }
  }
  const requests = [...wanted.values()].flat().sort(byContainerPort);
  return applyModes(requests, host.Annotations ?? {});
}

/**
 * ExposedPorts one by one, each once: `"8000-8002/tcp": {}` are three. An image may have any number of ranges, which
 * overlap: what they cost is the keys, not the ports.
 */
export function exposedPorts(exposed: Record<string, object>): { port: number; protocol: PortProtocol }[] {
  const marks = new Map<PortProtocol, Uint8Array>();
  for (const key of Object.keys(exposed)) {
    const { range, protocol } = readKey(key);
    const marked = marks.get(protocol) ?? new Uint8Array(portCount);
    marks.set(protocol, marked.fill(1, range.first, range.last + 1));
  }
  const ports: { port: number; protocol: PortProtocol }[] = [];
  for (const [protocol, marked] of marks) {
    for (let port = marked.indexOf(1); port >= 0; port = marked.indexOf(1, port + 1)) ports.push({ port, protocol });
  }
  return ports;
}

function readKey(key: string): { range: PortRange; protocol: PortProtocol } {
  const { port, protocol: text } = splitPortKey(key);
  const range = parsePortRange(port);
  if (range === undefined || range.first === 0) throw invalid(`invalid port specification: ${quoted(key)}`);
  const protocol = parsePortProtocol(text);
  if (protocol === undefined) throw invalid(`invalid port specification: ${quoted(key)}: invalid proto: ${text}`);
  return { range, protocol };
}

function readBinding(
  key: string,
  { HostIp = "", HostPort = "" }: PortBinding,
): Pick<PortRequest, "hostAddress" | "hostPorts"> {
  // Clients write IPv6 addresses with and without brackets.
  const address = HostIp.replace(/^\[(.*)\]$/, "$1");
  if (address !== "" && tryParseAddress(address) === undefined) {
    throw invalid(`invalid IP address of the binding of ${key}: ${HostIp}`);
  }
  const range = HostPort === "" ? undefined : parsePortRange(HostPort);
  if (HostPort !== "" && range === undefined) throw invalid(`invalid port specification: ${quoted(HostPort)}`);
  // 0 is Docker's other way to say: any.
  const isChosen = range !== undefined && !(range.first === 0 && range.last === 0);
  if (isChosen && range.first === 0) throw invalid(`invalid port specification: ${quoted(HostPort)}`);
  return {
    ...(address !== "" && { hostAddress: address }),
    ...(isChosen && { hostPorts: range }),
  };
}

/** The annotation of a port goes before that of the container. */
function applyModes(requests: PortRequest[], annotations: Record<string, string>): PortRequest[] {
  const modes = new Map<string, PublishMode>();
  for (const [name, value] of Object.entries(annotations)) {
    if (name !== publishAnnotation && !name.startsWith(`${publishAnnotation}.`)) continue;
    const mode = publishModes.find((known) => known === value);
    if (mode === undefined) throw invalid(`annotation ${name}=${value}: choose ${publishModes.join(" or ")}`);
    const key = name.slice(publishAnnotation.length + 1);
    if (key === "") {
      modes.set("", mode);
      continue;
    }
    const { range, protocol } = readKey(key);
    const port = nameOf(range.first, protocol);
    const isPublished = requests.some((request) => nameOf(request.containerPort, request.transport) === port);
    if (!isPublished) throw invalid(`annotation ${name}=${value}: port ${port} is not published`);
    modes.set(port, mode);
  }
  return requests.map((request) => {
    const mode = modes.get(nameOf(request.containerPort, request.transport)) ?? modes.get("");
    return mode === undefined ? request : { ...request, mode };
  });
}

function byContainerPort(a: PortRequest, b: PortRequest): number {
  return a.containerPort - b.containerPort || a.transport.localeCompare(b.transport);
}

function nameOf(port: number, protocol: PortProtocol): string {
  return `${port}/${protocol}`;
}

/** As Go's %q has it. */
function quoted(text: string): string {
  return JSON.stringify(text);
}

function invalid(message: string): EngineError {
  return new EngineError("invalid_argument", message);
}
