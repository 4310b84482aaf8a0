/** A container gets another name: in its record, on its networks, and with those that are linked to it. */
import type { EndpointSettings } from "../../api/schema/container-config.ts";
import { EngineError, errorMessage, wrapError } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import type { EngineContext } from "../context.ts";
import type { Container } from "./container.ts";
import type { ContainerDefinition } from "./definition.ts";
import { containerNames } from "./endpoints.ts";
import { updateEtcFiles } from "./etc-files.ts";
import { containerEvent } from "./event.ts";
import { linkedContainers, linkedFrom, linkNames, parseLink } from "./links.ts";
import { parseContainerName } from "./names.ts";

/**
 * The record comes first: a daemon that is killed in between is followed by one that finds the networks' names to be
 * others than the record's (settleNames).
 * @throws EngineError invalid_argument, already_exists in docker's words; it is then called what it was called before.
 */
export async function renameContainer(context: EngineContext, container: Container, asked: string): Promise<void> {
  if (asked === "" || asked === "/") throw invalid("Neither old nor new names may be empty");
  await context.locks.run(container.id, async () => {
    if (container.removed) throw new EngineError("not_found", `No such container: ${container.id}`);
    const before = container.name;
    if (asked.replace(/^\//, "") === before) {
      throw invalid("Renaming a container with the same name as its current name");
    }
    const { names } = context.containers;
    const name = reserve(context, container, asked);
    const staleLines = linesOfLinks(context, container);
    try {
      context.containers.rename(container, name, relinked(context, container, name));
    } catch (error) {
      names.release(name, container.id);
      throw wrapError(error, `rename container ${before}`, { stage: "rename" });
    }
    try {
      await settleNames(context, container, true);
    } catch (error) {
      // Nobody can have got it: it was not given up yet.
      context.containers.rename(container, before, relinked(context, container, before));
      names.release(name, container.id);
      throw error;
    }
    names.release(before, container.id);
    tellLinked(context, staleLines);
    containerEvent(context, container, "rename", { oldName: `/${before}` });
  });
}

function reserve({ containers }: EngineContext, { id }: Container, asked: string): string {
  try {
    const name = parseContainerName(asked.replace(/^\/?/, "/"));
    containers.names.reserve(name, id);
    return name;
  } catch (error) {
    throw wrapError(error, "Error when allocating new name");
  }
}

/**
 * Makes the names by which a running container is found on its networks what they are by its record.
 * @param isRenamed its ports are to tell of it too, whose they are.
 */
export async function settleNames(
  { networks }: Pick<EngineContext, "networks">,
  container: Container,
  isRenamed = false,
): Promise<void> {
  const { sandbox, definition } = container;
  if (sandbox === undefined) return;
  const wanted = Object.entries(definition.endpoints).flatMap(([network, settings]) => {
    const there = sandbox.endpoints.find(({ networkId }) => networkId === settings.NetworkID);
    const names = containerNames(container, network, settings);
    return there === undefined ? [] : [{ networkId: there.networkId, names, has: there.names }];
  });
  if (!isRenamed && wanted.every(({ names, has }) => Bun.deepEquals(names, has))) return;
  const names = new Map(wanted.map((each) => [each.networkId, each.names]));
  container.sandbox = await networks.rename(container.id, { containerName: container.name, names });
}

/** The definitions of those whose links lead to the container by its name, as they are when it has another. */
function relinked(context: EngineContext, target: Container, name: string): Map<Container, ContainerDefinition> {
  const changed = new Map<Container, ContainerDefinition>();
  const renamed = (links: readonly string[]) =>
    links.map((link) => {
      const { reference, alias } = parseLink(link);
      return reference === target.name ? `${name}:${alias}` : link;
    });
  for (const container of context.containers.all()) {
    const { hostConfig, endpoints } = container.definition;
    const all = [hostConfig, ...Object.values(endpoints)].flatMap(({ Links }) => Links ?? []);
    if (!all.some((link) => parseLink(link).reference === target.name)) continue;
    changed.set(container, {
      ...container.definition,
      hostConfig: { ...hostConfig, ...(hostConfig.Links && { Links: renamed(hostConfig.Links) }) },
      endpoints: Object.fromEntries(
        Object.entries(endpoints).map(([network, { Links, ...settings }]): [string, EndpointSettings] => [
          network,
          { ...settings, ...(Links && { Links: renamed(Links) }) },
        ]),
      ),
    });
  }
  return changed;
}

interface StaleLines {
  linked: Container;
  names: string[][];
}

/** What stands in /etc/hosts of those on the default bridge that are linked to it. */
function linesOfLinks(context: EngineContext, target: Container): StaleLines[] {
  return linkedFrom(context, target).map((linked) => ({
    linked,
    names: linkedContainers(context, linked.definition.hostConfig.Links ?? [])
      .filter(({ container }) => container === target)
      .map(linkNames),
  }));
}

function tellLinked(context: EngineContext, stale: readonly StaleLines[]): void {
  for (const { linked, names } of stale) {
    try {
      updateEtcFiles(
        context,
        linked,
        names.map((each) => ({ names: each, addresses: [] })),
      );
    } catch (error) {
      log("error", "could not tell a container of another's new name", {
        container: linked.id,
        error: errorMessage(error),
      });
    }
  }
}

function invalid(message: string): EngineError {
  return new EngineError("invalid_argument", message, { stage: "rename" });
}
