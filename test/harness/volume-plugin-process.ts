/**
 * A volume plugin as administrators install it, for tests: Docker's plugin protocol v1 on a Unix socket, or on a port.
 *
 * `bun volume-plugin-process.ts ADDRESS DIRECTORY [CERTIFICATE KEY AUTHORITY]`. ADDRESS is a path or a port of
 * 127.0.0.1. A volume's files are in DIRECTORY/data/NAME and bound to DIRECTORY/mounts/NAME while anybody has it
 * mounted; what it knows is in DIRECTORY/volumes.json and survives it. Each request is a line of DIRECTORY/requests.
 * DIRECTORY/misbehave.json says what it does instead of answering: `{"VolumeDriver.Mount": {"error": "full"}}`.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { join } from "node:path";
import type { Misbehaviour, PluginRequest } from "./volume-plugin.ts";

interface KnownVolume {
  options: Record<string, string> | null;
  createdAt: string;
  /** Who has it mounted. */
  users: string[];
}

type Known = Record<string, KnownVolume>;
type Answer = Record<string, unknown>;

const [, , address, directory, certificate, key, authority] = process.argv as string[];
const file = (...names: string[]) => join(directory!, ...names);

function readKnown(): Known {
  return existsSync(file("volumes.json")) ? (JSON.parse(readFileSync(file("volumes.json"), "utf8")) as Known) : {};
}

function writeKnown(known: Known): void {
  writeFileSync(file("volumes.json.new"), JSON.stringify(known));
  renameSync(file("volumes.json.new"), file("volumes.json"));
}

function mount(...args: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(args);
  if (exitCode !== 0) throw new Error(stderr.toString());
}

function shown(name: string, volume: KnownVolume): Answer {
  return {
    Name: name,
    Mountpoint: volume.users.length > 0 ? file("mounts", name) : "",
    CreatedAt: volume.createdAt,
    Status: { options: volume.options, users: volume.users.length },
  };
}

function known(all: Known, name: string): KnownVolume {
  const volume = all[name];
  if (volume === undefined) throw new Error(`the plugin has no volume ${name}`);
  return volume;
}

const methods: Record<string, (request: PluginRequest["body"]) => Answer> = {
  "Plugin.Activate": () => ({ Implements: ["VolumeDriver"] }),
  "VolumeDriver.Capabilities": () => ({ Capabilities: { Scope: "global" } }),
  "VolumeDriver.List": () => ({ Volumes: Object.entries(readKnown()).map(([name, each]) => shown(name, each)) }),
  "VolumeDriver.Get": ({ Name }) => ({ Volume: shown(Name, known(readKnown(), Name)) }),
  "VolumeDriver.Path": ({ Name }) => ({ Mountpoint: shown(Name, known(readKnown(), Name)).Mountpoint }),
  "VolumeDriver.Create": ({ Name, Opts }) => {
    const all = readKnown();
    all[Name] ??= { options: Opts ?? null, createdAt: "2024-05-06T07:08:09Z", users: [] };
    mkdirSync(file("data", Name), { recursive: true });
    writeKnown(all);
    return {};
  },
  "VolumeDriver.Remove": ({ Name }) => {
    const all = readKnown();
    if (known(all, Name).users.length > 0) throw new Error(`volume ${Name} is mounted`);
    delete all[Name];
    rmSync(file("data", Name), { recursive: true, force: true });
    writeKnown(all);
    return {};
  },
  "VolumeDriver.Mount": ({ Name, ID }) => {
    const all = readKnown();
    const { users } = known(all, Name);
    const point = file("mounts", Name);
    if (users.length === 0) {
      mkdirSync(point, { recursive: true });
      mount("mount", "--bind", file("data", Name), point);
    }
    if (!users.includes(ID!)) users.push(ID!);
    writeKnown(all);
    return { Mountpoint: point };
  },
  "VolumeDriver.Unmount": ({ Name, ID }) => {
    const all = readKnown();
    const volume = known(all, Name);
    const users = volume.users.filter((user) => user !== ID);
    if (volume.users.length > 0 && users.length === 0) mount("umount", file("mounts", Name));
    volume.users = users;
    writeKnown(all);
    return {};
  },
};

/** @returns whether the request has been dealt with. */
async function misbehave(method: string, response: ServerResponse): Promise<boolean> {
  if (!existsSync(file("misbehave.json"))) return false;
  const all = JSON.parse(readFileSync(file("misbehave.json"), "utf8")) as Record<string, Misbehaviour>;
  const how = all[method];
  if (how === undefined) return false;
  if ("error" in how) response.end(JSON.stringify({ Err: how.error }));
  else if ("status" in how) response.writeHead(how.status).end(how.body);
  else if ("body" in how) response.end(how.body);
  else if ("silent" in how) return true;
  else if ("die" in how) process.kill(process.pid, "SIGKILL");
  else if ("slowMs" in how) {
    await Bun.sleep(how.slowMs);
    return false;
  } else {
    const piece = " ".repeat(65_536);
    const more = () => {
      while (!response.destroyed && response.write(piece));
    };
    response.on("drain", more).on("error", () => response.destroy());
    more();
  }
  return true;
}

async function serve(path: string, text: string, response: ServerResponse): Promise<void> {
  const method = path.slice(1);
  const body = (text === "" ? {} : JSON.parse(text)) as PluginRequest["body"];
  appendFileSync(file("requests"), `${JSON.stringify({ method, body })}\n`);
  if (await misbehave(method, response)) return;
  const run = methods[method];
  if (run === undefined) {
    response.writeHead(404).end("404 page not found\n");
    return;
  }
  response.setHeader("content-type", "application/vnd.docker.plugins.v1.2+json");
  try {
    response.end(JSON.stringify(run(body)));
  } catch (error) {
    response.writeHead(500).end(JSON.stringify({ Err: (error as Error).message }));
  }
}

function listener(): Server {
  const onRequest: Parameters<typeof createServer>[1] = (request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => serve(request.url!, Buffer.concat(pieces).toString(), response));
  };
  if (certificate === undefined) return createServer(onRequest);
  const read = (path: string) => readFileSync(path, "utf8");
  const tls = { cert: read(certificate), key: read(key!), ca: read(authority!), requestCert: true };
  return createTlsServer({ ...tls, rejectUnauthorized: true }, onRequest);
}

if (/^\d+$/.test(address!)) listener().listen(Number(address), "127.0.0.1");
else {
  rmSync(address!, { force: true });
  listener().listen(address!);
}
