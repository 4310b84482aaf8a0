/**
 * What inspect shows of a container after `docker create FLAGS`, from tsd and from Debian's dockerd (20.10), key by key
 * in that daemon's API. Every difference is one of `differences`, with its class.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { command } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { type Peer, startDockerd } from "../harness/peers.ts";
import { RequestRecorder } from "../harness/request-recorder.ts";

const api = "1.41";
let scene: DockerScene;
let dockerd: Peer;
let recorder: RequestRecorder;
const theirIds: string[] = [];
const dockerdSocket = () => dockerd.env.DOCKER_HOST!.slice("unix://".length);

beforeAll(async () => {
  scene = await DockerScene.open();
  const { workspace, daemon } = scene;
  [dockerd, recorder] = await Promise.all([
    startDockerd(workspace),
    RequestRecorder.open(workspace.path("recorder"), daemon.socket),
  ]);
  writeFileSync(workspace.path("env"), "FILE=1\n");
  writeFileSync(workspace.path("labels"), "file=1\n");
  const network = { Name: "net", Internal: true, IPAM: { Config: [{ Subnet: "172.31.7.0/24" }] } };
  // The same subnet in both: one after the other, for the host has it once.
  await ask(daemon.socket, "/networks/create", network);
  await ask(dockerdSocket(), "/networks/create", network);
}, 60_000);

afterAll(async () => {
  await recorder?.[Symbol.asyncDispose]();
  await Promise.all(theirIds.map((id) => ask(dockerdSocket(), `/containers/${id}?v=1`, "DELETE")));
  await scene?.close();
}, 60_000);

/** Any of this machine. */
const blockDevice = readdirSync("/sys/block")
  .map((name) => `/dev/${name}`)
  .find((path) => existsSync(path))!;

/** ENV and LABELS are files, BLOCK is a device. */
const flagSets: Record<string, string> = {
  nothing: "IMAGE",
  "a command": "IMAGE sh -c true",
  "an entry point": "--entrypoint /bin/echo IMAGE one two",
  "no entry point": "--entrypoint= IMAGE one",
  "names and directories": "--name named -h host --domainname example.test -w /tmp -u 1:2 IMAGE",
  variables: "-e A=1 -e B --env-file ENV -e PATH=/bin IMAGE",
  labels: "-l a=1 -l b --label-file LABELS IMAGE",
  "a terminal": "-it IMAGE",
  "input alone": "-i -a stdin -a stdout IMAGE",
  "automatic removal": "--rm IMAGE",
  "a restart policy": "--restart on-failure:3 IMAGE",
  "a restart policy without a count": "--restart always IMAGE",
  "a health check":
    "--health-cmd true --health-interval 5s --health-retries 2 --health-timeout 1m --health-start-period 1s IMAGE",
  "parts of a health check": "--health-interval 5s IMAGE",
  "no health check": "--no-healthcheck IMAGE",
  "a log with options": "--log-driver json-file --log-opt max-size=1m --log-opt tag=x IMAGE",
  "another log driver": "--log-driver syslog --log-opt syslog-address=udp://127.0.0.1:5140 IMAGE",
  "no log": "--log-driver none IMAGE",
  memory: "-m 64m --memory-reservation 32m --memory-swap 128m --memory-swappiness 10 IMAGE",
  "unlimited swap": "-m 64m --memory-swap -1 IMAGE",
  "memory alone": "-m 64m --oom-kill-disable --oom-score-adj 100 IMAGE",
  CPUs: "--cpus 1.5 --cpuset-cpus 0 --cpuset-mems 0 -c 512 IMAGE",
  "CPU time": "--cpu-period 50000 --cpu-quota 25000 IMAGE",
  "real time": "--cpu-rt-period 1000000 --cpu-rt-runtime 1000 IMAGE",
  "rates of devices":
    "--device-read-bps BLOCK:1mb --device-write-bps BLOCK:2mb --device-read-iops BLOCK:3 --device-write-iops BLOCK:4 IMAGE",
  "weights of devices": "--blkio-weight 100 --blkio-weight-device BLOCK:200 IMAGE",
  processes: "--pids-limit 50 --ulimit nofile=10:20 --ulimit core=-1 IMAGE",
  "unlimited processes": "--pids-limit -1 IMAGE",
  devices: "--device /dev/null --device /dev/zero:/dev/nought:r --device-cgroup-rule RULE IMAGE",
  GPUs: "--gpus all --gpus 1,driver=x IMAGE",
  capabilities: "--cap-add NET_ADMIN --cap-add ALL --cap-drop cap_chown IMAGE",
  "all privileges": "--privileged IMAGE",
  "security options": "--security-opt no-new-privileges --security-opt seccomp=unconfined IMAGE",
  "paths of the kernel": "--security-opt systempaths=unconfined IMAGE",
  namespaces: "--pid host --ipc host --uts host --network host --cgroupns host IMAGE",
  "private namespaces": "--ipc shareable --network none IMAGE",
  "a read-only root": "--read-only --tmpfs /run --tmpfs /tmp:size=1m,mode=1777 --shm-size 1m IMAGE",
  mounts: "-v /host:/data:ro -v /anonymous --mount type=tmpfs,dst=/t,tmpfs-size=1m -v named:/named IMAGE",
  "names of others": "--dns 192.0.2.1 --dns-search example.test --dns-option ndots:2 --add-host a:192.0.2.2 IMAGE",
  ports: "-p 8080:80 -p 127.0.0.1::81/udp --expose 82 IMAGE",
  "all ports": "-P --expose 83-84 IMAGE",
  "an end": "--stop-signal SIGINT --stop-timeout 3 --init IMAGE",
  "sysctls and groups": "--sysctl net.ipv4.ip_forward=1 --group-add 5 --group-add tty --cgroup-parent /other IMAGE",
  "volumes of another": "--volumes-from named:ro IMAGE",
  "namespaces of another": "--network container:named --pid container:named IMAGE",
  "links to another": "--link named:other IMAGE",
  "a network": "--network net --network-alias one --link named IMAGE",
  "a network and an address": "--network net --ip 172.31.7.7 IMAGE",
};

/** @param body of a POST, or another method's name. */
async function ask<T>(socket: string, path: string, body?: object | "DELETE"): Promise<T> {
  const response = await fetch(`http://d/v${api}${path}`, {
    unix: socket,
    ...(body === "DELETE" && { method: body }),
    ...(typeof body === "object" && {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
    }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
  return (text === "" ? undefined : JSON.parse(text)) as T;
}

/** Paths in what inspect shows where tsd differs from dockerd 20.10, and why. */
const differences: { path: RegExp; why: string }[] = [
  // Version: Docker 29 shows what tsd shows.
  { path: /^Driver$/, why: "version: 29 has snapshotters" },
  { path: /^GraphDriver\./, why: "version: 29 has snapshotters" },
  { path: /^HostConfig\.NetworkMode$/, why: "version: since 27 default is shown as the network that it is" },
  { path: /^HostConfig\.KernelMemory(TCP)?$/, why: "version: gone since 23" },
  {
    path: /^NetworkSettings\.Networks\.net\.Aliases(\.\d)?$/,
    why: "version: since 25 the short id is among the aliases, for clients of before 1.45, from the beginning",
  },
  { path: /^HostConfig\.MaskedPaths(\.\d+)?$/, why: "version: 29 masks more" },
  // Deliberate.
  { path: /^HostConfig\.Runtime$/, why: "deliberate: both name their own default" },
  {
    path: /^NetworkSettings\.Networks\.[^.]+\.NetworkID$/,
    why: "deliberate: which network it will be on is settled when it is created",
  },
  {
    path: /^Config\.(Hostname|Domainname)$/,
    why: "deliberate: whose network it joins has its names, which dockerd shows from the first start",
  },
];
const seen = new Set<RegExp>();

test.each(Object.entries(flagSets))("%s", async (_name, line) => {
  const [own, theirs] = await createBoth(line);
  const found = differencesOf(comparable(theirs), comparable(own));
  const unclassed = found.filter(({ path }) => {
    const known = differences.filter((difference) => difference.path.test(path));
    for (const difference of known) seen.add(difference.path);
    return known.length === 0;
  });
  expect(unclassed).toEqual([]);
});

test("every difference that is classed is one that there is", () => {
  expect(differences.filter(({ path }) => !seen.has(path))).toEqual([]);
});

type Inspected = Record<string, unknown> & { Mounts: { Destination: string }[] };

/** docker creates the container with tsd, and dockerd is asked for the same. */
async function createBoth(line: string): Promise<[own: Inspected, theirs: Inspected]> {
  const { daemon, workspace, image } = scene;
  const stand: Record<string, string> = {
    IMAGE: image,
    ENV: workspace.path("env"),
    LABELS: workspace.path("labels"),
    RULE: "c 42:* rwm",
  };
  const words = line.split(" ").map((word) => stand[word] ?? word.replace("BLOCK", blockDevice));
  const env = { ...daemon.env, DOCKER_HOST: `unix://${recorder.socket}`, DOCKER_API_VERSION: api };
  recorder.take();
  const { status, stdout, stderr } = await command(scene.argv("create", ...words), { env });
  // What dockerd discards, too, or is not acted on, is said.
  expect([status, stderr.replace(/^WARNING: .*\n/gm, "")]).toEqual([0, ""]);
  const [request] = recorder.take();
  const body = { ...(request!.body as object), Image: dockerd.image };
  const name = request!.query.name === undefined ? "" : `?name=${request!.query.name}`;
  const { Id } = await ask<{ Id: string }>(dockerdSocket(), `/containers/create${name}`, body);
  theirIds.push(Id);
  return Promise.all([
    ask<Inspected>(daemon.socket, `/containers/${stdout.trim()}/json`),
    ask<Inspected>(dockerdSocket(), `/containers/${Id}/json`),
  ]);
}

/** Without what is each container's own: ids, names, times, the image's name and where the daemons' files are. */
function comparable(inspected: Inspected): unknown {
  const { Id: _id, Created: _created, Name, Config, Mounts, ...rest } = inspected;
  const { Hostname, Image: _image, ...config } = Config as Record<string, unknown>;
  const sorted = Mounts.toSorted((a, b) => (a.Destination < b.Destination ? -1 : 1));
  const hostname = String(Hostname).replace(/^[0-9a-f]{12}$/, "<short id>");
  const whole = { ...rest, Config: { ...config, Hostname: hostname }, Mounts: sorted };
  const { root } = scene.daemon;
  const text = JSON.stringify(whole)
    .replaceAll(scene.workspace.path("docker"), "<root>")
    .replaceAll(root, "<root>")
    .replaceAll(String(Name), "<name>")
    .replaceAll(/\b[0-9a-f]{64}\b/g, "<id>");
  return JSON.parse(text);
}

interface Difference {
  path: string;
  theirs: unknown;
  own: unknown;
}

function differencesOf(theirs: unknown, own: unknown, path = ""): Difference[] {
  if (typeof theirs === "object" && typeof own === "object" && theirs !== null && own !== null) {
    const keys = new Set([...Object.keys(theirs), ...Object.keys(own)]);
    return [...keys].flatMap((key) => {
      const [one, other] = [theirs, own].map((side) => (side as Record<string, unknown>)[key]);
      return differencesOf(one, other, path === "" ? key : `${path}.${key}`);
    });
  }
  return Object.is(theirs, own) ? [] : [{ path, theirs, own }];
}
