/** `-v [SOURCE:]TARGET[:OPTIONS]` as docker's command line takes it apart, before the daemon judges it. */
import { resolve } from "../../ffi/path.ts";
import { EngineError } from "../core/errors.ts";

export interface VolumeFlags {
  /** HostConfig.Binds: those with a source. */
  binds: string[];
  /** Config.Volumes: a new volume at each. */
  anonymous: Record<string, object>;
}

/** The same twice is said once. @throws EngineError invalid_argument in docker's words. */
export function volumeFlags(texts: readonly string[]): VolumeFlags {
  const binds = new Set<string>();
  const anonymous: Record<string, object> = {};
  for (const text of texts) {
    checkSections(text);
    if (text.includes(":")) binds.add(absolute(text));
    else anonymous[text] = {};
  }
  return { binds: [...binds], anonymous };
}

function checkSections(text: string): void {
  if (text === "") throw invalid("invalid empty volume spec");
  const sections = text.split(":");
  if (sections.includes("")) throw invalid(`invalid spec: ${text}: empty section between colons`);
  if (sections.length > 3) throw invalid(`invalid spec: ${text}: too many colons`);
}

/** `./here:/there` names a directory of the client's; a bare word is a volume's name. */
function absolute(bind: string): string {
  const colon = bind.indexOf(":");
  return bind.startsWith(".") ? resolve(bind.slice(0, colon)) + bind.slice(colon) : bind;
}

function invalid(message: string): EngineError {
  return new EngineError("invalid_argument", message);
}
