import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";

/** Pushes a busybox image made of one static file to a registry: OCI distribution specification, "Pushing". */
export async function pushBusybox(registry: string, repository: string, busybox: string): Promise<void> {
  const tar = await busyboxTar(busybox);
  const layer = gzipSync(tar, { level: 1 });
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === "x64" ? "amd64" : process.arch,
      os: "linux",
      config: { Cmd: ["sh"], Env: ["PATH=/bin"] },
      rootfs: { type: "layers", diff_ids: [digest(tar)] },
    }),
  );
  await pushBlob(registry, repository, layer);
  await pushBlob(registry, repository, config);
  const manifest = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: descriptor("application/vnd.oci.image.config.v1+json", config),
    layers: [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer)],
  };
  await put(`${registry}/v2/${repository}/manifests/latest`, JSON.stringify(manifest), manifest.mediaType);
}

async function busyboxTar(busybox: string): Promise<Buffer> {
  const archive = pack();
  for (const name of ["bin/", "dev/", "etc/", "proc/", "sys/", "tmp/"]) {
    archive.entry({ name, type: "directory", mode: name === "tmp/" ? 0o1777 : 0o755 });
  }
  archive.entry({ name: "bin/busybox", mode: 0o755 }, readFileSync(busybox));
  const applets = Bun.spawnSync([busybox, "--list"]).stdout.toString().trim().split("\n");
  for (const applet of applets.filter((name) => name !== "busybox")) {
    archive.entry({ name: `bin/${applet}`, type: "symlink", linkname: "busybox" });
  }
  archive.entry({ name: "etc/passwd" }, "root:x:0:0:root:/root:/bin/sh\n");
  archive.finalize();
  return Buffer.from(await new Response(archive as unknown as ReadableStream).arrayBuffer());
}

async function pushBlob(registry: string, repository: string, blob: Buffer): Promise<void> {
  const begun = await fetch(`${registry}/v2/${repository}/blobs/uploads/`, { method: "POST" });
  const location = begun.headers.get("location");
  if (begun.status !== 202 || location === null) throw new Error(`push to ${registry}: status ${begun.status}`);
  const target = new URL(location, registry);
  target.searchParams.set("digest", digest(blob));
  await put(target.href, blob, "application/octet-stream");
}

async function put(url: string, body: string | Buffer, contentType: string): Promise<void> {
  const response = await fetch(url, { method: "PUT", body, headers: { "content-type": contentType } });
  if (response.status !== 201) throw new Error(`PUT ${url}: status ${response.status} ${await response.text()}`);
}

function digest(data: Uint8Array): string {
  return `sha256:${createHash("sha256").update(data).digest("hex")}`;
}

function descriptor(mediaType: string, data: Uint8Array): object {
  return { mediaType, digest: digest(data), size: data.byteLength };
}
