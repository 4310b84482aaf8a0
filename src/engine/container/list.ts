/** Which containers `ps` shows: Docker's filters, in Docker's order. */
import { EngineError } from "../../core/errors.ts";
import { matchesLabels } from "../label-filter.ts";
import { namePatterns } from "../name-patterns.ts";
import type { Container } from "./container.ts";
import { portSummaries } from "./network-view.ts";
import { projectState } from "./state.ts";
import type { ContainerStore } from "./store.ts";

export type ContainerFilters = Readonly<Record<string, readonly string[]>>;

export interface ListOptions {
  all: boolean;
  /** The last n created, running or not. */
  limit?: number;
  filters: ContainerFilters;
}

/** What filters need to know beside the containers. */
export interface FilterContext {
  containers: ContainerStore;
  /** Whether an image is the one that a reference names, or has all its layers and more: for `ancestor`. */
  descends(imageId: string, reference: string): boolean;
}

type Predicate = (container: Container) => boolean;

/** Newest first. @throws EngineError invalid_argument for a value that a filter cannot have. */
export function selectContainers(context: FilterContext, options: ListOptions): Container[] {
  const { filters, limit } = options;
  const given = Object.entries(filters).filter(([, values]) => values.length > 0);
  const ports = given.filter(([name]) => isPortFilter(name)).map(([name, values]) => portFilter(name, values));
  const predicates = given
    .filter(([name]) => !isPortFilter(name))
    .map(([name, values]) => predicate(context, name, values));
  // One port is enough, whichever of the two asks for it.
  if (ports.length > 0) predicates.push((container) => ports.some((matches) => matches(container)));
  // Of those that only fit what has ended, `status` alone says so for itself.
  const everyState = options.all || limit !== undefined || filters.status?.length;
  const newest = context.containers.all().reverse();
  const selected = newest.filter(
    (container) => (everyState || running(container)) && predicates.every((matches) => matches(container)),
  );
  return limit === undefined ? selected : selected.slice(0, limit);
}

function running(container: Container): boolean {
  return projectState(container.state).Running;
}

function predicate(context: FilterContext, name: string, values: readonly string[]): Predicate {
  switch (name) {
    case "id":
      return idFilter(context, values);
    case "name":
      return nameFilter(values);
    case "label":
      return ({ definition }) => matchesLabels(values, definition.config.Labels ?? {});
    case "status":
      return statusFilter(values);
    case "exited":
      return exitedFilter(values);
    case "ancestor":
      return ({ definition }) => values.some((value) => context.descends(definition.imageId, value));
    case "before":
    case "since":
      return orderFilter(context, name, values);
    case "volume":
      return ({ definition }) =>
        definition.mounts.some(({ Name, Destination, Source }) =>
          values.some((value) => value === Name || value === Destination || value === Source),
        );
    case "network":
      return ({ definition }) =>
        Object.entries(definition.endpoints).some(([name, { NetworkID = "" }]) =>
          values.some((value) => value === name || (value !== "" && NetworkID.startsWith(value))),
        );
    case "health":
      return healthFilter(values);
    case "is-task":
      return () => values.includes("false") || values.includes("0");
    case "isolation":
      // Of Windows: on Linux every container passes.
      return () => true;
    default:
      throw new EngineError("invalid_argument", `invalid filter '${name}'`);
  }
}

/** A beginning that several containers have is none's. */
function idFilter({ containers }: FilterContext, values: readonly string[]): Predicate {
  const ids = containers.all().map(({ id }) => id);
  const found = new Set(
    values.flatMap((value) => {
      const matches = ids.filter((id) => id.startsWith(value));
      return matches.length === 1 ? matches : [];
    }),
  );
  return ({ id }) => found.has(id);
}

/** Docker matches names as regular expressions, with and without the leading slash; those that links give are not asked. */
function nameFilter(values: readonly string[]): Predicate {
  const patterns = namePatterns("name", values);
  return ({ name }) => patterns.some((pattern) => pattern.test(name) || pattern.test(`/${name}`));
}

const healths = ["none", "starting", "healthy", "unhealthy"];

function healthFilter(values: readonly string[]): Predicate {
  const wrong = values.find((value) => !healths.includes(value));
  if (wrong === undefined) return ({ health }) => values.includes(health?.status ?? "none");
  throw new EngineError(
    "invalid_argument",
    `invalid value for health (${wrong}): must be one of ${healths.join(", ")}`,
  );
}

const statuses = new Set(["created", "running", "paused", "restarting", "removing", "exited", "dead"]);

function statusFilter(values: readonly string[]): Predicate {
  for (const value of values) {
    if (!statuses.has(value)) throw new EngineError("invalid_argument", `invalid filter 'status=${value}'`);
  }
  return ({ state }) => values.includes(projectState(state).Status);
}

function exitedFilter(values: readonly string[]): Predicate {
  const codes = values.map((value) => {
    if (!/^-?\d+$/.test(value)) throw new EngineError("invalid_argument", `invalid filter 'exited=${value}'`);
    return Number(value);
  });
  return ({ state }) => {
    const { Status, ExitCode } = projectState(state);
    return Status === "exited" && codes.includes(ExitCode);
  };
}

/** Of several the last counts, as in Docker; all have to be there. */
function orderFilter(context: FilterContext, name: string, values: readonly string[]): Predicate {
  const order = new Map(context.containers.all().map(({ id }, index) => [id, index]));
  const bound = values.map((value) => order.get(context.containers.find(value).id)!).at(-1)!;
  return ({ id }) => (name === "before" ? order.get(id)! < bound : order.get(id)! > bound);
}

function isPortFilter(name: string): boolean {
  return name === "publish" || name === "expose";
}

/** `80`, `80/tcp`, `8000-8010/udp`: the host's for `publish`, the container's for `expose`. One that runs alone has ports. */
function portFilter(name: string, values: readonly string[]): Predicate {
  const ranges = values.map((value) => {
    if (value.includes(":")) {
      throw new EngineError("invalid_argument", `filter for '${name}' should not contain ':': ${value}`);
    }
    const [, from, to, protocol] = /^(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/.exec(value) ?? [];
    if (from === undefined) throw new EngineError("invalid_argument", `invalid filter '${name}=${value}'`);
    return { from: Number(from), to: Number(to ?? from), protocol: protocol ?? "tcp" };
  });
  return (container) =>
    portSummaries(container).some(({ PrivatePort, PublicPort, Type }) => {
      const port = name === "publish" ? PublicPort : PrivatePort;
      return ranges.some(({ from, to, protocol }) => {
        return port !== undefined && protocol === Type && port >= from && port <= to;
      });
    });
}
