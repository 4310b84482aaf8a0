import type { PublishedPortEntry } from "../schema/published-port.ts";

export interface PortBackend {
  /** Of all running containers. */
  list(): Promise<PublishedPortEntry[]>;
}
