/** Requests about published ports. Apart from Client, so that other commands do not load them. */
import type { PublishedPortEntry } from "../api/schema/published-port.ts";
import type { Client } from "./client.ts";
import { request } from "./http.ts";

export async function listPorts({ address }: Client): Promise<PublishedPortEntry[]> {
  return (await request(address, "GET", "/tsd/ports")).json<PublishedPortEntry[]>();
}
