/** The request for a container's story. Apart from Client, so that other commands do not load it. */
import type { ContainerStory } from "../api/schema/story.ts";
import type { Client } from "./client.ts";
import { request } from "./http.ts";

export async function whyOf({ address }: Client, reference: string, lines: number): Promise<ContainerStory> {
  const path = `/tsd/containers/${encodeURIComponent(reference)}/why?lines=${lines}`;
  return (await request(address, "GET", path)).json<ContainerStory>();
}
