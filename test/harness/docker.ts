import { type CommandOptions, type CommandResult, command, succeed } from "./command.ts";
import { Daemon } from "./daemon.ts";
import { LiveCommand } from "./live.ts";
import { dockerClient } from "./packages.ts";
import { type Registry, startRegistry } from "./registry.ts";
import { Workspace } from "./workspace.ts";

/** A daemon with the busybox image in its store, and the unmodified docker client to talk to it. */
export class DockerScene {
  readonly workspace: Workspace;
  readonly registry: Registry;
  readonly daemon: Daemon;
  /** The reference of the busybox image. */
  readonly image: string;

  private constructor(workspace: Workspace, registry: Registry, daemon: Daemon, image: string) {
    this.workspace = workspace;
    this.registry = registry;
    this.daemon = daemon;
    this.image = image;
  }

  static async open(flags: string[] = []): Promise<DockerScene> {
    const workspace = await Workspace.open();
    try {
      const registry = await startRegistry(workspace);
      const image = await registry.push("busybox");
      const daemon = await Daemon.start(workspace, { flags });
      const scene = new DockerScene(workspace, registry, daemon, image);
      await scene.ok("pull", "-q", image);
      return scene;
    } catch (error) {
      await workspace[Symbol.asyncDispose]();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.workspace[Symbol.asyncDispose]();
  }

  /** The argument vector of a docker command. */
  argv(...args: string[]): string[] {
    return [dockerClient(), ...args];
  }

  docker(args: string[], options: CommandOptions = {}): Promise<CommandResult> {
    return command(this.argv(...args), { ...options, env: { ...this.daemon.env, ...options.env } });
  }

  /** A docker command that has to succeed. @returns its standard output, without the last newline. */
  ok(...args: string[]): Promise<string> {
    return succeed(this.argv(...args), { env: this.daemon.env });
  }

  /** Runs a shell script in a new container without a network that is removed with its end. */
  sh(script: string, flags: string[] = [], options: CommandOptions = {}): Promise<CommandResult> {
    return this.docker(["run", "--rm", "--network", "none", ...flags, this.image, "sh", "-c", script], options);
  }

  /** Starts a container in the background that runs a shell script. @returns its id. */
  background(name: string, script: string, flags: string[] = []): Promise<string> {
    return this.ok("run", "-d", "--network", "none", "--name", name, ...flags, this.image, "sh", "-c", script);
  }

  /** A docker command that goes on beside the test. */
  live(...args: string[]): LiveCommand {
    return new LiveCommand(this.argv(...args), this.daemon.env);
  }
}
