import { openSync } from "node:fs";
import type { ContainerInspect } from "../../src/api/schema/container.ts";
import { type CommandOptions, type CommandResult, command, succeed, until } from "./command.ts";
import { dockerClient } from "./packages.ts";
import { tsd, type Workspace } from "./workspace.ts";

export interface DaemonOptions {
  flags?: string[];
  /** A program that becomes the daemon, before its executable. */
  wrapper?: string[];
  /** Tells two daemons of one workspace apart: they have directories and sockets of their own. */
  name?: string;
  /** Beside the tests' own environment. */
  env?: Record<string, string>;
  cwd?: string;
}

/** A tsd daemon of a test's own, in its workspace's network namespace. */
export class Daemon {
  readonly #workspace: Workspace;
  readonly #options: DaemonOptions;
  #child: Bun.Subprocess | undefined;
  readonly socket: string;
  readonly root: string;
  readonly state: string;
  readonly logFile: string;

  private constructor(workspace: Workspace, options: DaemonOptions) {
    const { name = "d" } = options;
    this.#workspace = workspace;
    this.#options = options;
    this.socket = workspace.path(`${name}.sock`);
    this.root = workspace.path(name, "root");
    this.state = workspace.path(name, "s");
    this.logFile = workspace.path(`${name}.log`);
  }

  /** Starts it, and has it stopped with all its containers removed before the workspace is looked over. */
  static async start(workspace: Workspace, options: DaemonOptions = {}): Promise<Daemon> {
    const daemon = new Daemon(workspace, options);
    workspace.onClose(`daemon ${daemon.socket}`, () => daemon.#close());
    await daemon.start();
    return daemon;
  }

  get pid(): number {
    if (this.#child === undefined) throw new Error("the daemon is not running");
    return this.#child.pid;
  }

  async start(): Promise<void> {
    const log = openSync(this.logFile, "a");
    const places = ["--root", this.root, "--state", this.state, "-H", `unix://${this.socket}`];
    this.#child = Bun.spawn(
      this.#workspace.inNetwork([
        ...(this.#options.wrapper ?? []),
        tsd,
        "daemon",
        ...places,
        "--cgroup-parent",
        this.#workspace.cgroupParent,
        ...(this.#options.flags ?? []),
      ]),
      {
        stdin: "ignore",
        stdout: log,
        stderr: log,
        env: { ...process.env, ...this.#options.env },
        ...(this.#options.cwd !== undefined && { cwd: this.#options.cwd }),
      },
    );
    await until("the daemon answers", async () => {
      const end = this.#unforeseenEnd();
      if (end !== undefined) throw new Error(`the daemon does not answer: ${end}\n${await this.log()}`);
      return this.#request("GET", "/_ping").then(
        ({ ok }) => ok,
        () => false, // it does not listen yet
      );
    });
  }

  /** Ends the daemon as an administrator does (SIGTERM) or as a crash does (SIGKILL); its containers stay. */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<number> {
    this.#child?.kill(signal);
    return this.ended();
  }

  /** Waits for its end. @returns its exit status; 0 when it does not run. */
  async ended(): Promise<number> {
    const status = (await this.#child?.exited) ?? 0;
    this.#child = undefined;
    return status;
  }

  log(): Promise<string> {
    return Bun.file(this.logFile).text();
  }

  /** The environment that points tsd's and docker's command lines at this daemon, and at nothing of the user's. */
  get env(): Record<string, string> {
    return {
      DOCKER_HOST: `unix://${this.socket}`,
      TSD_HOST: `unix://${this.socket}`,
      DOCKER_CONFIG: this.#workspace.path("docker-config"),
    };
  }

  /** Runs tsd's command line against this daemon. */
  tsd(args: string[], options: CommandOptions = {}): Promise<CommandResult> {
    return command([tsd, ...args], { ...options, env: { ...this.env, ...options.env } });
  }

  /** Runs the docker client against this daemon. */
  docker(args: string[], options: CommandOptions = {}): Promise<CommandResult> {
    return command([dockerClient(), ...args], { ...options, env: { ...this.env, ...options.env } });
  }

  /** A tsd command that has to succeed. @returns its standard output, without the last newline. */
  ok(...args: string[]): Promise<string> {
    return succeed([tsd, ...args], { env: this.env });
  }

  /** What the API says of a container: without a command line in between, which takes more time than the answer. */
  async inspect(container: string): Promise<ContainerInspect> {
    const response = await fetch(`http://tsd/containers/${container}/json`, { unix: this.socket });
    if (!response.ok) throw new Error(`inspect ${container}: ${response.status} ${await response.text()}`);
    return (await response.json()) as ContainerInspect;
  }

  /** Removes all containers by force, also by the API alone. */
  async removeContainers(): Promise<void> {
    const ids = await this.#ids("/containers/json?all=1");
    const answers = await Promise.all(ids.map((id) => this.#request("DELETE", `/containers/${id}?force=1`)));
    const refused = answers.find(({ ok }) => !ok);
    if (refused !== undefined) throw new Error(`${refused.url}: ${refused.status} ${await refused.text()}`);
  }

  /** Removes all images that nothing uses. */
  async removeImages(): Promise<void> {
    for (const id of new Set(await this.#ids("/images/json?all=1"))) {
      await this.#request("DELETE", `/images/${id}?force=1`);
    }
  }

  async #ids(path: string): Promise<string[]> {
    const response = await this.#request("GET", path);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return ((await response.json()) as { Id: string }[]).map(({ Id }) => Id);
  }

  /** By a connection of its own: one that is kept would outlive the daemon. */
  #request(method: string, path: string): Promise<Response> {
    return fetch(`http://tsd${path}`, { unix: this.socket, method, keepalive: false });
  }

  async #close(): Promise<void> {
    const end = this.#unforeseenEnd();
    const log = end === undefined ? "" : await this.log();
    if (end !== undefined) this.#child = undefined;
    if (this.#child === undefined) await this.start();
    await this.removeContainers();
    const status = await this.stop();
    // Said here, or nobody would know why the tests could not reach it: the log goes with the workspace.
    if (end !== undefined) throw new Error(`${end} before the tests were done\n${log}`);
    if (status !== 0) throw new Error(`exit status ${status}\n${await this.log()}`);
  }

  #unforeseenEnd(): string | undefined {
    const { exitCode = null, signalCode = null } = this.#child ?? {};
    if (signalCode !== null) return `${signalCode} had ended it`;
    return exitCode === null ? undefined : `it had ended with ${exitCode}`;
  }
}
