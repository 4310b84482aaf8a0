/** A daemon with networks and containers on them, and two command lines that are to do the same with it. */
import { expect } from "bun:test";
import { symlinkSync } from "node:fs";
import { apiVersion } from "../../src/core/version.ts";
import { type CommandResult, command } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { type RecordedRequest, RequestRecorder } from "../harness/request-recorder.ts";
import { tsd } from "../harness/workspace.ts";

/** A request that undoes what a command has done. */
export type Step = [method: "DELETE" | "POST", path: string, body?: object];

export interface Outcome extends CommandResult {
  requests: RecordedRequest[];
}

/** `front` has subnets of its own, `back` those of the pools; `peer` runs on front, `idle` does not run. */
export class NetworkScene {
  readonly docker: DockerScene;
  readonly #programs: { path: string; recorder: RequestRecorder }[] = [];

  private constructor(docker: DockerScene) {
    this.docker = docker;
  }

  static async open(): Promise<NetworkScene> {
    const docker = await DockerScene.open();
    const scene = new NetworkScene(docker);
    const own = docker.workspace.path("docker");
    symlinkSync(tsd, own);
    for (const [name, path] of [
      ["docker", docker.argv()[0]!],
      ["tsd", own],
    ] as const) {
      const socket = docker.workspace.path(`${name}.recorder`);
      scene.#programs.push({ path, recorder: await RequestRecorder.open(socket, docker.daemon.socket) });
    }
    const front = ["--subnet", "10.77.0.0/24", "--subnet", "fd77::/64", "--label", "team.colour-code=blue"];
    await docker.ok("network", "create", ...front, "front");
    await docker.ok("network", "create", "--internal", "back");
    await scene.running("peer", ["--network", "front", "--ip", "10.77.0.9"]);
    await docker.ok("create", "--name", "idle", "--network", "front", docker.image, "true");
    return scene;
  }

  async close(): Promise<void> {
    for (const { recorder } of this.#programs) await recorder[Symbol.asyncDispose]();
    await this.docker.close();
  }

  running(name: string, flags: string[]): Promise<string> {
    return this.docker.ok("run", "-d", "--name", name, ...flags, this.docker.image, "sleep", "1000");
  }

  /**
   * Has docker and tsd do the same, and expects the same of both: what they ask the daemon for, print, and end with.
   * @param options.undo done after each; without it they run side by side. IMAGE in `args` stands for an image.
   * @returns what tsd did.
   */
  async expectSame(args: string[], options: { undo?: Step[]; stdin?: string } = {}): Promise<Outcome> {
    const [docker, own] = await this.both(args, options);
    expect(comparable(own)).toEqual(comparable(docker));
    return own;
  }

  async both(
    args: string[],
    { undo, stdin = "" }: { undo?: Step[]; stdin?: string } = {},
  ): Promise<[Outcome, Outcome]> {
    const words = args.map((word) => (word === "IMAGE" ? this.docker.image : word));
    const act = async ({ path, recorder }: { path: string; recorder: RequestRecorder }): Promise<Outcome> => {
      const host = `unix://${recorder.socket}`;
      // Of the same version, for docker prints networks in the order in which they come, which is the version's.
      const asked = { DOCKER_HOST: host, TSD_HOST: host, DOCKER_API_VERSION: apiVersion };
      const env = { ...this.docker.daemon.env, ...asked };
      recorder.take();
      const result = await command([path, ...words], { env, stdin });
      for (const step of undo ?? []) await this.request(...step);
      return { ...result, requests: recorder.take() };
    };
    if (undo === undefined) return (await Promise.all(this.#programs.map(act))) as [Outcome, Outcome];
    return [await act(this.#programs[0]!), await act(this.#programs[1]!)];
  }

  /** @throws when the daemon refuses. */
  async request(...[method, path, body]: Step): Promise<void> {
    const response = await fetch(`http://tsd${path}`, {
      method,
      unix: this.docker.daemon.socket,
      ...(body !== undefined && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  }
}

function comparable({ status, stdout, stderr, requests }: Outcome): object {
  return {
    status,
    stdout: withoutIds(stdout),
    stderr: firstLine(withoutIds(stderr)),
    requests: requests.flatMap(plain),
  };
}

/** Ids are of either's own objects. */
export function withoutIds(text: string): string {
  return text.replace(/\b[0-9a-f]{64}\b/g, "<id>").replace(/\b[0-9a-f]{12}\b/g, "<short id>");
}

/** tsd says whose mistake it was where docker's flags do not; docker's advice beneath an error, and tsd's, are their own. */
function firstLine(text: string): string {
  return text
    .trimStart()
    .split("\n", 1)[0]!
    .replace(/^docker: /, "");
}

/** What a request comes to: `run` is one of tsd's and several of docker's, of which one says what is to be made. */
function plain({ method, path, query, body }: RecordedRequest): unknown[] {
  const isRun = path === "/tsd/run";
  if (!isRun && !path.startsWith("/networks/") && path !== "/containers/create") return [];
  const asked = isRun ? (body as { create: object }).create : body;
  const filters = filtersOf(JSON.parse(query.filters ?? "{}"));
  return [{ method, path: isRun ? "/containers/create" : path, filters, body: meaning(asked) }];
}

/** `{label: {a: true}}` as `{label: ["a"]}`. */
function filtersOf(filters: Record<string, string[] | Record<string, boolean>>): Record<string, string[]> {
  const lists = Object.entries(filters).map(([name, values]): [string, string[]] => {
    return [name, Array.isArray(values) ? values : Object.keys(values)];
  });
  return Object.fromEntries(lists);
}

/** Without what is Go's zero value, what both leave to the daemon, the order of subnets, and the size of a terminal. */
function meaning(value: unknown, key = ""): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    const list = value.map((item) => meaning(item));
    return key === "Config" ? list.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) : list;
  }
  if (key === "ExposedPorts") return Object.keys(value).sort();
  const entries = Object.entries(value)
    .map(([name, field]): [string, unknown] => [name, meaning(field, name)])
    .filter(([name, field]) => !isNothing(name, field));
  return Object.fromEntries(entries);
}

function isNothing(name: string, value: unknown): boolean {
  if (["ConsoleSize", "MemorySwappiness", "RestartPolicy"].includes(name)) return true;
  if (value === false) return !name.startsWith("EnableIPv");
  return (
    value === null || value === "" || value === 0 || (typeof value === "object" && Object.keys(value).length === 0)
  );
}
