/** A volume plugin beside the daemon under test: its process, and what it was asked. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { command, until } from "./command.ts";
import type { Workspace } from "./workspace.ts";

/** What the plugin does instead of what it was asked. */
export type Misbehaviour =
  | { error: string }
  | { status: number; body: string }
  | { body: string }
  /** No answer, ever. */
  | { silent: true }
  /** An answer that does not end. */
  | { endless: true }
  | { die: true }
  /** Answers as it should, late. */
  | { slowMs: number };

export interface PluginRequest {
  /** `VolumeDriver.Mount`. */
  method: string;
  body: { Name: string; ID?: string; Opts?: Record<string, string> | null };
}

export interface VolumePluginOptions {
  /** Name of its directory in the workspace. */
  name: string;
  /** The socket's path, or a port of 127.0.0.1. */
  address: string;
  /** PEM files of a server that wants its clients to have a certificate. */
  tls?: { certificate: string; key: string; authority: string };
}

export class VolumePlugin {
  readonly directory: string;
  readonly address: string;
  readonly #workspace: Workspace;
  readonly #options: VolumePluginOptions;
  #child: Bun.Subprocess | undefined;

  constructor(workspace: Workspace, options: VolumePluginOptions) {
    this.#workspace = workspace;
    this.#options = options;
    this.directory = workspace.path(options.name);
    this.address = options.address;
    mkdirSync(this.directory, { recursive: true });
    workspace.onClose(`plugin ${options.name}`, async () => {
      await this.kill();
      for (const name of Object.keys(this.volumes())) await command(["umount", join(this.directory, "mounts", name)]);
    });
  }

  static async start(workspace: Workspace, options: VolumePluginOptions): Promise<VolumePlugin> {
    const plugin = new VolumePlugin(workspace, options);
    await plugin.start();
    return plugin;
  }

  async start(): Promise<void> {
    const { tls } = this.#options;
    const program = join(import.meta.dir, "volume-plugin-process.ts");
    const files = tls === undefined ? [] : [tls.certificate, tls.key, tls.authority];
    const child = Bun.spawn(
      this.#workspace.inNetwork([process.execPath, program, this.address, this.directory, ...files]),
      { stdin: "ignore", stdout: "inherit", stderr: "inherit" },
    );
    this.#child = child;
    const isPort = /^\d+$/.test(this.address);
    const url = isPort ? `telnet://127.0.0.1:${this.address}` : "http://plugin/";
    await until("the plugin listens", async () => {
      if (child.exitCode !== null) throw new Error(`the plugin ended with ${child.exitCode}`);
      const argv = ["curl", "-s", "-m", "1", ...(isPort ? [] : ["--unix-socket", this.address]), url];
      // 7: nobody listens there.
      return (await this.#workspace.run(argv)).status !== 7;
    });
  }

  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
    this.#child = undefined;
  }

  misbehave(how: Record<string, Misbehaviour>): void {
    writeFileSync(join(this.directory, "misbehave.json"), JSON.stringify(how));
  }

  /** All requests since the last `forget`, the oldest first. */
  requests(method?: string): PluginRequest[] {
    const path = join(this.directory, "requests");
    const lines = existsSync(path) ? readFileSync(path, "utf8").split("\n").filter(Boolean) : [];
    const all = lines.map((line) => JSON.parse(line) as PluginRequest);
    return all.filter((each) => method === undefined || each.method === method);
  }

  forget(): void {
    writeFileSync(join(this.directory, "requests"), "");
  }

  /** What it has, with who has it mounted. */
  volumes(): Record<string, { options: Record<string, string> | null; users: string[] }> {
    const path = join(this.directory, "volumes.json");
    return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : {};
  }
}
