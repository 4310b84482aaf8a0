/** Manifest lists that are being put together, in `~/.docker/manifests` as docker keeps them: a directory each, a file an image. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EngineError, errorMessage, isErrno } from "../../core/errors.ts";
import { canonicalReference, type Reference } from "../../oci/reference.ts";
import { goJson } from "../format.ts";
import type { Session } from "../session.ts";
import type { StoredManifest } from "./stored-manifest.ts";

export class ManifestLists {
  readonly #root: string;

  constructor({ configDirectory }: Pick<Session, "configDirectory">) {
    this.#root = join(configDirectory, "manifests");
  }

  /** In the order of the files' names; undefined where there is no such list. */
  list(reference: Reference): StoredManifest[] | undefined {
    const directory = this.#directory(reference);
    try {
      return readdirSync(directory)
        .sort()
        .map((name) => this.#read(join(directory, name))!);
    } catch (error) {
      if (isErrno(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  /** @throws EngineError not_found in docker's words. */
  existing(reference: Reference): StoredManifest[] {
    const manifests = this.list(reference);
    if (manifests !== undefined) return manifests;
    throw new EngineError("not_found", `No such manifest: ${canonicalReference(reference)}`);
  }

  /** One image of a list. */
  get(list: Reference, image: Reference): StoredManifest | undefined {
    return this.#read(join(this.#directory(list), fileName(image)));
  }

  save(list: Reference, image: Reference, manifest: StoredManifest): void {
    const directory = this.#directory(list);
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    writeFileSync(join(directory, fileName(image)), goJson(manifest), { mode: 0o644 });
  }

  remove(list: Reference): void {
    rmSync(this.#directory(list), { recursive: true, force: true });
  }

  #directory(list: Reference): string {
    return join(this.#root, fileName(list));
  }

  #read(path: string): StoredManifest | undefined {
    let text: string;
    try {
      text = readFileSync(path, "utf8");
    } catch (error) {
      if (isErrno(error, "ENOENT")) return undefined;
      throw error;
    }
    try {
      const manifest = JSON.parse(text) as StoredManifest;
      if (typeof manifest.Ref !== "string" || typeof manifest.Descriptor?.digest !== "string") {
        throw new Error("no Ref and Descriptor");
      }
      return manifest;
    } catch (error) {
      throw new EngineError("corrupt", `invalid manifest file ${path}: ${errorMessage(error)}`, { path, cause: error });
    }
  }
}

function fileName(reference: Reference): string {
  return canonicalReference(reference).replaceAll(":", "-").replaceAll("/", "_");
}
