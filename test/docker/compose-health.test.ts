/** docker-compose 1.29.2 waits for services that others need to be healthy, and gives up when they are not. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { type CommandResult, command } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";

let scene: DockerScene;
let directory: string;
beforeAll(async () => {
  scene = await DockerScene.open();
  directory = scene.workspace.path("project");
  mkdirSync(directory);
});
afterAll(() => scene.close());

/** @param check of `db`, which `web` needs to be healthy. */
const project = (check: string) => `
version: "2.3"
services:
  db:
    image: ${scene.image}
    command: sh -c "sleep 0.3; touch /tmp/ready; exec sleep 1000"
    stop_signal: SIGKILL
    healthcheck: {test: ${check}, interval: 50ms, timeout: 5s, retries: 20, start_period: 1s}
  web:
    image: ${scene.image}
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on: {db: {condition: service_healthy}}
    healthcheck: {disable: true}
`;

async function compose(check: string, ...args: string[]): Promise<CommandResult> {
  await Bun.write(`${directory}/docker-compose.yml`, project(check));
  const env = { ...scene.daemon.env, HOME: directory, COMPOSE_PROJECT_NAME: "healthy" };
  return command(["docker-compose", ...args], { cwd: directory, env });
}

test("starts a service when the one that it needs is healthy", async () => {
  const { status, stderr } = await compose("[CMD, test, -e, /tmp/ready]", "up", "-d");
  expect(stderr).toContain("Creating healthy_web_1");
  expect(status).toBe(0);
  const [db, web] = await Promise.all(["healthy_db_1", "healthy_web_1"].map((name) => scene.daemon.inspect(name)));
  expect(db!.State.Health!.Status).toBe("healthy");
  expect(web!.State.Health).toBeUndefined();
  expect(Date.parse(web!.State.StartedAt) - Date.parse(db!.State.StartedAt)).toBeGreaterThan(300);
  expect(db!.State.Health!.Log!.at(-1)).toMatchObject({ ExitCode: 0, Output: "" });
});

test("starts nothing that needs an unhealthy one, and says so", async () => {
  const { status, stderr } = await compose('"echo asked; exit 1"', "up", "-d", "--no-color");
  expect([status, stderr]).toEqual([1, expect.stringContaining("is unhealthy.")]);
  expect(await scene.ok("ps", "--filter", "health=unhealthy", "--format", "{{.Names}} {{.Status}}")).toMatch(
    /^healthy_db_1 Up .* \(unhealthy\)$/,
  );
});
