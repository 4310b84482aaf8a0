/** Which containers have to run before another one: by namespaces, links and volumes, and by what compose notes. */
import { isEngineError } from "../../core/errors.ts";
import type { Container } from "./container.ts";
import { parseLink } from "./links.ts";
import type { ContainerStore } from "./store.ts";

/** What a container waits for: that the other one was started, that it is healthy, or that it has done its work. */
export type Condition = "started" | "healthy" | "completed";

export interface Dependency {
  on: Container;
  condition: Condition;
}

/** The words of docker-compose; whatever else it may write some day is a start at least. */
const conditions: Readonly<Record<string, Condition>> = {
  service_healthy: "healthy",
  service_completed_successfully: "completed",
};

export const projectLabel = "com.docker.compose.project";

const labels = {
  project: projectLabel,
  service: "com.docker.compose.service",
  oneOff: "com.docker.compose.oneoff",
  /** `db:service_healthy:false,cache:service_started:true`: service, condition, whether it is restarted with it. */
  dependsOn: "com.docker.compose.depends_on",
};

/** The containers of compose's services, one of which may have several. */
export class ComposeServices {
  readonly #containers = new Map<string, Container[]>();

  constructor(containers: readonly Container[]) {
    for (const container of containers) {
      const { Labels = {} } = container.definition.config;
      const { [labels.project]: project, [labels.service]: service, [labels.oneOff]: oneOff = "" } = Labels;
      if (project === undefined || service === undefined || oneOff.toLowerCase() === "true") continue;
      const key = JSON.stringify([project, service]);
      this.#containers.set(key, [...(this.#containers.get(key) ?? []), container]);
    }
  }

  of(project: string, service: string): readonly Container[] {
    return this.#containers.get(JSON.stringify([project, service])) ?? [];
  }
}

/** Those that have to run for a container to be started at all: whose namespaces it joins, and whom it is linked to. */
export function neededBy(containers: Pick<ContainerStore, "findExact">, { definition }: Container): Container[] {
  const { NetworkMode, IpcMode, PidMode, Links = [] } = definition.hostConfig;
  const joined = [NetworkMode, IpcMode, PidMode].flatMap((mode = "") => (/^container:(.*)$/.exec(mode) ?? [])[1] ?? []);
  const references = [...joined, ...Links.map((link) => parseLink(link).reference)];
  return references.flatMap((reference) => containers.findExact(reference) ?? []);
}

/** Whether one that it cannot be started without is about to be, and does not itself wait for this one. */
export function waitsForNeeded(containers: Pick<ContainerStore, "findExact">, container: Container): boolean {
  const coming = (of: Container) =>
    neededBy(containers, of).filter(({ isUp, state }) => isUp && state.status !== "running");
  const seen = new Set<Container>();
  const waitsFor = (one: Container, other: Container): boolean => {
    if (one === other) return true;
    if (seen.has(one)) return false;
    seen.add(one);
    return coming(one).some((next) => waitsFor(next, other));
  };
  return coming(container).some((needed) => !waitsFor(needed, container));
}

/** What a container depends on, as far as that is there. */
export function dependenciesOf(
  containers: Pick<ContainerStore, "find" | "findExact">,
  services: ComposeServices,
  container: Container,
): Dependency[] {
  const { hostConfig, config, endpoints } = container.definition;
  const linked = Object.values(endpoints).flatMap((endpoint) => endpoint.Links ?? []);
  const references = [
    ...linked.map((link) => parseLink(link).reference),
    ...(hostConfig.VolumesFrom ?? []).map((text) => text.split(":")[0]!),
  ];
  const found = [
    ...neededBy(containers, container),
    ...references.flatMap((reference) => findIfThere(containers, reference) ?? []),
  ];
  const { [labels.project]: project = "", [labels.dependsOn]: dependsOn = "" } = config.Labels ?? {};
  const noted = dependsOn.split(",").flatMap((text) => {
    const [service = "", word = ""] = text.trim().split(":");
    const condition = conditions[word] ?? "started";
    return services.of(project, service).map((on) => ({ on, condition }));
  });
  const all = [...found.map((on) => ({ on, condition: "started" as const })), ...noted];
  return all.filter(({ on }) => on !== container);
}

function findIfThere(containers: Pick<ContainerStore, "find">, reference: string): Container | undefined {
  try {
    return containers.find(reference);
  } catch (error) {
    if (isEngineError(error, "not_found") || isEngineError(error, "invalid_argument")) return undefined;
    throw error;
  }
}

export interface Ordered {
  container: Container;
  waitsFor: Dependency[];
}

/**
 * Each after all that it waits for. Where they wait for each other in a circle, the last one does not wait.
 * @param dependencies of one of them.
 */
export function inOrder(
  containers: readonly Container[],
  dependencies: (container: Container) => Dependency[],
): Ordered[] {
  const chosen = new Set(containers);
  const ordered: Ordered[] = [];
  const seen = new Set<Container>();
  const done = new Set<Container>();
  const visit = (container: Container): void => {
    seen.add(container);
    const waitsFor: Dependency[] = [];
    for (const dependency of dependencies(container)) {
      const { on } = dependency;
      if (chosen.has(on) && !seen.has(on)) visit(on);
      if (!chosen.has(on) || done.has(on)) waitsFor.push(dependency);
    }
    done.add(container);
    ordered.push({ container, waitsFor });
  };
  for (const container of containers) if (!seen.has(container)) visit(container);
  return ordered;
}
