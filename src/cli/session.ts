import type { Client } from "../client/client.ts";
import { configDirectory } from "./config-directory.ts";

/** What a command knows of its surroundings. */
export interface Session {
  /** The name it was called by, which its messages start with: tsd, or docker. */
  program: string;
  /** The values of `-H`. */
  hosts: string[];
  /** Of docker's config.json: `--config`, else DOCKER_CONFIG, else ~/.docker. */
  readonly configDirectory: string;
  /** The daemon's client, connected on first use. */
  client(): Promise<Client>;
}

export function openSession(program: string, hosts: string[], config: string): Session {
  let client: Promise<Client> | undefined;
  return {
    program,
    hosts,
    configDirectory: configDirectory(config),
    client: () => {
      client ??= connect(hosts);
      return client;
    },
  };
}

async function connect(hosts: string[]): Promise<Client> {
  const { resolveHost } = await import("../client/host.ts");
  const { Client } = await import("../client/client.ts");
  return new Client(resolveHost(hosts));
}
