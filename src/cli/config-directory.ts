import { join } from "../../ffi/path.ts";

/** Where docker's config.json is: `--config`, else DOCKER_CONFIG, else ~/.docker. */
export function configDirectory(flag = "", environment: NodeJS.ProcessEnv = process.env): string {
  return flag || environment.DOCKER_CONFIG || join(environment.HOME || homeOfUser(), ".docker");
}

/** As /etc/passwd has it. Loaded where nothing says it: node:os costs each command that loads it 0.3 ms. */
function homeOfUser(): string {
  return process.getBuiltinModule("node:os").homedir();
}
