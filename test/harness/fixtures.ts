import { createHash } from "node:crypto";
import { existsSync, symlinkSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { succeed } from "./command.ts";

/** Images made of Debian packages, as OCI layouts in a cache that any run may delete. */
const cache = "/var/tmp/tsd-test-images";

type Fixture = "busybox" | "debian";

/** @returns the directory of the fixture's OCI layout, with the tag `latest`. */
export async function imageLayout(fixture: Fixture): Promise<string> {
  const target = join(cache, fixture);
  if (existsSync(target)) return target;
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, "work-"));
  try {
    const rootfs = join(work, "rootfs");
    await mkdir(rootfs, { mode: 0o755 });
    const cmd = fixture === "busybox" ? await makeBusybox(rootfs) : await makeDebian(rootfs);
    const layout = join(work, "layout");
    await writeLayout(layout, rootfs, cmd);
    await rename(layout, target).catch((error: unknown) => {
      if (!existsSync(target)) throw error; // another test file was faster
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return target;
}

/** The static busybox of Debian's busybox-static with all its applets, users, and the usual directories. */
export async function makeBusybox(rootfs: string): Promise<string[]> {
  for (const name of ["bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr/bin", "var"]) {
    await mkdir(join(rootfs, name), { recursive: true, mode: 0o755 });
  }
  await succeed(["chmod", "1777", join(rootfs, "tmp")]);
  await succeed(["cp", "/bin/busybox", join(rootfs, "bin/busybox")]);
  for (const applet of (await succeed(["/bin/busybox", "--list"])).split("\n")) {
    // Hundreds, each of which an emulated processor would take a while to give to a thread and back.
    if (applet !== "busybox") symlinkSync("busybox", join(rootfs, "bin", applet));
  }
  await Bun.write(
    join(rootfs, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nalice:x:1000:1000::/home/alice:/bin/sh\n",
  );
  await Bun.write(
    join(rootfs, "etc/group"),
    "root:x:0:\ndaemon:x:1:\naudio:x:29:alice\nusers:x:100:alice\nalice:x:1000:\n",
  );
  await Bun.write(join(rootfs, "etc/not-executable"), "no program\n");
  return ["sh"];
}

async function makeDebian(rootfs: string): Promise<string[]> {
  await succeed(["mmdebstrap", "--variant=essential", "--quiet", "bookworm", rootfs], { timeoutMs: 600_000 });
  await rm(join(rootfs, "var/cache/apt"), { recursive: true, force: true });
  await rm(join(rootfs, "var/lib/apt/lists"), { recursive: true, force: true });
  return ["bash"];
}

/** Writes an OCI layout of one gzipped layer: OCI image specification, image-layout.md. */
export async function writeLayout(layout: string, rootfs: string, cmd: string[]): Promise<void> {
  await writeImageLayout(layout, [rootfs], { cmd });
}

/** Writes an OCI layout of an image with a gzipped layer of each of these directories, from the bottom up. */
export async function writeImageLayout(
  layout: string,
  directories: readonly string[],
  { cmd, gzipLevel = 1 }: { cmd: string[]; gzipLevel?: number },
): Promise<void> {
  const blobs = join(layout, "blobs", "sha256");
  await mkdir(blobs, { recursive: true });
  const layers: { diffId: string; digest: string; size: number }[] = [];
  for (const directory of directories) layers.push(await writeLayer(blobs, directory, gzipLevel));
  const put = async (mediaType: string, value: object) => {
    const text = JSON.stringify(value);
    const digest = createHash("sha256").update(text).digest("hex");
    await Bun.write(join(blobs, digest), text);
    return { mediaType, digest: `sha256:${digest}`, size: Buffer.byteLength(text) };
  };
  const created = "2026-01-01T00:00:00Z";
  const config = await put("application/vnd.oci.image.config.v1+json", {
    architecture: "amd64",
    os: "linux",
    created,
    config: { Cmd: cmd, Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] },
    rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => `sha256:${diffId}`) },
    history: layers.map(() => ({ created, created_by: "test fixture" })),
  });
  const manifest = await put("application/vnd.oci.image.manifest.v1+json", {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config,
    layers: layers.map(({ digest, size }) => ({
      mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
      digest: `sha256:${digest}`,
      size,
    })),
  });
  await Bun.write(
    join(layout, "index.json"),
    JSON.stringify({
      schemaVersion: 2,
      manifests: [{ ...manifest, annotations: { "org.opencontainers.image.ref.name": "latest" } }],
    }),
  );
  await Bun.write(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
}

async function writeLayer(
  blobs: string,
  directory: string,
  gzipLevel: number,
): Promise<{ diffId: string; digest: string; size: number }> {
  const tar = join(blobs, "layer.tar");
  const owner = ["--numeric-owner", "--xattrs", "--sort=name", "--exclude=./dev/*"];
  await succeed(["tar", ...owner, "-cf", tar, "-C", directory, "."], { timeoutMs: 300_000 });
  const diffId = await sha256File(tar);
  await succeed(["gzip", `-${gzipLevel}`, "-n", tar], { timeoutMs: 300_000 });
  const digest = await sha256File(`${tar}.gz`);
  await rename(`${tar}.gz`, join(blobs, digest));
  return { diffId, digest, size: Bun.file(join(blobs, digest)).size };
}

async function sha256File(path: string): Promise<string> {
  return (await succeed(["sha256sum", path])).split(" ")[0]!;
}
