import { EngineError, errorMessage } from "../core/errors.ts";
import { ConfigFile } from "./credentials/config-file.ts";
import { printError } from "./output.ts";
import type { Session } from "./session.ts";

/** What docker's config.json says for a list without `--format`; a file that cannot be read keeps nobody from a list. */
export function configuredFormat(
  { configDirectory }: Pick<Session, "configDirectory">,
  name: Parameters<ConfigFile["format"]>[0],
): string {
  try {
    return ConfigFile.read(configDirectory).format(name);
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    printError(`WARNING: Error loading config file: ${errorMessage(error)}`);
    return "";
  }
}
