/** OCI layouts for tests, put together blob by blob, and the archives of them: good ones, and ones that lie. */
import { createHash } from "node:crypto";

/** An entry of a tar archive, as the program that writes archives for the tests takes it. */
export interface LayoutEntry {
  name: string;
  data?: string | Uint8Array;
}

export interface LayoutDescriptor {
  mediaType: string;
  digest: string;
  size: number;
  platform?: { os: string; architecture: string };
  annotations?: Record<string, string>;
}

const indexType = "application/vnd.oci.image.index.v1+json";
const manifestType = "application/vnd.oci.image.manifest.v1+json";
const configType = "application/vnd.oci.image.config.v1+json";
const layerType = "application/vnd.oci.image.layer.v1.tar";

export interface LayoutImage {
  architecture: string;
  files: LayoutEntry[];
  /** In the place of the layer's own. */
  diffId?: string;
  layerType?: string;
}

export class ImageLayout {
  /** Digest to what is said of it, for tests that select, and its bytes. */
  readonly #blobs = new Map<string, { about: string; bytes: Uint8Array }>();
  readonly #names: LayoutDescriptor[] = [];
  readonly #archive: (entries: LayoutEntry[]) => Uint8Array;

  /** @param archive makes a tar archive. */
  constructor(archive: (entries: LayoutEntry[]) => Uint8Array) {
    this.#archive = archive;
  }

  add(mediaType: string, content: object | Uint8Array, about = ""): LayoutDescriptor {
    const bytes = content instanceof Uint8Array ? content : Buffer.from(JSON.stringify(content));
    const digest = sha256(bytes);
    this.#blobs.set(digest, { about, bytes });
    return { mediaType, digest, size: bytes.length };
  }

  image({ architecture, files, diffId, layerType: type = layerType }: LayoutImage): LayoutDescriptor {
    const about = `of ${architecture}`;
    const bytes = this.#archive(files);
    const layer = this.add(type, bytes, about);
    const rootfs = { type: "layers", diff_ids: [diffId ?? sha256(bytes)] };
    const config = this.add(configType, { os: "linux", architecture, config: { Cmd: ["x"] }, rootfs }, about);
    const manifest = this.add(
      manifestType,
      { schemaVersion: 2, mediaType: manifestType, config, layers: [layer] },
      about,
    );
    return { ...manifest, platform: { os: "linux", architecture } };
  }

  /** As buildkit writes them: a manifest of no platform that says whom it is about. */
  attestation(subject: LayoutDescriptor): LayoutDescriptor {
    const about = `attestation of ${subject.platform!.architecture}`;
    const statement = this.add("application/vnd.in-toto+json", { about }, about);
    const config = this.add(
      configType,
      { os: "unknown", architecture: "unknown", config: {}, rootfs: { type: "layers", diff_ids: [statement.digest] } },
      about,
    );
    const manifest = this.add(
      manifestType,
      { schemaVersion: 2, mediaType: manifestType, config, layers: [statement] },
      about,
    );
    const annotations = {
      "vnd.docker.reference.type": "attestation-manifest",
      "vnd.docker.reference.digest": subject.digest,
    };
    return { ...manifest, platform: { os: "unknown", architecture: "unknown" }, annotations };
  }

  index(manifests: LayoutDescriptor[]): LayoutDescriptor {
    return this.add(indexType, { schemaVersion: 2, mediaType: indexType, manifests });
  }

  name(descriptor: LayoutDescriptor, name: string): void {
    this.#names.push({ ...descriptor, annotations: { "io.containerd.image.name": name } });
  }

  /** Takes the manifest's blobs away: a child that was not fetched. */
  forget(manifest: LayoutDescriptor): void {
    const about = this.#blobs.get(manifest.digest)!.about;
    for (const [digest, blob] of this.#blobs) if (blob.about === about) this.#blobs.delete(digest);
  }

  /** The hexadecimal names of those blobs. @param select by digest and what the blob is about. */
  blobNames(select: (blob: [about: string, digest: string]) => boolean = () => true): string[] {
    return [...this.#blobs].flatMap(([digest, { about }]) => (select([about, digest]) ? digest.slice(7) : []));
  }

  entries(): LayoutEntry[] {
    const index = { schemaVersion: 2, mediaType: indexType, manifests: this.#names };
    return [
      ...[...this.#blobs].map(([digest, { bytes }]) => ({ name: `blobs/sha256/${digest.slice(7)}`, data: bytes })),
      { name: "index.json", data: JSON.stringify(index) },
      { name: "oci-layout", data: '{"imageLayoutVersion":"1.0.0"}' },
    ];
  }

  archive(): Uint8Array {
    return this.#archive(this.entries());
  }
}

export function sha256(bytes: Uint8Array | string): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
