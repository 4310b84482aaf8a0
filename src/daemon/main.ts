/** `tsd daemon`: reads its flags, opens the engine, serves the API until it is told to stop. */
import { chownSync } from "node:fs";
import { serviceNotify } from "../../ffi/notify.ts";
import { type ApiApp, createApp } from "../api/app.ts";
import type { AuthorizationPlugin } from "../api/backend/authorization.ts";
import { type ApiServer, type IdentifyClient, listen } from "../api/server.ts";
import { Cleanup } from "../core/cleanup.ts";
import { EngineError, errorMessage, isEngineError } from "../core/errors.ts";
import { log, setLogLevel } from "../core/log.ts";
import { commit, version } from "../core/version.ts";
import type { EngineConfiguration } from "../engine/configuration.ts";
import { makeDirectories } from "../engine/engine.ts";
import { Layout } from "../engine/layout.ts";
import { type ProxySettings, takeProxies } from "../image/registry/proxies.ts";
import { openAuthorizationPlugins } from "../plugin/authorization.ts";
import { defaultPluginDirectories } from "../plugin/discovery.ts";
import { ClientPeers } from "./client-peers.ts";
import { composeEngine } from "./compose.ts";
import { clearSocket, lockDirectory, removePidFile, writePidFile } from "./exclusive.ts";
import { type DaemonOptions, daemonHelp, parseDaemonArguments } from "./flags.ts";
import { socketGroup } from "./socket-group.ts";

/** What the service manager and the shell see of a daemon that could not be started as asked, as with docker. */
const statusUsage = 125;

/** @returns the exit status. */
export async function daemonMain(args: string[]): Promise<number> {
  try {
    const command = parseDaemonArguments(args);
    if (command.kind === "help") {
      process.stdout.write(daemonHelp());
      return 0;
    }
    if (command.kind === "version") {
      process.stdout.write(`tsd version ${version}, build ${commit}\n`);
      return 0;
    }
    assertRoot();
    setLogLevel(command.options.logLevel);
    await serve(command.options);
    return 0;
  } catch (error) {
    process.stderr.write(`tsd daemon: ${errorMessage(error)}\n`);
    if (isEngineError(error) && error.hint !== undefined) process.stderr.write(`${error.hint}\n`);
    return isEngineError(error, "invalid_argument") ? statusUsage : 1;
  }
}

function assertRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new EngineError("forbidden", "must be run as root: it makes namespaces, mounts and cgroups for containers", {
    hint: "use sudo, or let the system start it: systemctl start tsd",
  });
}

async function serve(options: DaemonOptions): Promise<void> {
  const proxies = takeProxies(process.env);
  scrubEnvironment();
  surviveMistakes();
  // Directories are made with modes of their own; no file of the engine is for others to write.
  process.umask(0o022);
  process.chdir("/");
  const gid = socketGroup(options.group);
  const layout = new Layout(options.root, options.state);
  const stop = stopSignal();
  await using cleanup = new Cleanup("the daemon");
  makeDirectories(layout);
  // Both: what another daemon has in the one or the other would look like leftovers here.
  for (const directory of [options.root, options.state]) {
    const lock = lockDirectory(directory);
    cleanup.add(`unlock ${directory}`, () => lock.close());
  }
  for (const host of options.hosts) await clearSocket(socketPath(host));
  const { pidFile } = options;
  if (pidFile !== undefined) {
    writePidFile(pidFile);
    cleanup.add("remove the pid file", () => removePidFile(pidFile));
  }
  const { engine, close } = await composeEngine(configurationOf(options, proxies), layout, options.logLevel);
  cleanup.add("close the engine", close);
  // Now, because a plugin may be in a container of this engine's, which goes on without a daemon.
  const app = createApp(engine, await openPlugins(options), options.experimental);
  for (const host of options.hosts) {
    const server = await listenOn(socketPath(host), app, gid);
    cleanup.add(`close ${host}`, () => server.close());
  }
  log("info", "daemon is ready", { version, commit, root: options.root, hosts: options.hosts.join(",") });
  notify("READY=1");
  setImmediate(() => engine.warmUp());
  const signal = await stop;
  log("info", "daemon is stopping; containers go on", { signal });
  notify("STOPPING=1");
  engine.beginClose();
}

/** Resolves with the first signal that asks the daemon to stop; a second one ends it at once. */
function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => resolve(name));
  });
}

function configurationOf(options: DaemonOptions, proxies: ProxySettings): EngineConfiguration {
  const { root, state, registryMirrors, insecureRegistries, runtimes, defaultRuntime, cgroupParent } = options;
  const { usernsRemap, storage, certificateDirectories, registryTimeoutMs } = options;
  const { maxLayerBytes, maxLayerFiles, pluginDirectories, authorizationPlugins } = options;
  return {
    root,
    state,
    registryMirrors,
    insecureRegistries,
    ...(certificateDirectories !== undefined && { certificateDirectories }),
    proxies,
    ...(registryTimeoutMs !== undefined && { registryTimeoutMs }),
    layerLimits: {
      ...(maxLayerBytes !== undefined && { bytesMax: maxLayerBytes }),
      ...(maxLayerFiles !== undefined && { entriesMax: maxLayerFiles }),
    },
    events: options.events,
    gc: options.gc,
    runtimes,
    defaultRuntime,
    cgroupParent,
    shimPer: options.shimPer,
    ...(usernsRemap !== undefined && { usernsRemap }),
    ...(storage.containerBytes !== undefined && { containerBytes: storage.containerBytes }),
    log: options.log,
    network: options.network,
    ...(pluginDirectories !== undefined && { pluginDirectories }),
    ...(authorizationPlugins.length > 0 && { authorizationPlugins: [...new Set(authorizationPlugins)] }),
    cdiFolders: options.cdiFolders,
    debug: options.logLevel === "debug",
    ...(options.experimental && { experimental: true }),
  };
}

function openPlugins(options: DaemonOptions): Promise<AuthorizationPlugin[]> {
  return openAuthorizationPlugins(options.authorizationPlugins, options.pluginDirectories ?? defaultPluginDirectories);
}

function socketPath(host: string): string {
  return host.slice("unix://".length);
}

function identifyClients(): IdentifyClient {
  const peers = new ClientPeers();
  return () => peers.accepted();
}

/** The socket is never there with another mode than 0660: it is made under that mask. */
async function listenOn(path: string, app: ApiApp, gid: number): Promise<ApiServer> {
  const mask = process.umask(0o117);
  let listening: Promise<ApiServer>;
  try {
    listening = listen(app, { path }, identifyClients);
  } finally {
    process.umask(mask);
  }
  const server = await listening;
  chownSync(path, 0, gid);
  return server;
}

/** A mistake in the handling of one request is reported, and does not end everybody else's. */
function surviveMistakes(): void {
  const report = (what: string) => (error: unknown) => {
    log("error", what, { error: errorMessage(error), stack: error instanceof Error ? error.stack : undefined });
  };
  process.on("unhandledRejection", report("unhandled rejection"));
  process.on("uncaughtException", report("uncaught exception"));
  // Whoever read the log is gone (a closed terminal, a pipe): that cannot be reported there.
  process.stderr.on("error", () => undefined);
}

/** Nothing that makes Bun or Node do other things may reach a child (src/core/self.ts), nor be read again here. */
function scrubEnvironment(): void {
  for (const name of Object.keys(process.env)) if (/^(BUN|NODE)_/.test(name)) delete process.env[name];
}

/** sd_notify(3). A service manager that does not listen is its own problem. */
function notify(message: string): void {
  const address = process.env.NOTIFY_SOCKET;
  if (!address) return;
  try {
    serviceNotify(address, message);
  } catch (error) {
    log("warn", "could not notify the service manager", { message, error: errorMessage(error) });
  }
}
