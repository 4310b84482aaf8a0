/**
 * `--link NAME:ALIAS`. On the default bridge, where containers have no names, a link is lines of /etc/hosts and
 * environment variables that tell of the other container; on users' networks it is a name that only this container
 * knows, answered by the resolver.
 */
import { EngineError, isEngineError } from "../../core/errors.ts";
import type { EngineContext } from "../context.ts";
import type { Container } from "./container.ts";

export interface Link {
  /** A name, an id or a beginning of it. */
  reference: string;
  alias: string;
}

export interface Linked {
  container: Container;
  alias: string;
}

/**
 * `name`, `name:alias`, or as inspect shows it, `/name:/owner/alias`.
 * @throws EngineError invalid_argument in docker's words.
 */
export function parseLink(text: string): Link {
  if (text === "") throw invalid("empty string specified for links");
  const [reference = "", alias, ...more] = text.split(":");
  if (more.length > 0 || reference === "" || alias === "") throw invalid(`bad format for links: ${text}`);
  const name = reference.replace(/^\//, "");
  return { reference: name, alias: alias === undefined ? name : alias.slice(alias.lastIndexOf("/") + 1) };
}

/**
 * Links as they are stored: one that was given by the beginning of an id is one by name, or it would come to mean
 * whatever container's id begins so when the one it was made to has gone.
 * @throws EngineError invalid_argument for a container that is not there, or that has the host's network.
 */
export function settleLinks(context: Pick<EngineContext, "containers">, links: readonly string[]): string[] {
  return links.map((text) => {
    const link = parseLink(text);
    let container: Container;
    try {
      container = context.containers.find(link.reference);
    } catch (error) {
      // Not as not_found: to that the docker client pulls the image and tries again.
      if (!isEngineError(error, "not_found")) throw error;
      throw new EngineError("invalid_argument", `could not get container for ${link.reference}: ${error.message}`, {
        stage: "create",
        cause: error,
      });
    }
    if (container.definition.hostConfig.NetworkMode === "host") throw invalid(hostNetworkAndLinks);
    const isExact = [container.name, container.id].includes(link.reference);
    return isExact ? text : `${container.name}:${text.includes(":") ? link.alias : link.reference}`;
  });
}

export const hostNetworkAndLinks =
  "conflicting options: host type networking can't be used with links. This would result in undefined behavior";

/** Those that there still are: as in Docker a link goes with the container that it leads to. */
export function linkedContainers(context: Pick<EngineContext, "containers">, links: readonly string[]): Linked[] {
  return links.map(parseLink).flatMap(({ reference, alias }) => {
    const container = context.containers.findExact(reference);
    return container === undefined ? [] : [{ container, alias }];
  });
}

/** A link of the default bridge to a container that runs there. */
export interface LegacyLink extends Linked {
  /** The other's there, IPv4 first. */
  addresses: string[];
}

/** The links that lead from one container to others on the default bridge, as far as those run. */
export function legacyLinks(context: Pick<EngineContext, "containers">, container: Container): LegacyLink[] {
  return onDefaultBridge(context, container).flatMap((link) => {
    const addresses = defaultBridgeAddresses(networkOwner(context, link.container));
    return addresses.length > 0 ? [{ ...link, addresses }] : [];
  });
}

function onDefaultBridge(context: Pick<EngineContext, "containers">, { definition }: Container): Linked[] {
  const { Links = [] } = definition.hostConfig;
  return Links.length > 0 && Object.hasOwn(definition.endpoints, "bridge") ? linkedContainers(context, Links) : [];
}

function defaultBridgeAddresses({ sandbox }: Container): string[] {
  const endpoint = sandbox?.endpoints.find(({ networkName }) => networkName === "bridge");
  return [endpoint?.ipv4, endpoint?.ipv6].filter((address) => address !== undefined);
}

/** Of containers that share a network the one whose it is. */
function networkOwner(context: Pick<EngineContext, "containers">, container: Container): Container {
  const mode = container.definition.hostConfig.NetworkMode ?? "";
  const shared = mode.startsWith("container:") ? context.containers.get(mode.slice("container:".length)) : undefined;
  return shared === undefined ? container : networkOwner(context, shared);
}

/** What containers are called by those that link to them on the default bridge, `web/database`, by their ids. */
export function namesByLinks(context: Pick<EngineContext, "containers">): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const owner of context.containers.linked()) {
    for (const { container, alias } of onDefaultBridge(context, owner)) {
      names.set(container.id, [...(names.get(container.id) ?? []), `${owner.name}/${alias}`]);
    }
  }
  return names;
}

/** As Docker shows those of the default bridge: `/db:/web/database`. */
export function shownLinks(context: Pick<EngineContext, "containers">, container: Container): string[] {
  return onDefaultBridge(context, container).map((link) => `/${link.container.name}:/${container.name}/${link.alias}`);
}

/** `docker rm --link /web/database`. @throws EngineError not_found. */
export function removeLink({ containers }: Pick<EngineContext, "containers">, reference: string): void {
  const [, owner = "", alias = ""] = /^\/?([^/]+)\/([^/]+)$/.exec(reference) ?? [];
  if (owner === "") throw invalid(`invalid link ${JSON.stringify(reference)}: it is CONTAINER/ALIAS`);
  const container = containers.find(owner);
  const { Links = [] } = container.definition.hostConfig;
  const left = Links.filter((link) => parseLink(link).alias !== alias);
  if (left.length === Links.length) throw new EngineError("not_found", `container ${owner} has no link ${alias}`);
  containers.setLinks(container, left);
}

/** @throws EngineError conflict in docker's words, when a container is to start before one that it is linked to. */
export function checkLinked(context: Pick<EngineContext, "containers">, container: Container): void {
  const stopped = onDefaultBridge(context, container).find((link) => link.container.state.status !== "running");
  if (stopped === undefined) return;
  const text = `/${stopped.container.name} AS /${container.name}/${stopped.alias}`;
  throw new EngineError("conflict", `Cannot link to a non running container: ${text}`);
}

/** Running containers of the default bridge that are linked to this one. */
export function linkedFrom(context: Pick<EngineContext, "containers">, target: Container): Container[] {
  const isLinked = (container: Container) =>
    onDefaultBridge(context, container).some((link) => networkOwner(context, link.container) === target);
  return context.containers.linked().filter((container) => container.state.status === "running" && isLinked(container));
}

/** What a linked container is found by beside its alias. */
export function linkNames({ container, alias }: Linked): string[] {
  const { Hostname = "" } = container.definition.config;
  return [...new Set([alias, Hostname, container.name])].filter((name) => name !== "");
}

export function linkVariables(context: Pick<EngineContext, "containers">, container: Container): string[] {
  return legacyLinks(context, container).flatMap((link) => linkEnvironment(container.name, link, link.addresses[0]!));
}

/** Of the image, and of no use elsewhere. */
const privateVariables = new Set(["HOME", "PATH"]);

/**
 * The variables of a link: `DB_NAME`, `DB_PORT`, `DB_PORT_5432_TCP…`, and with `DB_ENV_` before them the other's own.
 * @param owner the name of the container that has the link.
 * @param address the other's on the default bridge.
 */
export function linkEnvironment(owner: string, { container, alias }: Linked, address: string): string[] {
  const { config } = container.definition;
  const prefix = alias.toUpperCase().replaceAll("-", "_");
  const ports = Object.keys(config.ExposedPorts ?? {})
    .map(parsePort)
    .sort((a, b) => a.number - b.number || rank(a.transport) - rank(b.transport));
  const host = address.includes(":") ? `[${address}]` : address;
  const variables: string[] = [];
  const [first] = ports;
  if (first !== undefined) variables.push(`${prefix}_PORT=${first.transport}://${host}:${first.number}`);
  for (const { number, transport } of ports) {
    const name = `${prefix}_PORT_${number}_${transport.toUpperCase()}`;
    variables.push(`${name}=${transport}://${host}:${number}`);
    variables.push(`${name}_ADDR=${address}`, `${name}_PORT=${number}`, `${name}_PROTO=${transport}`);
  }
  variables.push(...rangeVariables(prefix, ports, host));
  variables.push(`${prefix}_NAME=/${owner}/${alias}`);
  for (const entry of config.Env ?? []) {
    const equals = entry.indexOf("=");
    if (equals > 0 && !privateVariables.has(entry.slice(0, equals))) variables.push(`${prefix}_ENV_${entry}`);
  }
  return variables;
}

interface Port {
  number: number;
  transport: string;
}

/** Three and more ports that follow each other have four more variables, by the first of them. */
function rangeVariables(prefix: string, ports: readonly Port[], host: string): string[] {
  const variables: string[] = [];
  for (const transport of new Set(ports.map((port) => port.transport))) {
    const numbers = ports.filter((port) => port.transport === transport).map(({ number }) => number);
    for (let from = 0; from < numbers.length; ) {
      let to = from;
      while (numbers[to + 1] === numbers[to]! + 1) to++;
      const [first, last] = [numbers[from]!, numbers[to]!];
      from = to + 1;
      if (last - first < 2) continue;
      const name = `${prefix}_PORT_${first}_${transport.toUpperCase()}`;
      variables.push(`${name}_START=${transport}://${host}:${first}`, `${name}_PORT_START=${first}`);
      variables.push(`${name}_END=${transport}://${host}:${last}`, `${name}_PORT_END=${last}`);
    }
  }
  return variables;
}

function parsePort(port: string): Port {
  const [number = "", transport = "tcp"] = port.split("/");
  return { number: Number(number), transport: transport.toLowerCase() };
}

function rank(transport: string): number {
  return transport === "tcp" ? 0 : 1;
}

function invalid(message: string): EngineError {
  return new EngineError("invalid_argument", message, { stage: "create" });
}
