/** `--use-api-socket`: the daemon's socket and the user's credentials in a container. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { Engine } from "../harness/engine.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open();
}, 60_000);
afterAll(() => engine?.[Symbol.asyncDispose]());

const flags = ["--network", "none", "--use-api-socket"];
const logIn = (config: object) => {
  mkdirSync(engine.workspace.path("docker-config"), { recursive: true });
  writeFileSync(engine.workspace.path("docker-config", "config.json"), JSON.stringify(config));
};

test("Who is logged in nowhere has a container with the socket alone", async () => {
  const inode = statSync(engine.daemon.socket).ino;
  const script = "stat -c '%F %i' /var/run/docker.sock; echo -$DOCKER_CONFIG-; ls /run/secrets";
  const { status, stdout } = await engine.run(flags, ["sh", "-c", script]);
  expect([status, stdout]).toEqual([1, `socket ${inode}\n--\n`]);
});

test("Credentials are put into its own layer before it starts, for root alone", async () => {
  logIn({ auths: { "registry.example": { auth: btoa("me:secret") } }, psFormat: "x" });
  const script = "cat; stat -c ' %a %u' $DOCKER_CONFIG/config.json; cat $DOCKER_CONFIG/config.json; exit 3";
  const file = engine.workspace.path("cid");
  const ran = await engine.run([...flags, "-i", "--cidfile", file], ["sh", "-c", script], { stdin: "input" });
  const config = JSON.stringify({ auths: { "registry.example": { auth: btoa("me:secret") } } });
  expect([ran.status, ran.stdout]).toEqual([3, `input 600 0\n${config}`]);
  expect(readFileSync(file, "utf8")).toMatch(/^[0-9a-f]{64}$/);
  rmSync(file);
  const id = await engine.daemon.ok("create", ...flags, engine.busybox, "sh", "-c", "wc -l $DOCKER_CONFIG/config.json");
  expect(await engine.daemon.ok("start", "-a", id)).toBe("0 /run/secrets/docker/config.json");
  await engine.daemon.ok("rm", id);
  const streams = ["sh", "-c", "echo out; echo err >&2"];
  expect(await engine.run([...flags, "-a", "stdout"], streams)).toMatchObject({ stdout: "out\n", stderr: "" });
  const full = await engine.run([...flags, "--read-only"], ["true"]);
  expect([full.status, full.stderr]).toEqual([125, expect.stringMatching(/^tsd: injecting .* marked read-only\n/)]);
  const mounted = ["--tmpfs", "/run/secrets/", "-v", `${engine.workspace.path("host")}:/run/secrets/docker`];
  const without = await engine.run([...flags, ...mounted], ["sh", "-c", "ls $DOCKER_CONFIG /run/secrets/docker"]);
  expect(without).toMatchObject({ status: 0, stdout: expect.not.stringContaining("config.json") });
  expect(without.stderr).toMatch(/^WARNING: No credentials .*: \/run\/secrets\/docker is a mount of its own\.\n$/);
  const own = await engine.run(
    [...flags, "-e", "DOCKER_CONFIG=/own"],
    ["sh", "-c", "echo $DOCKER_CONFIG; ls /run/secrets"],
  );
  expect([own.status, own.stdout]).toEqual([1, "/own\n"]);
  await engine.untilNoTrace();
});

test("A program for credentials that is not there is named, and no container is left", async () => {
  logIn({ credsStore: "nowhere" });
  const { status, stderr } = await engine.run([...flags, "--cidfile", engine.workspace.path("cid")], ["true"]);
  expect([status, stderr]).toEqual([
    125,
    expect.stringContaining("docker-credential-nowhere: executable file not found"),
  ]);
  expect(() => statSync(engine.workspace.path("cid"))).toThrow("ENOENT");
  await engine.untilNoTrace();
});
