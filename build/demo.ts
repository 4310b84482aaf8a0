/**
 * `bun run demo`: builds tsd, starts a throwaway daemon, runs the embedded image, then pulls and runs an image from
 * a local registry where one can be had, and says what to try next.
 *
 * Nothing of the machine is changed but for packages: the daemon has its own directories, and a network namespace
 * of its own in which the registry runs too. Everything is gone at the end.
 */

import { existsSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.ts";
import { pinnedBun, projectRoot } from "./pinned.ts";

const registryPort = 5000;

if (process.getuid?.() !== 0) {
  console.error("the demo starts a container engine, which needs root: run it with sudo, or as root");
  process.exit(1);
}
if (!process.argv.includes("--inside")) {
  // The rest in a network namespace of its own, so that no bridge and no rule is left on the host.
  await installDemoPackages();
  const again = Bun.spawnSync(["unshare", "--net", pinnedBun, import.meta.path, "--inside"], {
    stdio: ["inherit", "inherit", "inherit"],
    cwd: projectRoot,
  });
  process.exit(again.exitCode);
}

const directory = mkdtempSync("/var/tmp/tsd-demo-");
const socket = join(directory, "tsd.sock");
const children: Bun.Subprocess[] = [];
let failed = false;
try {
  await demo();
} catch (error) {
  failed = true;
  console.error(error instanceof Error ? error.message : error);
} finally {
  await end();
}
process.exit(failed ? 1 : 0);

async function demo(): Promise<void> {
  const tsd = await build();
  Bun.spawnSync(["ip", "link", "set", "lo", "up"], { stderr: "ignore" });
  say(`built ${tsd}`);
  say("starting a throwaway daemon");
  const log = openSync(join(directory, "daemon.log"), "w");
  const places = ["--root", join(directory, "root"), "--state", join(directory, "s"), "-H", `unix://${socket}`];
  start([tsd, "daemon", ...places], log);
  await waitFor("the daemon", async () => (await quietly([tsd, "version"])) === 0);

  say("an image made of tsd itself reports what a container looks like from inside");
  await show(tsd, "run", "--rm", "hello");
  say("the same with less: no capabilities, a memory limit, a read-only root");
  await show(tsd, "run", "--rm", "--cap-drop", "ALL", "--memory", "256m", "--read-only", "hello");

  if (!existsSync("/usr/bin/docker-registry") || !existsSync("/bin/busybox")) {
    say("no docker-registry and busybox on this machine and no way to install them: the pull is left out");
  } else {
    await pulled(tsd);
  }
  console.log(`
What to try next, as root:
  ${tsd} daemon &
  ${tsd} run --rm hello
  ${tsd} run --rm -it REGISTRY/IMAGE sh
  DOCKER_HOST=unix:///run/tsd/tsd.sock docker ps
  ${tsd} --help`);
}

async function pulled(tsd: string): Promise<void> {
  const host = `127.0.0.1:${registryPort}`;
  say("starting a local registry, and pushing a busybox image made of the host's own file");
  const config = join(directory, "registry.yml");
  await Bun.write(
    config,
    `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${directory}/registry}}\nhttp: {addr: "${host}"}\n`,
  );
  start(["docker-registry", "serve", config], openSync(join(directory, "registry.log"), "w"));
  await waitFor("the registry", async () => (await fetch(`http://${host}/v2/`)).ok);
  // Imported here because it needs a package, and the installation of those is the first thing that pinned.ts does.
  const { pushBusybox } = await import("./demo-image.ts");
  await pushBusybox(`http://${host}`, "busybox", "/bin/busybox");
  await show(tsd, "pull", `${host}/busybox`);
  await show(tsd, "run", "--rm", `${host}/busybox`, "sh", "-c", "echo hello from $(hostname), $(busybox | head -1)");
  await show(tsd, "images");
}

function say(text: string): void {
  console.log(`\n==> ${text}`);
}

/** Runs a tsd command for the audience. @throws when it fails. */
async function show(tsd: string, ...args: string[]): Promise<void> {
  console.log(`$ tsd ${args.map((arg) => (/[^\w./:-]/.test(arg) ? `'${arg}'` : arg)).join(" ")}`);
  const child = Bun.spawn([tsd, ...args], { stdio: ["ignore", "inherit", "inherit"], env: environment() });
  const status = await child.exited;
  if (status !== 0) {
    const log = await Bun.file(join(directory, "daemon.log")).text();
    throw new Error(`tsd ${args.join(" ")}: exit status ${status}\nthe daemon's log:\n${log}`);
  }
}

function environment(): Record<string, string | undefined> {
  return { ...process.env, TSD_HOST: `unix://${socket}` };
}

function start(argv: string[], log: number): void {
  children.push(Bun.spawn(argv, { stdin: "ignore", stdout: log, stderr: log }));
}

async function quietly(argv: string[]): Promise<number> {
  return Bun.spawn(argv, { stdio: ["ignore", "ignore", "ignore"], env: environment() }).exited;
}

async function waitFor(what: string, isReady: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (Date.now() < deadline) {
    if (children.some((child) => child.exitCode !== null)) break;
    if (await isReady().catch(() => false)) return;
    await Bun.sleep(20);
  }
  const log = await Bun.file(join(directory, "daemon.log")).text();
  throw new Error(`${what} did not come up\n${log}`);
}

/** The registry needs Debian's package; without root, apt-get or the package the demo does without it. */
async function installDemoPackages(): Promise<void> {
  const missing = Object.entries({
    "docker-registry": "/usr/bin/docker-registry",
    "busybox-static": "/bin/busybox",
    iproute2: "/sbin/ip",
  }).flatMap(([name, file]) => (existsSync(file) ? [] : [name]));
  if (missing.length === 0 || !existsSync("/usr/bin/apt-get")) return;
  say(`installing ${missing.join(" ")}`);
  const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  for (const args of [
    ["update", "-q"],
    ["install", "-qy", "--no-install-recommends", ...missing],
  ]) {
    const child = Bun.spawn(["apt-get", ...args], { stdio: ["ignore", "ignore", "inherit"], env: environment });
    if ((await child.exited) !== 0) return;
  }
}

async function end(): Promise<void> {
  for (const child of children.reverse()) {
    child.kill();
    await child.exited;
  }
  rmSync(directory, { recursive: true, force: true });
}
