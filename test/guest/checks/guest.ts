/** What the checks in the guest share. The daemon is the system's, started by systemd; root is a root without restrictions. */
import { existsSync, readFileSync } from "node:fs";
import {
  type CommandOptions,
  type CommandResult,
  command,
  succeed,
  until as untilWithin,
} from "../../harness/command.ts";

export const executable = "/usr/local/bin/tsd";
export const socket = "/run/tsd/tsd.sock";
/** From the registry that the guest itself runs. */
export const busybox = "127.0.0.1:5001/busybox";

/** As in other tests, with the patience that an emulated processor on a busy machine asks for. */
export function until<T>(what: string, look: () => Promise<T | undefined | false> | T | undefined | false): Promise<T> {
  return untilWithin(what, look, 100_000);
}

export function tsd(args: string[], options?: CommandOptions): Promise<CommandResult> {
  return command([executable, ...args], options);
}

/** A tsd command that has to succeed. @returns its standard output, without the last newline. */
export function ok(...args: string[]): Promise<string> {
  return succeed([executable, ...args]);
}

/** Runs a shell script in a new container that is removed with its end. @returns what it printed. */
export function inContainer(script: string, ...flags: string[]): Promise<string> {
  return ok("run", "--rm", "--network", "none", ...flags, busybox, "sh", "-c", script);
}

/** Starts a container in the background, by the command line where there are flags. @returns its id. */
export async function start(script: string, ...flags: string[]): Promise<string> {
  const Cmd = ["sh", "-c", script];
  if (flags.length > 0) return ok("run", "-d", ...flags, busybox, ...Cmd);
  const { Id } = (await (await request("/containers/create", "POST", { Image: busybox, Cmd })).json()) as {
    Id: string;
  };
  await act(Id, "start");
  return Id;
}

/**
 * Asks the daemon without a command line in between, which takes a second to start where the processor is emulated.
 * What is checked goes through the command line, what the checks only need to know or to clean up through this.
 */
async function request(path: string, method = "GET", body?: object): Promise<Response> {
  const content = body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const response = await fetch(`http://tsd${path}`, { unix: socket, method, ...content });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response;
}

export async function remove(...ids: string[]): Promise<void> {
  for (const id of ids) await request(`/containers/${id}?force=1`, "DELETE");
}

/** Waits for its end. @returns its status. */
export async function ended(id: string): Promise<number> {
  return ((await (await request(`/containers/${id}/wait`, "POST")).json()) as { StatusCode: number }).StatusCode;
}

/** As `pause`, `restart`. */
export async function act(id: string, verb: string): Promise<void> {
  await request(`/containers/${id}/${verb}`, "POST");
}

/** A sample of what a container uses, as it is answered. */
export async function statsOf(id: string): Promise<string> {
  return (await request(`/containers/${id}/stats?stream=0&one-shot=1`)).text();
}

/** Runs a program in a container. @returns its standard output, without the last newline. @throws unless it succeeds. */
export async function inside(id: string, ...Cmd: string[]): Promise<string> {
  const wanted = { Cmd, AttachStdout: true, AttachStderr: true };
  const { Id } = (await (await request(`/containers/${id}/exec`, "POST", wanted)).json()) as { Id: string };
  const output = await textOf(await request(`/exec/${Id}/start`, "POST", {}));
  const { ExitCode } = (await (await request(`/exec/${Id}/json`)).json()) as { ExitCode: number };
  if (ExitCode !== 0) throw new Error(`${Cmd.join(" ")}: exit status ${ExitCode}\n${output}`);
  return output.replace(/\n$/, "");
}

/** What the container has written to its standard output. */
export async function outputOf(id: string): Promise<string> {
  return textOf(await request(`/containers/${id}/logs?stdout=1`));
}

/** The streams of an answer in frames, together. */
export async function textOf(response: Response): Promise<string> {
  const frames = Buffer.from(await response.arrayBuffer());
  const texts: string[] = [];
  for (let at = 0; at < frames.length; at += 8 + frames.readUInt32BE(at + 4)) {
    texts.push(frames.toString("utf8", at + 8, at + 8 + frames.readUInt32BE(at + 4)));
  }
  return texts.join("");
}

export function systemctl(...args: string[]): Promise<string> {
  return succeed(["systemctl", ...args]);
}

/** Properties of the unit, by name. */
export async function unitProperties(...names: string[]): Promise<Record<string, string>> {
  const text = await systemctl("show", "tsd", ...names.flatMap((name) => ["-p", name]));
  return Object.fromEntries(
    text.split("\n").map((line) => [line.split("=", 1)[0]!, line.slice(line.indexOf("=") + 1)]),
  );
}

/** Starts the daemon if no check has done so, and has the image pulled. */
export async function serve(): Promise<void> {
  await systemctl("start", "tsd");
  await until("the registry answers", () => {
    return fetch("http://127.0.0.1:5001/v2/").then(
      ({ ok }) => ok,
      () => false,
    );
  });
  const { status } = await fetch(`http://tsd/images/${busybox}/json`, { unix: socket });
  if (status !== 200) await ok("pull", "-q", busybox);
}

export interface Inspected {
  Id: string;
  State: { Status: string; Pid: number; ExitCode: number; OOMKilled: boolean; Error: string };
  NetworkSettings: { Networks: Record<string, { IPAddress: string; Gateway: string }> };
}

export async function inspect(id: string): Promise<Inspected> {
  return (await request(`/containers/${id}/json`)).json() as Promise<Inspected>;
}

/** The container's directory in the one hierarchy of cgroup v2. */
export function cgroupOf(id: string): string {
  return `/sys/fs/cgroup/tsd/${id}`;
}

/** A file of the container's cgroup, without its last newline. */
export function cgroupFile(id: string, name: string): string {
  return readFileSync(`${cgroupOf(id)}/${name}`, "utf8").trimEnd();
}

export function cgroupExists(id: string): boolean {
  return existsSync(cgroupOf(id));
}

/** A process's cgroup, as the host sees it. */
export function cgroupOfProcess(pid: number | string): string {
  return readFileSync(`/proc/${pid}/cgroup`, "utf8").trimEnd().slice("0::".length);
}
