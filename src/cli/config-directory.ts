import { homedir } from "node:os";
import { join } from "node:path";

/** Where docker's command line keeps what is the user's: `~/.docker`, or DOCKER_CONFIG. */
export function configDirectory(): string {
  return process.env.DOCKER_CONFIG || join(homedir(), ".docker");
}
