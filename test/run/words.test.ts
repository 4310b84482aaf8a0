/** What the command line does with words that are not about containers: plugins of its own, docker's nouns that tsd lacks. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { archive } from "../../src/tar/tar-fixture.ts";
import { Daemon } from "../harness/daemon.ts";
import { LiveCommand } from "../harness/live.ts";
import { tsd, Workspace } from "../harness/workspace.ts";

let workspace: Workspace;
let daemon: Daemon;
beforeAll(async () => {
  workspace = await Workspace.open();
  daemon = await Daemon.start(workspace, {
    flags: ["--experimental"],
    // Without criu, wherever this runs; the guest's checks have it.
    wrapper: ["env", "PATH=/nowhere"],
  });
}, 60_000);
afterAll(() => workspace?.[Symbol.asyncDispose]());

function plugin(name: string, script: string): void {
  const folder = workspace.path("docker-config", "cli-plugins");
  mkdirSync(folder, { recursive: true });
  const metadata = `{"SchemaVersion":"0.1.0","Vendor":"me","ShortDescription":"Does ${name}"}`;
  const answer = `[ "$1" = docker-cli-plugin-metadata ] && { echo '${metadata}'; exit; }`;
  writeFileSync(`${folder}/docker-${name}`, `#!/bin/sh\n${answer}\n${script}\n`, { mode: 0o755 });
}

describe("a plugin of the command line", () => {
  test("gets the words, the input and the daemon, and its exit status is the command's", async () => {
    plugin("deed", 'echo "[$*] $DOCKER_HOST"; cat; exit 7');
    expect(await daemon.tsd(["-D", "deed", "a b", "--flag"], { stdin: "typed" })).toEqual({
      status: 7,
      stdout: `[-D deed a b --flag] unix://${daemon.socket}\ntyped`,
      stderr: "",
    });
    expect((await daemon.tsd(["help", "deed"])).stdout).toStartWith("[deed --help]");
    expect((await daemon.tsd(["--help"])).stdout).toMatch(/^ {2}deed\* +Does deed$/m);
  });

  test.each(["SIGTERM", "SIGINT"] as const)("is told of the %s that ends the command, and both end", async (signal) => {
    plugin("patience", 'trap "echo ended; exit 3" TERM INT; echo began; while :; do sleep 0.01; done');
    // Without a terminal, which sends SIGINT to both.
    const command = new LiveCommand(["setsid", "-w", tsd, "patience"], daemon.env);
    await command.shows("began");
    command.kill(signal);
    expect([await command.end(), command.stdout]).toEqual([3, "began\nended\n"]);
  });

  test("of building images takes docker's words for it", async () => {
    expect(await daemon.tsd(["build", "-t", "x", "."])).toEqual({
      status: 1,
      stdout: "",
      stderr:
        "tsd builds no images\nhint: build with docker-buildx and a builder of driver docker-container, or with buildah, and `load` the image\n",
    });
    plugin("buildx", 'echo "[$*]"');
    expect((await daemon.tsd(["-D", "image", "build", "-t", "x", "."])).stdout).toBe("[-D buildx build -t x .]\n");
    expect((await daemon.tsd(["build", "."], { env: { DOCKER_BUILDKIT: "0" } })).status).toBe(1);
  });
});

describe("what docker has and tsd has not", () => {
  const noSwarm =
    'Error response from daemon: This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.\n' +
    "hint: tsd has no swarm mode: run containers on each host, or a project with compose\n";

  test.each<[words: string, stderr: string]>([
    ["node ls", noSwarm],
    ["service create --replicas 2 --name x busybox sleep --nope", noSwarm],
    ["stack deploy -c file name", noSwarm],
    ["secret inspect x", noSwarm],
    ["swarm join-token worker", noSwarm],
    ["swarm leave -f", "Error response from daemon: This node is not part of a swarm\nhint: tsd has no swarm mode"],
    ["swarm init --autolock", "tsd has no swarm mode\nhint: run containers on each host"],
    ["plugin disable x/y:z", 'Error response from daemon: plugin "x/y:z" not found\n'],
    ["inspect --type node x", noSwarm],
    ["inspect --type plugin x", 'Error response from daemon: plugin "x" not found\n'],
    [
      "inspect --type bogus x",
      'unknown type: "bogus": must be one of "config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume"\n',
    ],
    ["plugin install x", "tsd has no managed plugins\nhint: run the plugin as a program or a container"],
    ["compose up", "tsd: unknown command: tsd compose\nhint: install Docker's Compose as ~/.docker/cli-plugins/"],
  ])("%s is answered", async (words, stderr) => {
    const said = await daemon.tsd(words.split(" "));
    // As docker: what was found is printed, be it nothing.
    const stdout = /^inspect --type (node|plugin)/.test(words) ? "[]\n" : "";
    expect(said).toMatchObject({ status: 1, stdout });
    expect(said.stderr).toStartWith(stderr);
  });

  test("is empty where it can be listed, and takes no wrong words", async () => {
    expect((await daemon.tsd(["plugin", "ls"])).stdout).toBe("ID        NAME      DESCRIPTION   ENABLED\n");
    expect((await daemon.tsd(["builder", "prune", "-f"])).stdout).toBe("Total reclaimed space: 0B\n");
    const wrong = await daemon.tsd(["service", "rm"]);
    expect([wrong.status, wrong.stderr.split("\n")[0]]).toEqual([
      1,
      "tsd: 'tsd service rm' requires at least 1 argument",
    ]);
    expect(await daemon.tsd(["node", "ls", "--nope"])).toMatchObject({
      status: 125,
      stderr:
        "unknown flag: --nope\n\nUsage:  tsd node ls [OPTIONS]\n\nRun 'tsd node ls --help' for more information\n",
    });
  });
});

describe("checkpoints", () => {
  test("are there for docker's client where the daemon says that it is experimental", async () => {
    expect(await daemon.ok("version", "--format", "{{.Server.Experimental}}")).toBe("true");
    for (const words of ["ls x", "create x c1", "rm x c1"]) {
      const [docker, own] = await Promise.all([
        daemon.docker(["checkpoint", ...words.split(" ")]),
        daemon.tsd(["checkpoint", ...words.split(" ")]),
      ]);
      const expected = { status: 1, stdout: "", stderr: "Error response from daemon: No such container: x\n" };
      expect(docker).toEqual(expected);
      expect(own).toMatchObject({ ...expected, stderr: expect.stringContaining(expected.stderr) });
    }
  });
});

describe("a checkpoint without criu", () => {
  test("is refused with what to install, the container goes on, and nothing is left of it", async () => {
    const image = archive([
      { name: "bin/" },
      { name: "bin/sleep", mode: 0o755, data: new Uint8Array(readFileSync("/bin/busybox")) },
    ]);
    expect((await daemon.tsd(["import", "-", "base"], { stdin: image })).status).toBe(0);
    const id = await daemon.ok("run", "-d", "--network", "none", "--name", "still", "base", "sleep", "600");
    const refused = await daemon.tsd(["checkpoint", "create", "still", "c1"]);
    expect([refused.status, refused.stderr]).toEqual([
      1,
      expect.stringContaining("cannot checkpoint container still: criu is not installed: install the package criu"),
    ]);
    expect(await daemon.ok("inspect", "--format", "{{.State.Status}}", "still")).toBe("running");
    expect(await daemon.ok("checkpoint", "ls", "still")).toBe("CHECKPOINT NAME");
    expect(readdirSync(`${daemon.root}/containers/${id}/checkpoints`)).toEqual([]);
    await daemon.ok("rm", "-f", "still");
  });
});

describe("system dial-stdio", () => {
  test("is a connection to the daemon, until either end closes it", async () => {
    const ask = "GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    const { status, stdout } = await daemon.tsd(["system", "dial-stdio"], { stdin: ask });
    expect(status).toBe(0);
    expect(stdout).toMatch(/^HTTP\/1\.1 200 OK\r\n(.|\r\n)*\r\n\r\n(2\r\n)?OK/);
  });

  test("carries docker's client, as through ssh", async () => {
    const folder = workspace.path("bin");
    mkdirSync(folder);
    // What ssh would do on the other machine.
    const ssh = `#!/bin/sh\nwhile [ "$1" != docker ]; do shift; done; shift; exec '${tsd}' "$@"\n`;
    writeFileSync(`${folder}/ssh`, ssh, { mode: 0o755 });
    const env = {
      TSD_HOST: `unix://${daemon.socket}`,
      DOCKER_HOST: "ssh://somewhere",
      PATH: `${folder}:${process.env.PATH}`,
    };
    expect(await daemon.docker(["version", "--format", "{{.Server.Os}}"], { env })).toEqual({
      status: 0,
      stdout: "linux\n",
      stderr: "",
    });
  });
});
