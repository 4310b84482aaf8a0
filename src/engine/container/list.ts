/** Which containers `ps` shows: Docker's filters, in Docker's order. */
import { EngineError } from "../../core/errors.ts";
import { matchesLabels } from "../label-filter.ts";
import { namePatterns } from "../name-patterns.ts";
import type { Container } from "./container.ts";
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
  /** Ids of the images that a reference names: for `ancestor`. */
  imageIds(reference: string): string[];
}

type Predicate = (container: Container) => boolean;

/** Newest first. @throws EngineError invalid_argument for a value that a filter cannot have. */
export function selectContainers(context: FilterContext, options: ListOptions): Container[] {
  const { filters, limit } = options;
  const predicates = Object.entries(filters)
    .filter(([, values]) => values.length > 0)
    .map(([name, values]) => predicate(context, name, values));
  const everyState = options.all || limit !== undefined || filters.status?.length || filters.exited?.length;
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
      return ({ id }) => values.some((value) => id.startsWith(value));
    case "name":
      return nameFilter(values);
    case "label":
      return ({ definition }) => matchesLabels(values, definition.config.Labels ?? {});
    case "status":
      return statusFilter(values);
    case "exited":
      return exitedFilter(values);
    case "ancestor": {
      const ids = new Set(values.flatMap((value) => context.imageIds(value)));
      return ({ definition }) => ids.has(definition.imageId);
    }
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
    case "expose":
    case "publish":
      return portFilter(name, values);
    case "health":
      return () => values.includes("none");
    case "is-task":
      return () => values.includes("false") || values.includes("0");
    case "isolation":
      return () => values.includes("default");
    default:
      throw new EngineError("invalid_argument", `invalid filter '${name}'`);
  }
}

/** Docker matches names as regular expressions, with and without the leading slash. */
function nameFilter(values: readonly string[]): Predicate {
  const patterns = namePatterns("name", values);
  return ({ name }) => patterns.some((pattern) => pattern.test(name) || pattern.test(`/${name}`));
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

function orderFilter(context: FilterContext, name: string, values: readonly string[]): Predicate {
  const order = new Map(context.containers.all().map(({ id }, index) => [id, index]));
  const bounds = values.map((value) => order.get(context.containers.find(value).id)!);
  return ({ id }) => {
    const index = order.get(id)!;
    return bounds.some((bound) => (name === "before" ? index < bound : index > bound));
  };
}

/** `80`, `80/tcp`, `8000-8010/udp`: of the container, as in Docker also for `publish`. */
function portFilter(name: string, values: readonly string[]): Predicate {
  const ranges = values.map((value) => {
    const [, from, to, protocol] = /^(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/.exec(value) ?? [];
    if (from === undefined) throw new EngineError("invalid_argument", `invalid filter '${name}=${value}'`);
    return { from: Number(from), to: Number(to ?? from), protocol: protocol ?? "tcp" };
  });
  return ({ definition }) => {
    const { config, hostConfig } = definition;
    return Object.keys((name === "publish" ? hostConfig.PortBindings : config.ExposedPorts) ?? {}).some((port) => {
      const [number = "", protocol = "tcp"] = port.split("/");
      return ranges.some(
        (range) => range.protocol === protocol && Number(number) >= range.from && Number(number) <= range.to,
      );
    });
  };
}
