/** A Debian guest with systemd and cgroup v2, in which check files run as `bun test` runs them. */
import { cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import type { BunPlugin } from "bun";
import { pinnedBun, projectRoot } from "../../build/pinned.ts";
import { command } from "./command.ts";
import { parseCases, type TestCase } from "./junit.ts";
import { guestRig } from "./packages.ts";
import { startRegistry } from "./registry.ts";
import { tsd, type Workspace } from "./workspace.ts";

/** Debian packages that the guest has beside its own. */
const guestPackages = "docker-registry,runc,criu,xfsprogs,nfs-kernel-server,ksmbd-tools";
/** Where the guest has the project, as far as its checks need it. */
const guestRoot = "/opt/tsd";
const modules = join(projectRoot, "node_modules");
/** In the project there: the check files, bundled. */
const bundled = "bundled";

export interface GuestReport {
  /** Of the script in the guest; 124 for a guest that came to no end, 125 for one that did not start. */
  status: number;
  /** Everything that was printed. */
  output: string;
  cases: TestCase[];
}

/** Why there can be no guest on this machine; undefined where there can be one. */
export function whyNoGuest(): string | undefined {
  if (!existsSync(guestRig)) return `there is no ${guestRig}`;
  for (const program of ["qemu-system-x86_64", "mmdebstrap", "mkfs.ext4"]) {
    if (Bun.which(program) === null) return `${program} is not installed`;
  }
  const places = ["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"];
  if (Bun.which("virtiofsd") === null && !places.some((path) => existsSync(path))) {
    return "virtiofsd is not installed";
  }
  return undefined;
}

/**
 * Boots a guest, installs tsd in it as an administrator does, serves the busybox image from a registry there, and
 * runs check files: those of one list one after another, the lists at the same time, for the guest has two processors.
 * @param lists of files relative to the project.
 * @param leftOut names of tests that need not run there.
 */
export async function runInGuest(
  workspace: Workspace,
  lists: readonly (readonly string[])[],
  leftOut: readonly string[],
): Promise<GuestReport> {
  const stage = workspace.path("stage");
  mkdirSync(stage);
  for (const name of ["src", "ffi", "build", "test", "package.json", "tsconfig.json", "bunfig.toml"]) {
    cpSync(join(projectRoot, name), join(stage, name), { recursive: true });
  }
  cpSync("/bin/busybox", join(stage, "busybox"));
  await bundle(lists.flat(), join(stage, bundled));
  await (await startRegistry(workspace)).push("busybox");
  const shares = [
    [stage, ""],
    [dirname(tsd), "/dist"],
    [modules, "/node_modules"],
    [workspace.path("registry-5000"), "/registry"],
  ];
  const { status, stdout, stderr } = await command(
    [
      guestRig,
      ...["--with", guestPackages, "--timeout", "780"],
      ...shares.flatMap(([from, to]) => ["--share", `${from}:${guestRoot}${to}`]),
      "--",
      guestScript(lists, leftOut),
    ],
    // Building the guest's image, where it is not there yet, is included.
    { timeoutMs: 880_000, env: { PATH: `${quickerEmulator(workspace)}:${process.env.PATH}` } },
  );
  const texts = await Promise.all(
    lists.flatMap((_, index) => [`output-${index}`, `report-${index}.xml`].map((name) => textOf(join(stage, name)))),
  );
  return {
    status,
    output: `${stdout}${stderr}${texts.filter((_, index) => index % 2 === 0).join("")}`,
    cases: texts
      .filter((_, index) => index % 2 === 1)
      .flatMap(parseCases)
      .map((found) => ({ ...found, file: found.file && sourceOf(found.file) })),
  };
}

/**
 * A few files of JavaScript in place of hundreds of TypeScript, which to load takes an emulated processor half a
 * minute. They see themselves where their source lies.
 */
async function bundle(files: readonly string[], directory: string): Promise<void> {
  const places: BunPlugin = {
    name: "places",
    setup: (build) => {
      build.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        const place = join(guestRoot, relative(projectRoot, path));
        const own = { dir: dirname(place), path: place, url: `file://${place}` };
        const text = (await Bun.file(path).text()).replaceAll(/\bimport\.meta\.(dir|path|url)\b/g, (_, name) =>
          JSON.stringify(own[name as keyof typeof own]),
        );
        return { contents: text, loader: "ts" };
      });
    },
  };
  await Bun.build({
    entrypoints: files.map((file) => join(projectRoot, file)),
    root: projectRoot,
    outdir: directory,
    target: "bun",
    splitting: true,
    naming: { entry: "[dir]/[name].js", chunk: "chunks/[hash].js" },
    plugins: [places],
  });
}

const bundledFrom = (file: string) => `${bundled}/${file.replace(/ts$/, "js")}`;
const sourceOf = (file: string) => file.replace(`${bundled}/`, "").replace(/js$/, "ts");

/**
 * A directory for PATH with a qemu-system-x86_64 whose guests, where they are emulated, need less of the processor:
 * their kernel fills and copies pages in words, for the emulator does each byte of a `rep movsb` by itself; and it
 * reads the clock from a register, which it mistrusts otherwise, instead of from a device.
 */
function quickerEmulator(workspace: Workspace): string {
  const directory = workspace.path("emulator");
  mkdirSync(directory);
  const script = `#!/bin/bash
if [[ " $* " == *" -accel tcg"* ]]; then
  # The last -cpu counts.
  set -- "\${@/#root=/tsc=reliable root=}" -cpu max,la57=off,erms=off,fsrm=off
fi
exec ${Bun.which("qemu-system-x86_64")} "$@"
`;
  writeFileSync(join(directory, "qemu-system-x86_64"), script, { mode: 0o755 });
  return directory;
}

/** Empty where the guest has not come that far. */
async function textOf(path: string): Promise<string> {
  const file = Bun.file(path);
  return (await file.exists()) ? file.text() : "";
}

function guestScript(lists: readonly (readonly string[])[], leftOut: readonly string[]): string {
  const bun = join(guestRoot, "node_modules", relative(modules, pinnedBun));
  return `set -eu
cd ${guestRoot}
# Code that an emulator has translated once is used again by each process that has it at the same address.
sysctl -qw kernel.randomize_va_space=0
install -m 755 dist/tsd /usr/local/bin/tsd
ln -s tsd /usr/local/bin/tsd-runc
# The root file system of the runtime's own tests is made of it.
install -m 755 busybox /bin/busybox
install -m 644 build/tsd.service /etc/systemd/system/tsd.service
groupadd tsd
systemctl daemon-reload
cat >/root/registry.yml <<END
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: ${guestRoot}/registry/data}}
http: {addr: "127.0.0.1:5001"}
END
docker-registry serve /root/registry.yml &
export TSD_EXECUTABLE=/usr/local/bin/tsd
${lists.map((files, index) => `${testCommand(bun, files, leftOut, index)} & test${index}=$!`).join("\n")}
status=0
${lists.map((_, index) => `wait $test${index} || status=$?`).join("\n")}
exit $status
`;
}

function testCommand(bun: string, files: readonly string[], leftOut: readonly string[], index: number): string {
  const names = leftOut.map((name) => RegExp.escape(name)).join("|");
  const flags = ["--timeout", "200000", "--reporter=junit", `--reporter-outfile=report-${index}.xml`];
  // Bun matches the names of the groups and of the test, joined by spaces.
  const pattern = names === "" ? [] : ["--test-name-pattern", `'^(?!.*(${names})$)'`];
  const words = [bun, "test", ...flags, ...pattern, ...files.map((file) => `./${bundledFrom(file)}`)];
  return `${words.join(" ")} >output-${index} 2>&1`;
}
