import type { Client } from "../client/client.ts";
import { configDirectory } from "./config-directory.ts";
import type { Surroundings } from "./context/current.ts";

/** What a command knows of its surroundings. */
export interface Session extends Surroundings {
  /** The name it was called by, which its messages start with: tsd, or docker. */
  program: string;
  /** The global flags as they were given, and the words behind them. */
  globalWords: readonly string[];
  words: readonly string[];
  /** The daemon's client, connected on first use. */
  client(): Promise<Client>;
}

/** What the command line says before anything is looked up. */
export interface CommandLine extends Pick<Session, "program" | "globalWords" | "words" | "flags"> {
  /** The value of `--config`. */
  config: string;
}

export function openSession(
  { config, flags, ...line }: CommandLine,
  environment: NodeJS.ProcessEnv = process.env,
): Session {
  let client: Promise<Client> | undefined;
  const surroundings: Surroundings = { flags, configDirectory: configDirectory(config, environment), environment };
  return {
    ...line,
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
