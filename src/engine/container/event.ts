/** The events of containers and of what happens with them, with Docker's attributes. */

import type { SandboxEndpoint } from "../../network/sandbox.ts";
import type { EngineContext } from "../context.ts";
import type { EngineEvent, EventDetails } from "../event/bus.ts";
import type { Container } from "./container.ts";

/** The labels, the image, the name, and what the action adds. */
export function containerEvent(
  context: Pick<EngineContext, "events">,
  container: Container,
  action: string,
  attributes: Record<string, string> = {},
  details?: EventDetails,
): EngineEvent {
  const { config } = container.definition;
  const { name } = container;
  const all = { ...config.Labels, image: config.Image ?? "", name, ...attributes };
  return context.events.publish("container", action, container.id, all, details);
}

export function networkEvent(
  context: Pick<EngineContext, "events">,
  action: "connect" | "disconnect",
  endpoint: Pick<SandboxEndpoint, "networkId" | "networkName" | "driver">,
  containerId: string,
): EngineEvent {
  return context.events.publish("network", action, endpoint.networkId, {
    container: containerId,
    name: endpoint.networkName,
    type: endpoint.driver,
  });
}
