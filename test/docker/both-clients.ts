/** The unmodified docker client's command line and tsd's, that are to do the same with one daemon. */
import { expect } from "bun:test";
import { mkdirSync, symlinkSync } from "node:fs";
import { apiVersion } from "../../src/core/version.ts";
import { type CommandResult, command } from "../harness/command.ts";
import type { DockerScene } from "../harness/docker.ts";
import { type RecordedRequest, RequestRecorder } from "../harness/request-recorder.ts";
import { tsd } from "../harness/workspace.ts";

/** A request that undoes what a command has done. */
export type Step = [method: "DELETE" | "POST", path: string, body?: object];

export interface Outcome extends CommandResult {
  requests: RecordedRequest[];
}

interface Options {
  /** Done after each; without it they run side by side. */
  undo?: Step[];
  stdin?: string;
  /** tsd's own otherwise: docker prints some things in the order in which they come, which is the version's. */
  dockerApi?: string;
}

export class BothClients {
  readonly docker: DockerScene;
  /** Of the paths of requests that both are to send. */
  readonly #compared: RegExp;
  readonly #programs: { path: string; recorder: RequestRecorder }[] = [];

  protected constructor(docker: DockerScene, compared: RegExp) {
    this.docker = docker;
    this.#compared = compared;
  }

  protected async openClients(): Promise<void> {
    const { workspace, daemon } = this.docker;
    // By this name tsd speaks of itself as docker does.
    const own = workspace.path("bin", "docker");
    mkdirSync(workspace.path("bin"));
    symlinkSync(tsd, own);
    for (const [name, path] of [
      ["docker", this.docker.argv()[0]!],
      ["tsd", own],
    ] as const) {
      const socket = workspace.path(`${name}.recorder`);
      this.#programs.push({ path, recorder: await RequestRecorder.open(socket, daemon.socket) });
    }
  }

  async close(): Promise<void> {
    for (const { recorder } of this.#programs) await recorder[Symbol.asyncDispose]();
    await this.docker.close();
  }

  /**
   * Has docker and tsd do the same, and expects the same of both: what they ask the daemon for, print, and end with.
   * @param args IMAGE stands for an image.
   * @returns what tsd did.
   */
  async expectSame(args: string[], options: Options = {}): Promise<Outcome> {
    const [docker, own] = await this.both(args, options);
    expect(this.#comparable(own)).toEqual(this.#comparable(docker));
    return own;
  }

  async both(args: string[], { undo, stdin = "", dockerApi = apiVersion }: Options = {}): Promise<[Outcome, Outcome]> {
    const words = args.map((word) => (word === "IMAGE" ? this.docker.image : word));
    const act = async ({ path, recorder }: { path: string; recorder: RequestRecorder }): Promise<Outcome> => {
      const host = `unix://${recorder.socket}`;
      const asked = { DOCKER_HOST: host, TSD_HOST: host, DOCKER_API_VERSION: dockerApi };
      const env = { ...this.docker.daemon.env, ...asked };
      recorder.take();
      const result = await command([path, ...words], { env, stdin });
      for (const step of undo ?? []) await this.request(...step);
      // Advice is tsd's alone.
      return { ...result, stderr: result.stderr.replace(/^hint: .*\n/gm, ""), requests: recorder.take() };
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

  #comparable({ status, stdout, stderr, requests }: Outcome): object {
    return {
      status,
      stdout: withoutIds(withoutInitiators(stdout)),
      stderr: firstLine(withoutIds(stderr)),
      requests: requests.flatMap((request) => plain(request, this.#compared)),
    };
  }
}

/** Ids are of either's own objects. */
export function withoutIds(text: string): string {
  return text.replace(/\b[0-9a-f]{64}\b/g, "<id>").replace(/\b[0-9a-f]{12}\b/g, "<short id>");
}

/** Who wanted what an event tells: docker's client knows no such field. */
export function withoutInitiators(text: string): string {
  return text.replace(/,"Initiator":\{[^}]*\}/g, "");
}

/** tsd says whose mistake it was where docker's flags do not; docker's advice beneath an error, and tsd's, are their own. */
function firstLine(text: string): string {
  return text
    .trimStart()
    .split("\n", 1)[0]!
    .replace(/^docker: /, "");
}

/** What a request comes to: `run` is one of tsd's and several of docker's, of which one says what is to be made. */
function plain({ method, path, query, body }: RecordedRequest, compared: RegExp): unknown[] {
  const isRun = path === "/tsd/run";
  if (!isRun && !compared.test(path)) return [];
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

/** Lists of which docker's client, which keeps them in a map of Go's, sends another order each time. */
const unordered = ["Config", "Env"];

/** Without what is Go's zero value, what both leave to the daemon, the order of some lists, and the size of a terminal. */
function meaning(value: unknown, key = ""): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    const list = value.map((item) => meaning(item));
    return unordered.includes(key) ? list.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) : list;
  }
  if (key === "ExposedPorts") return Object.keys(value).sort();
  const entries = Object.entries(value)
    .map(([name, field]): [string, unknown] => [name, meaning(field, name)])
    .filter(([name, field]) => !isNothing(name, field));
  return Object.fromEntries(entries);
}

function isNothing(name: string, value: unknown): boolean {
  if (["ConsoleSize", "MemorySwappiness"].includes(name)) return true;
  if (value === false) return !name.startsWith("EnableIPv");
  return (
    value === null || value === "" || value === 0 || (typeof value === "object" && Object.keys(value).length === 0)
  );
}
