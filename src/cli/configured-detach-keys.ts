import { readFileSync } from "../../ffi/fs.ts";
import type { Session } from "./session.ts";

/**
 * The keys that leave a terminal: what the command was given, else what docker's config.json names.
 * @returns "" for docker's own. @throws EngineError invalid_argument for a file that has them and cannot be read.
 */
export async function configuredDetachKeys(session: Session, given: string): Promise<string> {
  if (given !== "" || !mayHaveThem(session.configDirectory)) return given;
  const { ConfigFile } = await import("./credentials/config-file.ts");
  return ConfigFile.read(session.configDirectory).detachKeys;
}

/** A glance first: what reads the file properly takes longer to load than a shell takes to start. */
function mayHaveThem(directory: string): boolean {
  try {
    return readFileSync(`${directory}/config.json`, "utf8").includes('"detachKeys"');
  } catch {
    return false; // Who needs the file for more says what is wrong with it.
  }
}
