/** What a user namespace costs a container's start, whose image is large: 1 GiB in 16,384 files. */
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { succeed } from "../harness/command.ts";
import type { Workspace } from "../harness/workspace.ts";
import type { Engine } from "./engines.ts";
import { interleave, type Measured } from "./measure.ts";

const filesTotal = 16_384;
const fileBytes = 64 * 2 ** 10;

/** Users of the container's own, as each engine's command line has them; docker's are its daemon's. */
const flags: Record<string, string[]> = {
  tsd: ["--userns", "auto"],
  podman: ["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"],
};

/** Each engine that can, with and without, interleaved; what the first container of the image costs, is not counted. */
export async function measureUserNamespaces(
  workspace: Workspace,
  engines: readonly Engine[],
  rounds: number,
): Promise<Measured[]> {
  const archive = await makeArchive(workspace);
  const able = engines.filter(({ name }) => Object.hasOwn(flags, name));
  for (const { prefix, env } of able) await succeed([...prefix, "import", archive, image], { env, timeoutMs: 600_000 });
  const contenders = able.flatMap(({ name, prefix, env, runFlags }) => {
    const run = (more: string[]) => [
      ...prefix,
      "run",
      "--rm",
      ...runFlags,
      ...more,
      "--network",
      "none",
      image,
      "true",
    ];
    return [
      { name, env, argv: run([]) },
      { name: `${name} ${flags[name]![0]}`, env, argv: run(flags[name]!) },
    ];
  });
  return interleave(contenders, rounds);
}

const image = "localhost/large:1";

async function makeArchive(workspace: Workspace): Promise<string> {
  const root = workspace.path("large");
  for (const name of ["bin", "etc", "proc", "sys", "dev", "data"]) mkdirSync(join(root, name), { recursive: true });
  copyFileSync("/bin/busybox", join(root, "bin/busybox"));
  symlinkSync("busybox", join(root, "bin/true"));
  const bytes = crypto.getRandomValues(new Uint8Array(fileBytes));
  for (let file = 0; file < filesTotal; file++) {
    const directory = join(root, "data", String(file % 64));
    mkdirSync(directory, { recursive: true });
    bytes[file % fileBytes]! ^= 1;
    writeFileSync(join(directory, String(file)), bytes);
  }
  const archive = workspace.path("large.tar");
  await succeed(["tar", "-C", root, "-cf", archive, "."], { timeoutMs: 600_000 });
  await succeed(["rm", "-rf", root]);
  return archive;
}
