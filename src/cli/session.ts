import type { Client } from "../client/client.ts";
import { configDirectory } from "./config-directory.ts";
import type { ConnectionFlags, Surroundings } from "./context/current.ts";

/** What a command knows of its surroundings. */
export interface Session extends Surroundings {
  /** The name it was called by, which its messages start with: tsd, or docker. */
  program: string;
  /** The daemon's client, connected on first use. */
  client(): Promise<Client>;
}

/** @param config the value of `--config`. */
export function openSession(
  program: string,
  flags: ConnectionFlags,
  config: string,
  environment: NodeJS.ProcessEnv = process.env,
): Session {
  let client: Promise<Client> | undefined;
  const surroundings: Surroundings = { flags, configDirectory: configDirectory(config, environment), environment };
  return {
    program,
    ...surroundings,
    client: () => {
      client ??= connect(surroundings);
      return client;
    },
  };
}

async function connect(surroundings: Surroundings): Promise<Client> {
  const { daemonAddress } = await import("./context/current.ts");
  const { Client } = await import("../client/client.ts");
  return new Client(await daemonAddress(surroundings));
}
