/**
 * docker's plugins of the command line: a program `docker-NAME` in one of docker's folders is what `tsd NAME` runs, with
 * docker's own words to it (docker/cli, cli-plugins/manager).
 */
import { accessSync, constants, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { errorMessage, isErrno } from "../../core/errors.ts";
import { currentContext, defaultEndpoint } from "../context/current.ts";
import type { Session } from "../session.ts";

/** docker's, the user's own before the machine's. */
const systemFolders = [
  "/usr/local/lib/docker/cli-plugins",
  "/usr/local/libexec/docker/cli-plugins",
  "/usr/lib/docker/cli-plugins",
  "/usr/libexec/docker/cli-plugins",
];

type Surroundings = Pick<Session, "configDirectory">;

function foldersOf({ configDirectory }: Surroundings): string[] {
  return [...extraFolders(configDirectory), join(configDirectory, "cli-plugins"), ...systemFolders];
}

/** config.json's `cliPluginsExtraDirs`. */
function extraFolders(directory: string): string[] {
  try {
    const { cliPluginsExtraDirs } = JSON.parse(readFileSync(join(directory, "config.json"), "utf8"));
    return Array.isArray(cliPluginsExtraDirs) ? cliPluginsExtraDirs.map(String) : [];
  } catch (error) {
    // Whoever needs more of the file says what is wrong with it.
    if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES") || error instanceof SyntaxError) return [];
    throw error;
  }
}

const namePattern = /^[a-z][a-z0-9]*$/;

/** @returns its path; undefined where there is none by that name. */
export function findPlugin(name: string, surroundings: Surroundings): string | undefined {
  if (!namePattern.test(name)) return undefined;
  return foldersOf(surroundings)
    .map((folder) => join(folder, `docker-${name}`))
    .find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES", "ELOOP")) return false;
    throw error;
  }
}

/** What a plugin says of itself. */
export interface PluginDescription {
  name: string;
  path: string;
  summary: string;
  version: string;
  vendor: string;
  /** Why the program is none, where it does not answer as a plugin does; the rest is empty then. */
  problem?: string;
}

/** The programs that there are in the folders, by name. */
export async function describePlugins(surroundings: Surroundings): Promise<PluginDescription[]> {
  const names = foldersOf(surroundings).flatMap(namesIn);
  const described = [...new Set(names)].sort().map((name) => describe(name, findPlugin(name, surroundings)));
  return (await Promise.all(described)).flatMap((plugin) => plugin ?? []);
}

/** Without the programs that are none. */
export async function validPlugins(surroundings: Surroundings): Promise<PluginDescription[]> {
  return (await describePlugins(surroundings)).filter(({ problem }) => problem === undefined);
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).flatMap((file) => {
      const name = file.replace(/^docker-/, "");
      return name !== file && namePattern.test(name) ? [name] : [];
    });
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return [];
    throw error;
  }
}

async function describe(name: string, path: string | undefined): Promise<PluginDescription | undefined> {
  if (path === undefined) return undefined;
  const isNone = (problem: string) => ({ name, path, summary: "", version: "", vendor: "", problem });
  let text: string;
  try {
    text = await answerOf(path);
  } catch (error) {
    if (error instanceof NoAnswer || isErrno(error, "ENOEXEC", "EACCES", "ENOENT")) {
      return isNone(`failed to fetch metadata: ${errorMessage(error)}`);
    }
    throw error;
  }
  let metadata: Record<string, unknown> | null;
  try {
    metadata = JSON.parse(text) as Record<string, unknown> | null;
  } catch (error) {
    return isNone(`invalid metadata: ${errorMessage(error)}`);
  }
  const { SchemaVersion = "", ShortDescription = "", Vendor = "", Version = "" } = metadata ?? {};
  if (SchemaVersion !== "0.1.0")
    return isNone(`plugin SchemaVersion ${JSON.stringify(SchemaVersion)} is not valid, must be 0.1.0`);
  if (!Vendor) return isNone("plugin metadata does not define a vendor");
  return { name, path, summary: String(ShortDescription), version: String(Version), vendor: String(Vendor) };
}

/** How much a plugin may say of itself, in bytes. */
const answerBytesMax = 1 << 16;
/** How long it may take for that: nobody waits longer for a line of help. */
const answerMs = 5000;

/** It has said nothing that counts: of `message`. */
class NoAnswer extends Error {
  override readonly name = "NoAnswer";
}

/** @throws NoAnswer for what ends otherwise than with status 0, or not in time, or says too much. */
async function answerOf(path: string): Promise<string> {
  const child = Bun.spawn([path, "docker-cli-plugin-metadata"], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  const reader = child.stdout.getReader();
  const giveUp = () => {
    child.kill("SIGKILL");
    // What it has started may hold the pipe still.
    void reader.cancel();
  };
  const timer = setTimeout(giveUp, answerMs);
  try {
    const pieces: Uint8Array[] = [];
    let size = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      pieces.push(value);
      size += value.length;
      if (size > answerBytesMax) giveUp();
    }
    const status = await child.exited;
    if (child.signalCode !== null) throw new NoAnswer(`signal: ${child.signalCode}`);
    if (status !== 0) throw new NoAnswer(`exit status ${status}`);
    return Buffer.concat(pieces).toString();
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Runs a plugin in place of this command.
 * @param words what to say to it behind the global flags; the command line's own otherwise.
 * @returns its exit status, 128 and the signal's number more where one ended it.
 */
export async function runPlugin(path: string, session: Session, words = session.words): Promise<number> {
  let child: Bun.Subprocess | undefined;
  const forward = (signal: NodeJS.Signals) => child?.kill(signal);
  // The terminal sends these to both of us; whoever else sends one means the plugin.
  const forwardTyped = (signal: NodeJS.Signals) => {
    if (!isInForeground(readFileSync("/proc/self/stat", "utf8"))) forward(signal);
  };
  for (const signal of ["SIGINT", "SIGQUIT"] as const) process.on(signal, forwardTyped);
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, forward);
  child = Bun.spawn([path, ...session.globalWords, ...words], {
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
    env: pluginEnvironment(session),
  });
  return child.exited;
}

/**
 * Does what is typed at a terminal reach this process?
 * @param stat /proc/PID/stat: behind the name come state, ppid, pgrp, session, tty_nr and tpgid (proc(5)).
 */
export function isInForeground(stat: string): boolean {
  const [, , group, , terminal, foreground] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return terminal !== "0" && group === foreground;
}

/** A plugin looks for its daemon as docker does: where that is docker's own, it is told of tsd's. */
export function pluginEnvironment(session: Session): Record<string, string | undefined> {
  const { environment, flags } = session;
  const names = flags.hosts.length > 0 || currentContext(session) !== "default";
  return {
    ...environment,
    DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND: process.argv0,
    ...(names ? {} : { DOCKER_HOST: defaultEndpoint(session).host }),
  };
}
