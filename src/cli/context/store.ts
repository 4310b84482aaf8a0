/**
 * docker's own files of contexts, so that docker's client sees the same ones: `contexts/meta/ID/meta.json` and
 * `contexts/tls/ID/ENDPOINT/*.pem` below the client's configuration, where ID is the SHA-256 of the name.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isTemporary, writeFileAtomic } from "../../core/atomic-file.ts";
import { EngineError, errorMessage, isErrno } from "../../core/errors.ts";
import { compareNaturally } from "../natural-order.ts";

export const defaultContext = "default";

/** The endpoint that docker's clients look for. */
export const dockerEndpoint = "docker";

export interface EndpointMeta {
  Host?: string;
  SkipTLSVerify?: boolean;
}

/** meta.json; what others have written there is kept. */
export interface ContextMeta {
  Name: string;
  Metadata: { Description?: string } & Record<string, unknown>;
  Endpoints: Record<string, EndpointMeta>;
}

/** Endpoint → file name → its content. */
export type TlsMaterial = Record<string, Record<string, Uint8Array>>;

export interface StoredContext {
  meta: ContextMeta;
  tls: TlsMaterial;
}

const namePattern = "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$";

/** @throws EngineError invalid_argument in docker's words. */
export function checkContextName(name: string): void {
  if (name === "") throw invalid("context name cannot be empty");
  if (name === defaultContext) throw invalid(`${JSON.stringify(defaultContext)} is a reserved context name`);
  if (!new RegExp(namePattern).test(name)) {
    throw invalid(
      `context name ${JSON.stringify(name)} is invalid, names are validated against regexp ${JSON.stringify(namePattern)}`,
    );
  }
}

export class ContextStore {
  readonly #root: string;

  /** @param directory the client's configuration. */
  constructor(directory: string) {
    this.#root = join(directory, "contexts");
  }

  metaPath(name: string): string {
    return join(this.#root, "meta", idOf(name));
  }

  tlsPath(name: string): string {
    return join(this.#root, "tls", idOf(name));
  }

  /** In the order of lists. @throws EngineError that names the file which is damaged. */
  list(): ContextMeta[] {
    const root = join(this.#root, "meta");
    const contexts = entriesOf(root).flatMap((id) => {
      const path = join(root, id, "meta.json");
      const text = textIfThere(path);
      return text === undefined ? [] : [parseMeta(text, path)];
    });
    return contexts.sort((a, b) => compareNaturally(a.Name, b.Name));
  }

  has(name: string): boolean {
    return textIfThere(join(this.metaPath(name), "meta.json")) !== undefined;
  }

  /** @throws EngineError not_found in docker's words. */
  meta(name: string): ContextMeta {
    const path = join(this.metaPath(name), "meta.json");
    const text = textIfThere(path);
    if (text !== undefined) return parseMeta(text, path);
    throw new EngineError(
      "not_found",
      `context ${JSON.stringify(name)}: context not found: open ${path}: no such file or directory`,
      { path, hint: "`context ls` shows those that there are" },
    );
  }

  read(name: string): StoredContext {
    return { meta: this.meta(name), tls: this.tls(name) };
  }

  tls(name: string): TlsMaterial {
    const root = this.tlsPath(name);
    const material: TlsMaterial = {};
    for (const endpoint of entriesOf(root)) {
      const names = entriesOf(join(root, endpoint)).filter((file) => !isTemporary(file));
      const files = names.map((file): [string, Uint8Array] => [file, readFileSync(join(root, endpoint, file))]);
      if (files.length > 0) material[endpoint] = Object.fromEntries(files);
    }
    return material;
  }

  /**
   * Makes a context, or puts it in another's place. Whenever this is ended in the middle, no endpoint with TLS is left
   * without it: its files come before the endpoint, and what an endpoint has no longer goes after that. Nothing is left
   * of a new one that cannot be written.
   */
  async write(context: StoredContext): Promise<void> {
    const { Name } = context.meta;
    const isNew = !this.has(Name);
    try {
      await this.#write(context);
    } catch (error) {
      if (isNew) {
        for (const path of [this.metaPath(Name), this.tlsPath(Name)]) rmSync(path, { recursive: true, force: true });
      }
      throw error;
    }
  }

  async #write({ meta, tls }: StoredContext): Promise<void> {
    const root = this.tlsPath(meta.Name);
    for (const [endpoint, files] of Object.entries(tls)) {
      mkdirSync(join(root, endpoint), { recursive: true, mode: 0o700 });
      for (const [name, content] of Object.entries(files)) {
        await writeFileAtomic(join(root, endpoint, name), content, 0o600);
      }
    }
    mkdirSync(this.metaPath(meta.Name), { recursive: true, mode: 0o755 });
    await writeFileAtomic(join(this.metaPath(meta.Name), "meta.json"), JSON.stringify(meta), 0o644);
    for (const endpoint of entriesOf(root)) {
      const kept = tls[endpoint] ?? {};
      for (const file of entriesOf(join(root, endpoint))) {
        if (!Object.hasOwn(kept, file)) rmSync(join(root, endpoint, file), { recursive: true });
      }
      if (tls[endpoint] === undefined) rmSync(join(root, endpoint), { recursive: true });
    }
    if (Object.keys(tls).length === 0) rmSync(root, { recursive: true, force: true });
  }

  /** @throws EngineError not_found. */
  remove(name: string): void {
    if (!this.has(name)) throw new EngineError("not_found", `context ${JSON.stringify(name)} does not exist`);
    rmSync(this.metaPath(name), { recursive: true });
    rmSync(this.tlsPath(name), { recursive: true, force: true });
  }
}

function idOf(name: string): string {
  return createHash("sha256").update(name).digest("hex");
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

function textIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** @param where for messages: a file, or the archive that it came from. */
export function parseMeta(text: string, where: string): ContextMeta {
  let value: Partial<ContextMeta>;
  try {
    value = JSON.parse(text) as Partial<ContextMeta>;
  } catch (error) {
    throw invalid(`parsing ${where}: ${errorMessage(error)}`);
  }
  const isObject = (field: unknown) => typeof field === "object" && field !== null && !Array.isArray(field);
  if (!isObject(value) || typeof value.Name !== "string") throw invalid(`parsing ${where}: no context`);
  const { Metadata = {}, Endpoints = {} } = value;
  if (!isObject(Metadata) || !isObject(Endpoints) || !Object.values(Endpoints).every(isObject)) {
    throw invalid(`parsing ${where}: Metadata and Endpoints have to be objects`);
  }
  // What is taken for true or false by its looks would decide whether a daemon's certificate is checked.
  const { Host, SkipTLSVerify } = Endpoints[dockerEndpoint] ?? {};
  const wrong = typeof (Host ?? "") !== "string" ? "Host" : "SkipTLSVerify";
  if (wrong === "Host" || typeof (SkipTLSVerify ?? false) !== "boolean") {
    throw invalid(`parsing ${where}: Endpoints.${dockerEndpoint}.${wrong}: of a wrong type`);
  }
  if (typeof (Metadata.Description ?? "") !== "string") {
    throw invalid(`parsing ${where}: Metadata.Description has to be text`);
  }
  return { Name: value.Name, Metadata, Endpoints };
}

function invalid(message: string): EngineError {
  return new EngineError("invalid_argument", message);
}
