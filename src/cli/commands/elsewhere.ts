/** Commands of docker's that are about what tsd does not have: they take docker's words and flags, and answer. */
import type { Client } from "../../client/client.ts";
import { request } from "../../client/http.ts";
import { EngineError } from "../../core/errors.ts";
import { type Arity, type Command, command } from "../command.ts";
import { documentedFlags } from "../docker-flags.ts";
import { boolFlag, type FlagSet, listFlag } from "../flags.ts";
import type { Session } from "../session.ts";

export interface Elsewhere {
  /** `service create` */
  path: string;
  kind: "swarm" | "plugin" | "build";
  usage: string;
  summary: string;
}

const advice = {
  swarm: "run containers on each host, or a project with compose",
  plugin: "run the plugin as a program or a container: tsd finds volume and authorization plugins by their sockets",
  build: "build with docker-buildx and a builder of driver docker-container, or with buildah, and `load` the image",
};

const absence = {
  swarm: "tsd has no swarm mode",
  plugin: "tsd has no managed plugins",
  build: "tsd builds no images",
};

export function elsewhereCommand({ path, kind, usage, summary }: Elsewhere): Command {
  const inTable = path === "build" ? "image build" : path;
  return command({
    usage,
    summary: `${summary}\n\n${absence[kind]}: ${advice[kind]}.`,
    flags: flagsOf(inTable),
    arity: arityOf(usage),
    interspersed: path !== "service create",
    run: async ({ session, positionals }) => {
      if (kind === "build") return build(session);
      await (kind === "swarm" ? askSwarm : askPlugin)(await session.client(), path, positionals);
      throw new EngineError("unsupported", absence[kind], { hint: advice[kind] });
    },
  });
}

/** With docker's builder as a plugin of the command line, building is what it does, as with docker. */
async function build(session: Session): Promise<number> {
  const { findPlugin, runPlugin } = await import("../plugins/plugins.ts");
  const plugin = session.environment.DOCKER_BUILDKIT === "0" ? undefined : findPlugin("buildx", session);
  if (plugin === undefined) throw new EngineError("unsupported", absence.build, { hint: advice.build });
  const words = session.words.slice(session.words.indexOf("build"));
  return runPlugin(plugin, session, ["buildx", ...words]);
}

/** Docker's words for who is in no swarm are the daemon's. @throws EngineError with them. */
async function askSwarm({ address }: Client, path: string): Promise<void> {
  const [noun, verb] = path.split(" ");
  if (path === "swarm init" || path === "swarm join" || path === "stack config") return;
  if (path === "swarm leave") await request(address, "POST", "/swarm/leave");
  else await request(address, "GET", noun === "swarm" ? "/swarm" : noun === "stack" ? "/services" : `/${noun}s`);
  throw new EngineError(
    "unsupported",
    `${noun} ${verb}: the daemon is in a swarm, which tsd's command line does not know`,
  );
}

/** @throws EngineError not_found, as there is none. */
async function askPlugin({ address }: Client, path: string, [name = ""]: string[]): Promise<void> {
  if (path === "plugin install" || path === "plugin create") return;
  await request(address, "GET", `/plugins/${name.split("/").map(encodeURIComponent).join("/")}/json`);
}

function flagsOf(path: string): FlagSet {
  const flags = (documentedFlags.get(path) ?? []).map(({ name, short, takesValue }) => {
    const options = { hidden: true, ...(short !== undefined && { short }) };
    return [name, takesValue ? listFlag("", options) : boolFlag("", options)] as const;
  });
  return Object.fromEntries(flags);
}

/** `[OPTIONS] NODE [NODE...]`: one or more. */
export function arityOf(usage: string): Arity {
  const words = usage.split(" ").filter((word) => word !== "" && word !== "[OPTIONS]");
  const min = words.filter((word) => !word.startsWith("[")).length;
  return { min, max: words.some((word) => word.includes("...")) ? Number.POSITIVE_INFINITY : words.length };
}
