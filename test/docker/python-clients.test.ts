/**
 * Debian's docker-py, unmodified, used as its documentation shows, and on top of it docker-compose 1.29.2 with a
 * project of four services, two networks and a volume.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { ClientProgram, testsOf } from "../harness/clients.ts";
import { type CommandResult, command, until } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { LiveCommand } from "../harness/live.ts";

const loop = (script: string) => `sh -c "trap 'exit 0' TERM; ${script}; while :; do sleep 0.1; done"`;

/** @param image of all services. @param password of `db`, which makes it another service when it changes. */
function project(image: string, password: string): string {
  return `
version: "2.4"
services:
  db:
    image: ${image}
    command: sh -c "mkdir /www; echo of db > /www/index.html; exec httpd -f -p 5432 -h /www"
    environment: {PASSWORD: ${password}}
    labels: {tier: storage}
    volumes: ["data:/var/lib/db"]
    networks: {back: {aliases: [database]}}
    stop_signal: SIGKILL
  cache:
    image: ${image}
    command: ${loop("echo cache")}
    networks: [back]
    tmpfs: /scratch
    cap_drop: [ALL]
    read_only: true
  api:
    image: ${image}
    command: ${loop("while ! wget -qO- http://database:5432/; do sleep 0.05; done")}
    depends_on: [db, cache]
    networks: [back, front]
    ports: ["8080"]
    env_file: api.env
    working_dir: /tmp
    ulimits: {nofile: {soft: 256, hard: 512}}
    extra_hosts: ["other:10.11.12.13"]
  web:
    image: ${image}
    command: sh -c "echo started; exec httpd -f -p 80 -h /srv"
    depends_on: [api]
    networks: {front: {ipv4_address: 10.77.0.10}}
    ports: ["127.0.0.1:18081:80/tcp"]
    volumes: ["./site:/srv:ro"]
    restart: unless-stopped
    mem_limit: 64m
    stop_signal: SIGKILL
networks:
  back: {internal: true}
  front: {ipam: {config: [{subnet: 10.77.0.0/24}]}}
volumes:
  data: {labels: {kept: "yes"}}
`;
}

let scene: DockerScene;
let dockerPy: ClientProgram;
let directory: string;

beforeAll(async () => {
  scene = await DockerScene.open();
  dockerPy = await ClientProgram.run(scene, "docker_py.py");
  directory = scene.workspace.path("project");
  mkdirSync(`${directory}/site`, { recursive: true });
  await Bun.write(`${directory}/site/index.html`, "of the host\n");
  await Bun.write(`${directory}/api.env`, "FROM_FILE=of a file\n");
  await Bun.write(`${directory}/docker-compose.yml`, project(scene.image, "first"));
});
afterAll(() => scene.close());

const env = () => ({ ...scene.daemon.env, HOME: directory, COMPOSE_PROJECT_NAME: "show" });

function compose(...args: string[]): Promise<CommandResult> {
  return command(["docker-compose", ...args], { cwd: directory, env: env() });
}

/** A command that has to succeed. @returns its standard output. */
async function ok(...args: string[]): Promise<string> {
  const result = await compose(...args);
  if (result.status !== 0) throw new Error(`docker-compose ${args.join(" ")}: ${result.stdout}${result.stderr}`);
  return result.stdout;
}

const ids = (service: string) => scene.ok("ps", "-aq", "--filter", `label=com.docker.compose.service=${service}`);
const states = () => scene.ok("ps", "-a", "--format", "{{.Names}} {{.State}}");

describe("docker-py", () => {
  for (const name of testsOf("docker_py.py")) test(name, () => dockerPy.expectPassed(name));
});

describe("docker-compose 1.29.2", () => {
  test("brings up four services in the order of what they depend on, with their networks, volume and ports", async () => {
    const { status, stderr } = await compose("up", "-d", "--scale", "cache=2");
    expect(status).toBe(0);
    for (const made of ['network "show_back"', 'network "show_front"', 'volume "show_data"']) {
      expect(stderr).toContain(`Creating ${made}`);
    }
    // The newest first.
    const [web, api, ...first] = (await states()).split("\n");
    expect([web, api, first.sort()]).toEqual([
      "show_web_1 running",
      "show_api_1 running",
      ["show_cache_1 running", "show_cache_2 running", "show_db_1 running"],
    ]);
    const { stdout: page } = await scene.workspace.run(["curl", "-s", "http://127.0.0.1:18081/"]);
    expect(page).toBe("of the host\n");
    expect(await scene.ok("volume", "inspect", "-f", "{{.Labels.kept}}", "show_data")).toBe("yes");
    const format = "{{.Internal}} {{len .Containers}}";
    expect(await scene.ok("network", "inspect", "-f", format, "show_back")).toBe("true 4");
    const limits =
      "{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}} {{.NetworkSettings.Networks.show_front.IPAddress}}";
    expect(await scene.ok("inspect", "-f", limits, "show_web_1")).toBe("67108864 unless-stopped 10.77.0.10");
    await until("api has found db by its alias", async () => (await scene.ok("logs", "show_api_1")) === "of db");
  });

  test("executes in a service, runs one beside it, and tells states and ports", async () => {
    const script = "echo $PASSWORD; echo kept > /var/lib/db/file; exit 3";
    expect(await compose("exec", "-T", "db", "sh", "-c", script)).toMatchObject({ status: 3, stdout: "first\n" });
    const run = "echo $FROM_FILE; pwd; ulimit -n; grep -c 10.11.12.13 /etc/hosts; wget -qO- http://db:5432/";
    expect(await ok("run", "--rm", "api", "sh", "-c", run)).toBe("of a file\n/tmp\n256\n1\nof db\n");
    expect(await ok("ps")).toMatch(/^show_web_1 +sh -c echo started; exec h ... +Up +127\.0\.0\.1:18081->80\/tcp *$/m);
  });

  test("scales down and makes a service anew that has changed, with its volume and its name; others stay", async () => {
    const [web, db] = [await ids("web"), await ids("db")];
    await Bun.write(`${directory}/docker-compose.yml`, project(scene.image, "second"));
    const { status, stderr } = await compose("up", "-d", "--no-color");
    expect([status, stderr.match(/\w+ is up-to-date/g)?.sort()]).toEqual([
      0,
      ["show_api_1 is up-to-date", "show_web_1 is up-to-date"],
    ]);
    expect((await states()).split("\n").sort()).toEqual(
      ["api", "cache", "db", "web"].map((service) => `show_${service}_1 running`),
    );
    expect([await ids("web"), (await ids("db")) === db]).toEqual([web, false]);
    const script = "echo $PASSWORD; cat /var/lib/db/file";
    expect(await scene.ok("exec", "show_db_1", "sh", "-c", script)).toBe("second\nkept");
    expect(await scene.ok("exec", "show_api_1", "wget", "-qO-", "http://database:5432/")).toBe("of db");
  });

  test("follows a service until it ends", async () => {
    const file = ["-f", `${directory}/docker-compose.yml`, "--project-directory", directory];
    const up = ["up", "--no-color", "--abort-on-container-exit", "-t", "5", "web"];
    await using following = new LiveCommand(["docker-compose", ...file, ...up], env());
    await following.shows("web_1    | started\n");
    await scene.ok("kill", "show_web_1");
    // Which status it ends with, and whether it tells the service's, is a matter of which of its threads is first.
    await following.end();
    expect(following.stdout).toEndWith("Aborting on container exit...\n");
    expect(await states()).toContain("show_web_1 exited");
  });

  test("takes everything down, and with -v the volume", async () => {
    await ok("down", "-v", "-t", "5");
    const left = ["ps -aq", "volume ls -q", "network ls -q --filter type=custom"].map((line) =>
      scene.ok(...line.split(" ")),
    );
    expect(await Promise.all(left)).toEqual(["", "", ""]);
  });
});
