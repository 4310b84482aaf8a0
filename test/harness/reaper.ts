/** The image of reaper-program.ts: the pinned Bun, what it needs of this host's libraries, and the program. */
import { join } from "node:path";
import { pinnedBun } from "../../build/pinned.ts";
import { succeed } from "./command.ts";
import type { DockerScene } from "./docker.ts";

/** Brings it into the daemon's store. @returns its reference. */
export async function importReaper(scene: DockerScene): Promise<string> {
  const reference = "reaper:test";
  const program = join(import.meta.dir, "reaper-program.ts");
  const libraries = (await succeed(["ldd", pinnedBun])).matchAll(/(\/\S+) \(0x/g);
  const files = [...[...libraries].map(([, path]) => path!), pinnedBun, program];
  const names = ["--transform", `s,^${pinnedBun.slice(1)}$,bun,`, "--transform", `s,^${program.slice(1)}$,reaper.ts,`];
  const tar = Bun.spawn(["tar", "-cP", "--dereference", "--transform", "s,^/,,", ...names, ...files], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  // By the label its clients and itself know it among the containers of its session.
  const changes = ['ENTRYPOINT ["/bun","/reaper.ts"]', "LABEL org.testcontainers.ryuk=true"];
  const load = Bun.spawn(scene.argv("import", ...changes.flatMap((change) => ["-c", change]), "-", reference), {
    stdin: tar.stdout,
    stdout: "ignore",
    stderr: "inherit",
    env: { ...process.env, ...scene.daemon.env },
  });
  const statuses = await Promise.all([tar.exited, load.exited]);
  if (statuses.some((status) => status !== 0)) throw new Error(`tar and docker import: exit statuses ${statuses}`);
  return reference;
}
