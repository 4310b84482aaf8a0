/** A container's networks change: in its record, and while it runs in the kernel too. */
import type { EndpointSettings } from "../../api/schema/container-config.ts";
import { withCleanup } from "../../core/cleanup.ts";
import { EngineError, errorMessage, isEngineError } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import type { Network } from "../../network/network.ts";
import type { EngineContext } from "../context.ts";
import type { Container } from "./container.ts";
import { checkTogether, settleEndpoint, sharedNamespace } from "./endpoints.ts";
import { updateEtcFiles } from "./etc-files.ts";
import { networkEvent } from "./event.ts";
import { settleLinks } from "./links.ts";
import { endpointRequest } from "./sandbox-request.ts";

/**
 * Puts a container on one more network. The record comes first: a daemon that is killed in between is followed by one
 * that connects what the record has (see reconnect).
 * @throws EngineError in docker's words; the container is then on the networks that it was on before.
 */
export async function connectContainer(
  context: EngineContext,
  container: Container,
  network: Network,
  settings: EndpointSettings,
): Promise<void> {
  await context.locks.run(container.id, async () => {
    checkChangeable(container);
    // It may have been removed while others had the container.
    context.networks.find(network.id);
    const endpoint = settleEndpoint(settings, network);
    if (endpoint.Links) endpoint.Links = settleLinks(context, endpoint.Links);
    checkPlace(context, container, network);
    if (container.state.status === "running") {
      await connectRunning(context, container, network, endpoint);
    } else {
      context.containers.setEndpoints(container, { ...container.definition.endpoints, [network.name]: endpoint });
    }
  });
}

async function connectRunning(
  context: EngineContext,
  container: Container,
  network: Network,
  endpoint: EndpointSettings,
): Promise<void> {
  const { id, definition } = container;
  const { containers, networks } = context;
  if (container.sandbox?.endpoints.some(({ networkId }) => networkId === network.id)) {
    const text = `endpoint with name ${container.name} already exists in network ${network.name}`;
    throw new EngineError("forbidden", text);
  }
  await withCleanup(`connect container ${id}`, async (cleanup) => {
    const { endpoints } = definition;
    cleanup.add("put the record back", () => containers.setEndpoints(container, endpoints));
    containers.setEndpoints(container, { ...endpoints, [network.name]: endpoint });
    container.sandbox = await networks.connect(id, endpointRequest(context, container, network, endpoint));
    cleanup.add("leave the network", async () => {
      container.sandbox = await networks.disconnect(id, network.id);
    });
    updateEtcFiles(context, container);
  });
  tellOf(context, "connect", container, network);
}

/**
 * Takes a container off a network.
 * @param network undefined for one that is gone: it is looked for in the record by `reference`.
 * @throws EngineError in docker's words.
 */
export async function disconnectContainer(
  context: EngineContext,
  container: Container,
  network: Network | undefined,
  reference: string,
): Promise<void> {
  await context.locks.run(container.id, async () => {
    checkChangeable(container);
    const { containers, networks } = context;
    const isRunning = container.state.status === "running";
    const before = container.definition.endpoints;
    const { [nameOnRecord(before, network, reference)]: removed, ...endpoints } = before;
    if (removed === undefined) {
      const text = `container ${container.id} is not connected to network ${network?.name ?? reference}`;
      throw new EngineError("conflict", text);
    }
    if (network?.driver === "host" && isRunning) {
      throw new EngineError(
        "invalid_argument",
        "cannot disconnect container from host network - container was created in host network mode",
      );
    }
    containers.setEndpoints(container, endpoints);
    if (!isRunning || network === undefined) return;
    try {
      container.sandbox = await networks.disconnect(container.id, network.id);
    } catch (error) {
      containers.setEndpoints(container, before);
      throw error;
    }
    tellOf(context, "disconnect", container, network);
    updateEtcFiles(context, container);
  });
}

/** Another network may have taken the name of the one that the container was on. */
function nameOnRecord(
  endpoints: Readonly<Record<string, EndpointSettings>>,
  network: Network | undefined,
  reference: string,
): string {
  const isMeant = ({ NetworkID = "" }: EndpointSettings) =>
    network === undefined ? NetworkID.startsWith(reference) : NetworkID === network.id;
  return Object.entries(endpoints).find(([name, settings]) => name === reference || isMeant(settings))?.[0] ?? "";
}

/**
 * Makes the kernel agree with the record of a container that lived on while the daemon was killed in the middle of a
 * change: what the record has is connected, what it has not is disconnected. What cannot be connected is taken out of
 * the record: nobody was told that it was.
 */
export async function reconnect(context: EngineContext, container: Container): Promise<void> {
  const { sandbox, id } = container;
  // What has no networking at all is not on `none` by its record.
  const canChange = sandbox?.kind === "networks" || sandbox?.kind === "none";
  if (!canChange || container.definition.config.NetworkDisabled) return;
  const wanted = Object.entries(container.definition.endpoints);
  const isWanted = (networkId: string) => wanted.some(([, { NetworkID }]) => NetworkID === networkId);
  const has = (networkId: string) => sandbox.endpoints.some((endpoint) => endpoint.networkId === networkId);
  for (const { networkId, networkName } of [...sandbox.endpoints]) {
    if (isWanted(networkId)) continue;
    log("info", "finishing a disconnection", { container: id, network: networkName });
    container.sandbox = await context.networks.disconnect(id, networkId);
  }
  for (const [name, settings] of wanted) {
    if (settings.NetworkID === undefined || has(settings.NetworkID)) continue;
    try {
      const network = context.networks.find(settings.NetworkID);
      container.sandbox = await context.networks.connect(id, endpointRequest(context, container, network, settings));
      log("info", "finished a connection", { container: id, network: name });
    } catch (error) {
      const { [name]: _failed, ...endpoints } = container.definition.endpoints;
      context.containers.setEndpoints(container, endpoints);
      log("warn", "could not finish a connection", { container: id, network: name, error: errorMessage(error) });
    }
  }
}

function checkChangeable(container: Container): void {
  if (container.removed) throw new EngineError("not_found", `No such container: ${container.id}`);
  const { status } = container.state;
  if (status !== "removing" && status !== "dead") return;
  throw new EngineError(
    "conflict",
    `container ${container.id} is marked for removal and cannot be connected or disconnected to the network`,
  );
}

/** @throws EngineError invalid_argument in docker's words when the container cannot be there beside where it is. */
function checkPlace({ networks }: EngineContext, container: Container, network: Network): void {
  const { endpoints, hostConfig } = container.definition;
  const { NetworkMode = "bridge" } = hostConfig;
  if (NetworkMode.startsWith("container:")) throw new EngineError("invalid_argument", sharedNamespace);
  if (network.driver === "host" && NetworkMode !== "host") {
    throw new EngineError(
      "invalid_argument",
      "cannot connect container to host network - container must be created in host network mode",
    );
  }
  const others = Object.entries(endpoints).flatMap(([name, { NetworkID }]) => {
    if (name === network.name) return [];
    try {
      return [networks.find(NetworkID || name)];
    } catch (error) {
      // One that is gone is in nobody's way.
      if (isEngineError(error, "not_found")) return [];
      throw error;
    }
  });
  checkTogether([...others, network]);
}

function tellOf(context: EngineContext, action: "connect" | "disconnect", container: Container, network: Network) {
  const { id: networkId, name: networkName, driver } = network;
  networkEvent(context, action, { networkId, networkName, driver }, container.id);
}
