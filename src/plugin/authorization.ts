/** Authorization plugins (https://docs.docker.com/engine/extend/plugins_authorization/): asked before and after each request. */
import { wrapError } from "../core/errors.ts";
import { activate } from "./activation.ts";
import { defaultPluginTimes, fieldOf, PluginClient, PluginGone, PluginRefusal, type PluginTimes } from "./client.ts";

/** Strings, numbers and lists of strings go as they are; bytes as Go's encoding/json writes them, in base64. */
type Message = Record<string, unknown>;

const methods = { request: "AuthZPlugin.AuthZReq", response: "AuthZPlugin.AuthZRes" } as const;

export class AuthorizationPluginClient {
  readonly #client: PluginClient;
  readonly #times: PluginTimes;

  constructor(name: string, directories: readonly string[], times: PluginTimes = defaultPluginTimes) {
    this.#client = new PluginClient(name, directories);
    this.#times = times;
  }

  get name(): string {
    return this.#client.name;
  }

  /** Waits for it as long as for one that is known. @throws EngineError when it is not there, or is no such plugin. */
  async activate(): Promise<void> {
    const { shortMs, patienceMs } = this.#times;
    try {
      await activate(this.#client, "authz", { timeoutMs: shortMs, patienceMs });
    } catch (error) {
      // Where the folders have nothing of it there is nothing else to say.
      if (error instanceof PluginGone && (await this.#client.locate()) === undefined) {
        throw new PluginGone(`plugin "${this.name}" not found`, false, error);
      }
      throw error;
    }
  }

  /** @throws EngineError when it does not answer; PluginRefusal for an answer that is none. */
  async judge(
    phase: "request" | "response",
    message: object,
    signal: AbortSignal,
  ): Promise<{ isAllowed: boolean; reason: string }> {
    const { shortMs, patienceMs } = this.#times;
    const options = { timeoutMs: shortMs, patienceMs, signal };
    const answer = await this.#client.call(methods[phase], encode(message as Message), options);
    return readVerdict(answer, methods[phase]);
  }
}

function encode(message: Message): Message {
  const written: Message = {};
  for (const [name, value] of Object.entries(message)) {
    written[name] = value instanceof Uint8Array ? Buffer.from(value).toString("base64") : value;
  }
  return written;
}

/** What does not say that it allows refuses, as in Docker; one that allows and reports an error is believed the error. */
function readVerdict(answer: Message, method: string): { isAllowed: boolean; reason: string } {
  const isAllowed = fieldOf(answer, "Allow") ?? false;
  const [said, error] = [textOf(answer, "Msg"), textOf(answer, "Err")];
  if (typeof isAllowed !== "boolean") {
    throw new PluginRefusal("internal", `${method}: Allow is neither true nor false: ${JSON.stringify(isAllowed)}`);
  }
  if (isAllowed && error !== "") throw new PluginRefusal("internal", `${method}: ${error}`);
  return { isAllowed, reason: said || error };
}

function textOf(answer: Message, name: string): string {
  const value = fieldOf(answer, name);
  return typeof value === "string" ? value : "";
}

/**
 * Those of the names, each once and in their order, when all of them answer.
 * @throws EngineError that says which does not: a daemon without one of its plugins would allow what that forbids.
 */
export async function openAuthorizationPlugins(
  names: readonly string[],
  directories: readonly string[],
  times?: PluginTimes,
): Promise<AuthorizationPluginClient[]> {
  const plugins = [...new Set(names)].map((name) => new AuthorizationPluginClient(name, directories, times));
  for (const plugin of plugins) {
    try {
      await plugin.activate();
    } catch (error) {
      throw wrapError(error, "error validating authorization plugin", {
        hint: `start the plugin before the daemon, its socket in one of ${directories.join(", ")}, or leave out --authorization-plugin ${plugin.name}`,
      });
    }
  }
  return plugins;
}
