import { createCipheriv, createHash } from "node:crypto";
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { pinnedBun } from "../../build/pinned.ts";
import { command, until } from "../harness/command.ts";
import type { Workspace } from "../harness/workspace.ts";
import type { Exchange, Rule } from "./registry-server.ts";

export type Compression = "gzip" | "zstd" | "none";

export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
}

export interface ImageOptions {
  compression?: Compression;
  /** Docker's media types in place of OCI's. */
  docker?: boolean;
  architecture?: string;
  cmd?: string[];
  /** Changes of the documents before they are filed. */
  editConfig?: (config: Record<string, unknown>) => void;
  editManifest?: (manifest: { config: Descriptor; layers: Descriptor[] }) => void;
}

const oci = "application/vnd.oci.image";
const docker = "application/vnd.docker";

/** What a registry that means harm, or is broken, serves to one test file's daemon. */
export class HostileRegistry {
  readonly host: string;
  readonly #directory: string;

  private constructor(host: string, directory: string) {
    this.host = host;
    this.#directory = directory;
  }

  /** @param tls HTTPS is spoken too, on the next port. */
  static async start(
    workspace: Workspace,
    port = 5555,
    tls?: { certificate: string; key: string },
  ): Promise<HostileRegistry> {
    const directory = workspace.path(`hostile-${port}`);
    for (const name of ["blobs", "manifests"]) mkdirSync(join(directory, name), { recursive: true });
    const registry = new HostileRegistry(`127.0.0.1:${port}`, directory);
    registry.misbehave();
    const log = openSync(join(directory, "log"), "w");
    const script = join(import.meta.dir, "registry-server.ts");
    const certificate = tls ? [tls.certificate, tls.key] : [];
    const argv = workspace.inNetwork([pinnedBun, script, String(port), directory, ...certificate]);
    const child = Bun.spawn(argv, { stdin: "ignore", stdout: log, stderr: log });
    workspace.onClose("hostile registry", async () => {
      child.kill("SIGKILL");
      await child.exited;
    });
    await until("the registry answers", async () => {
      if (child.exitCode !== null) throw new Error(readFileSync(join(directory, "log"), "utf8"));
      return (await command(workspace.inNetwork(["curl", "-sf", `http://${registry.host}/v2/`]))).status === 0;
    });
    return registry;
  }

  /** Sets how requests are answered from now on; without an argument, all rightly. */
  misbehave(...rules: Rule[]): void {
    writeFileSync(join(this.#directory, "rules.json"), JSON.stringify(rules));
  }

  /** The requests that came, each as `METHOD PATH RANGE`, and as `LEFT PATH` when the client went before the end. */
  requests(): string[] {
    return readFileSync(join(this.#directory, "requests"), "utf8").trimEnd().split("\n");
  }

  /** Bytes of bodies that it has sent in all; those of an answer that goes on count too. */
  sentBytes(): number {
    const path = join(this.#directory, "sent");
    // A number that is just being written reads as 0.
    return existsSync(path) ? Number(readFileSync(path, "utf8")) : 0;
  }

  /** What has been answered, in the order of the answers' ends. */
  exchanges(): Exchange[] {
    const lines = readFileSync(join(this.#directory, "exchanges"), "utf8").trimEnd().split("\n");
    return lines.map((line) => JSON.parse(line) as Exchange);
  }

  addBlob(bytes: Uint8Array, mediaType: string): Descriptor {
    const digest = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(this.#directory, "blobs", digest), bytes);
    return { mediaType, digest: `sha256:${digest}`, size: bytes.length };
  }

  /** The file in which a blob lies. */
  blobPath({ digest }: { digest: string }): string {
    return join(this.#directory, "blobs", digest.slice("sha256:".length));
  }

  /** Files a document under its digest and a tag. */
  addManifest(name: string, tag: string, document: { mediaType: string }): Descriptor {
    const bytes = Buffer.from(JSON.stringify(document));
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    for (const reference of [tag, digest]) {
      const path = join(this.#directory, "manifests", name, reference);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, bytes);
    }
    return { mediaType: document.mediaType, digest, size: bytes.length };
  }

  /** Files an image of layers that are tar archives, from the bottom up. @returns its reference and its parts. */
  addImage(
    name: string,
    layers: readonly Uint8Array[],
    options: ImageOptions = {},
  ): { reference: string; manifest: Descriptor; layers: Descriptor[]; config: Descriptor } {
    const { compression = "gzip" } = options;
    const config: Record<string, unknown> = {
      architecture: options.architecture ?? "amd64",
      os: "linux",
      created: "2026-01-01T00:00:00Z",
      config: { Cmd: options.cmd ?? ["sh"], Env: ["PATH=/bin"] },
      rootfs: {
        type: "layers",
        diff_ids: layers.map((tar) => `sha256:${createHash("sha256").update(tar).digest("hex")}`),
      },
    };
    options.editConfig?.(config);
    const types = options.docker
      ? {
          manifest: `${docker}.distribution.manifest.v2+json`,
          config: `${docker}.container.image.v1+json`,
          layer: {
            gzip: `${docker}.image.rootfs.diff.tar.gzip`,
            zstd: `${docker}.image.rootfs.diff.tar.zstd`,
            none: `${docker}.image.rootfs.diff.tar`,
          },
        }
      : {
          manifest: `${oci}.manifest.v1+json`,
          config: `${oci}.config.v1+json`,
          layer: { gzip: `${oci}.layer.v1.tar+gzip`, zstd: `${oci}.layer.v1.tar+zstd`, none: `${oci}.layer.v1.tar` },
        };
    const manifest = {
      schemaVersion: 2,
      mediaType: types.manifest,
      config: this.addBlob(Buffer.from(JSON.stringify(config)), types.config),
      layers: layers.map((tar) => this.addBlob(compress(tar, compression), types.layer[compression])),
    };
    options.editManifest?.(manifest);
    const described = this.addManifest(name, "latest", manifest);
    return { reference: `${this.host}/${name}`, manifest: described, layers: manifest.layers, config: manifest.config };
  }

  /** Files a name's manifest under another name, by its digest, for an index there. */
  copyManifest(from: string, to: string): void {
    const bytes = readFileSync(join(this.#directory, "manifests", from, "latest"));
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    const path = join(this.#directory, "manifests", to, digest);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
  }

  addIndex(
    name: string,
    children: (Descriptor & { platform: { os: string; architecture: string; variant?: string } })[],
  ): string {
    this.addManifest(name, "latest", {
      schemaVersion: 2,
      mediaType: `${oci}.index.v1+json`,
      manifests: children,
    } as { mediaType: string });
    return `${this.host}/${name}`;
  }
}

/** Bytes that do not compress, for each seed the same each time. */
export function noise(bytes: number, seed = 0): Uint8Array {
  const key = Buffer.alloc(16);
  key.writeUInt32LE(seed);
  return new Uint8Array(createCipheriv("aes-128-ctr", key, new Uint8Array(16)).update(new Uint8Array(bytes)));
}

function compress(tar: Uint8Array, compression: Compression): Uint8Array {
  if (compression === "gzip") return gzipSync(tar, { level: 1 });
  return compression === "zstd" ? zstdCompressSync(tar) : tar;
}
