/** The greeting that every plugin is asked for first, and what all kinds of them have in their answers. */
import { EngineError } from "../core/errors.ts";
import { type CallOptions, fieldOf, type PluginClient, PluginRefusal } from "./client.ts";

/** The plugin is there and is none of the kind that was asked for. Docker's words. */
export class NotImplemented extends EngineError {}

/**
 * Says hello (https://docs.docker.com/engine/extend/plugin_api/#handshake-api).
 * @param kind Docker's name of what the plugin is to be: `VolumeDriver`, `authz`.
 * @throws NotImplemented; PluginGone when it is not there; PluginRefusal.
 */
export async function activate(client: PluginClient, kind: string, options: CallOptions): Promise<void> {
  const answer = await client.call("Plugin.Activate", {}, options);
  assertNoError(answer);
  if (!readImplements(answer).includes(kind)) {
    throw new NotImplemented("invalid_argument", "plugin does not implement the requested driver");
  }
}

/** @throws PluginRefusal with the plugin's own words where it has any. */
export function assertNoError(answer: Record<string, unknown>): void {
  const words = fieldOf(answer, "Err");
  if (typeof words === "string" && words !== "") throw new PluginRefusal("internal", words);
}

function readImplements(answer: Record<string, unknown>): string[] {
  const kinds = fieldOf(answer, "Implements");
  return Array.isArray(kinds) ? kinds.filter((kind) => typeof kind === "string") : [];
}
