/** Restart policies and dependencies as docker-compose 1.29.2 asks for them, over the end of the daemon and the host's. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync } from "node:fs";
import { expectAgreement } from "../harness/audit.ts";
import { command, until } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";

let scene: DockerScene;
let directory: string;
beforeAll(async () => {
  scene = await DockerScene.open();
  directory = scene.workspace.path("project");
  mkdirSync(directory);
});
afterAll(() => scene.close());

/** By their names they would come in another order than by what they need. */
const project = (image: string) => `
version: "2.4"
services:
  api:
    image: ${image}
    command: sh -c "wget -qO- http://store/ || exit 9; exec sleep 1000"
    restart: on-failure
    depends_on: [db]
    links: ["db:store"]
  db:
    image: ${image}
    command: sh -c "echo of db > /index.html; exec httpd -f -p 80 -h /"
    restart: always
  sidecar:
    image: ${image}
    command: sleep 1000
    restart: unless-stopped
    network_mode: "service:db"
  worker:
    image: ${image}
    command: sleep 1000
    restart: unless-stopped
`;

const inspect = (service: string) => scene.daemon.inspect(`p_${service}_1`);
const services = ["api", "db", "sidecar", "worker"];

async function states(): Promise<Record<string, string>> {
  const all = await Promise.all(services.map(async (name) => [name, (await inspect(name)).State.Status] as const));
  return Object.fromEntries(all);
}

/** A service's process and its shim. */
async function processes(service: string): Promise<number[]> {
  const { Pid } = (await inspect(service)).State;
  const stat = readFileSync(`/proc/${Pid}/stat`, "utf8");
  return [Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]), Pid];
}

test("services are started again by their policies, after the host's end in the order of their links, and as they were", async () => {
  await Bun.write(`${directory}/docker-compose.yml`, project(scene.image));
  const env = { ...scene.daemon.env, HOME: directory, COMPOSE_PROJECT_NAME: "p" };
  const up = await command(["docker-compose", "up", "-d"], { cwd: directory, env });
  expect([up.status, up.stderr.match(/error|warn/i)]).toEqual([0, null]);
  const wanted = { api: "running", db: "running", sidecar: "running", worker: "running" };
  await until("all run", async () => Bun.deepEquals(await states(), wanted));
  await scene.daemon.ok("stop", "-t", "0", "p_worker_1");

  // Both at once: sidecar cannot be started before db.
  const [db, sidecar] = [(await inspect("db")).State.Pid, (await inspect("sidecar")).State.Pid];
  for (const pid of [db, sidecar]) process.kill(pid, "SIGKILL");
  const isNew = async (service: string, pid: number) => ![0, pid].includes((await inspect(service)).State.Pid);
  await until("both run again", async () => (await isNew("db", db)) && (await isNew("sidecar", sidecar)));

  const ended = (await Promise.all(["api", "db", "sidecar"].map(processes))).flat();
  await scene.daemon.stop("SIGKILL");
  for (const pid of ended) process.kill(pid, "SIGKILL");
  await scene.daemon.start();
  await until("all run again", async () => {
    const now = await states();
    return ["api", "db", "sidecar"].every((service) => now[service] === "running");
  });
  expect(await states()).toEqual({ ...wanted, worker: "exited" });
  const network = async (service: string) => (await inspect(service)).HostConfig.NetworkMode;
  expect(await network("sidecar")).toBe(`container:${(await inspect("db")).Id}`);
  await until("api has reached db by its link", async () => {
    const { stdout } = await scene.daemon.tsd(["logs", "p_api_1"]);
    return stdout === "of db\nof db\n";
  });
  await expectAgreement(scene.workspace, scene.daemon);
}, 30_000);
