import type { ContainerCreateRequest } from "../../api/schema/container-config.ts";
import type { RunRequest } from "../../api/schema/run-protocol.ts";
import { DetachScanner, defaultDetachKeys, parseDetachKeys } from "../../core/detach-keys.ts";
import { EngineError } from "../../core/errors.ts";
import type { ApiSocket } from "../api-socket.ts";
import { ContainerIdFile } from "../cid-file.ts";
import { command } from "../command.ts";
import { configuredDetachKeys } from "../configured-detach-keys.ts";
import { containerFlags, refusedContainerFlags } from "../container-flags.ts";
import { attachedStreams, createRequest } from "../create-request.ts";
import { mayHaveCredentials } from "../credentials/glance.ts";
import { engineFailed } from "../exit-status.ts";
import { boolFlag, stringFlag, UsageError } from "../flags.ts";
import { consoleSize, refuseTerminalWithoutOne } from "../local-streams.ts";
import { printError, printLine } from "../output.ts";
import { ProgressDisplay, progressOn } from "../progress.ts";
import type { Session } from "../session.ts";

export const runFlags = {
  ...refusedContainerFlags,
  ...containerFlags,
  detach: boolFlag("Run container in background and print container ID", { short: "d" }),
  "detach-keys": stringFlag("Override the key sequence for detaching a container"),
  "sig-proxy": boolFlag("Proxy received signals to the process", { initial: true }),
};

export const runCommand = command({
  usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
  summary: "Create and run a new container from an image",
  aliases: ["container run", "run"],
  flags: runFlags,
  arity: { min: 1, max: Number.POSITIVE_INFINITY },
  interspersed: false,
  errorStatus: engineFailed,
  run: async ({ session, flags, given, positionals }) => {
    const { runContainer } = await import("../run-connection.ts");
    const [image = "", ...args] = positionals;
    const names = given as ReadonlySet<string>;
    const attach = attachedStreams(flags, flags.detach);
    refuseTerminalWithoutOne(flags, attach.has("stdin"));
    warnOfLoopbackServers(flags.dns);
    const asked = createRequest(flags, names, image, args, flags.detach);
    using file = new ContainerIdFile(flags.cidfile);
    const { body: create, inject } = flags["use-api-socket"] ? await withSocket(session, asked) : { body: asked };
    const request: RunRequest = {
      create: { ...create, HostConfig: { ...create.HostConfig, ...consoleSize(flags.tty) } },
      ...(flags.name !== "" && { name: flags.name }),
      ...(flags.platform !== "" && { platform: flags.platform }),
      pull: pullPolicy(flags.pull),
      attach: { stdin: attach.has("stdin"), stdout: attach.has("stdout"), stderr: attach.has("stderr") },
      detach: flags.detach,
    };
    if (inject !== undefined) {
      const { runInjected } = await import("../run-injected.ts");
      const display = () => pullDisplay(flags.quiet, image);
      return await runInjected(session, request, { flags, idFile: file, display, inject });
    }
    const auth = await runAuth(session, { image, platform: flags.platform, pull: request.pull });
    const keys = flags.tty ? await configuredDetachKeys(session, flags["detach-keys"]) : flags["detach-keys"];
    let id = "";
    const exit = await runContainer(await session.client(), request, {
      tty: flags.tty,
      stdin: attach.has("stdin"),
      proxySignals: flags["sig-proxy"],
      detachKeys: new DetachScanner(parseDetachKeys(keys || defaultDetachKeys)),
      progress: pullDisplay(flags.quiet, image),
      auth,
      onCreated: (created) => {
        id = created;
        file.write(created);
      },
    });
    if (flags.detach || attach.size === 0) printLine(id);
    if (exit.Error) throw new EngineError("internal", `Error response from daemon: ${exit.Error.Message}`);
    return exit.detached ? 0 : exit.StatusCode;
  },
});

async function withSocket(session: Session, asked: ContainerCreateRequest): Promise<ApiSocket> {
  return (await import("../api-socket.ts")).withApiSocket(session, asked);
}

async function runAuth(
  session: Session,
  request: { image: string; platform: string; pull: RunRequest["pull"] },
): Promise<string | undefined> {
  if (!mayHaveCredentials(session.configDirectory, request.image)) return undefined;
  return (await import("../credentials/registry-auth.ts")).runAuth(session, request);
}

/** In the container 127.0.0.1 is the container itself: docker's words for the first such `--dns`. */
export function warnOfLoopbackServers(servers: readonly string[]): void {
  const loopback = servers.find((server) => server.startsWith("127.") || server === "::1");
  if (loopback !== undefined) printError(`WARNING: Localhost DNS (${loopback}) may fail in containers.`);
}

export function pullPolicy(text: string): RunRequest["pull"] {
  if (text === "always" || text === "missing" || text === "never") return text;
  throw new UsageError(`invalid pull option: '${text}': must be one of "always", "missing" or "never"`);
}

/** The progress of the pull that a run needs goes to standard error: standard output is the container's. */
export function pullDisplay(quiet: boolean, image: string): ProgressDisplay {
  const display = new ProgressDisplay(progressOn(2, quiet));
  let isFirst = true;
  const show = display.show.bind(display);
  display.show = (message) => {
    if (isFirst && !quiet) printError(`Unable to find image '${withTag(image)}' locally`);
    isFirst = false;
    show(message);
  };
  return display;
}

function withTag(image: string): string {
  return image.includes("@") || image.slice(image.lastIndexOf("/") + 1).includes(":") ? image : `${image}:latest`;
}
