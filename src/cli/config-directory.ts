import { homedir } from "node:os";
import { join } from "node:path";

/** Where docker's config.json is: `--config`, else DOCKER_CONFIG, else ~/.docker. */
export function configDirectory(flag = "", environment: NodeJS.ProcessEnv = process.env): string {
  return flag || environment.DOCKER_CONFIG || join(environment.HOME || homedir(), ".docker");
}
