/**
 * docker's config.json: who the user is at which registry, and which program keeps that. Everything else that is in it
 * belongs to others and is kept as it is.
 */
import { existsSync, mkdirSync, readFileSync, realpathSync } from "../../../ffi/fs.ts";
import { join } from "../../../ffi/path.ts";
import { EngineError, errorMessage, isErrno } from "../../core/errors.ts";

/** Name and secret at a registry. */
export interface Credentials {
  username: string;
  /** Empty where a token stands for it. */
  password: string;
  identityToken?: string | undefined;
  registryToken?: string | undefined;
}

type Json = Record<string, unknown>;

/** `https://registry.example:5000/v1/` → `registry.example:5000`. */
export function hostOf(server: string): string {
  return server.replace(/^https?:\/\//, "").replace(/\/.*$/s, "");
}

export class ConfigFile {
  readonly path: string;
  readonly #content: Json;

  private constructor(path: string, content: Json) {
    this.path = path;
    this.#content = content;
  }

  /** A file that is not there is an empty one. @throws EngineError invalid_argument that names the file. */
  static read(directory: string): ConfigFile {
    const path = join(directory, "config.json");
    let text: string;
    try {
      text = readFileSync(path, "utf8");
    } catch (error) {
      if (isErrno(error, "ENOENT")) return new ConfigFile(path, {});
      throw unreadable(path, errorMessage(error));
    }
    let content: unknown;
    try {
      content = text.trim() === "" ? {} : JSON.parse(text);
    } catch (error) {
      throw unreadable(path, errorMessage(error));
    }
    if (!isObject(content)) throw unreadable(path, "no JSON object");
    for (const name of ["auths", "credHelpers"]) {
      if (content[name] !== undefined && content[name] !== null && !isObject(content[name])) {
        throw unreadable(path, `${name}: no JSON object`);
      }
    }
    return new ConfigFile(path, content);
  }

  /** The program that keeps a registry's credentials: `pass` stands for docker-credential-pass. */
  helperOf(server: string): string | undefined {
    const helpers = this.#object("credHelpers");
    const own = helpers[server] ?? helpers[hostOf(server)];
    const helper = own ?? this.#content.credsStore;
    return typeof helper === "string" && helper !== "" ? helper : undefined;
  }

  /** How the user wants a list printed that is asked for without `--format`; "" where the file does not say. */
  format(
    name: "imagesFormat" | "networksFormat" | "psFormat" | "statsFormat" | "volumesFormat" | "pluginsFormat",
  ): string {
    const format = this.#content[name];
    return typeof format === "string" ? format : "";
  }

  /** The keys that leave a container's terminal; "" where the file does not say. */
  get detachKeys(): string {
    const { detachKeys } = this.#content;
    return typeof detachKeys === "string" ? detachKeys : "";
  }

  /** Registries that the file itself names. */
  get servers(): string[] {
    return [...Object.keys(this.#object("auths")), ...Object.keys(this.#object("credHelpers"))];
  }

  /** The programs that may know of others. */
  get helpers(): string[] {
    const { credsStore } = this.#content;
    return typeof credsStore === "string" && credsStore !== "" ? [credsStore] : [];
  }

  /** Is anybody logged in anywhere, or a program named that would know? */
  get isInUse(): boolean {
    return Object.keys(this.#object("auths")).length > 0 || this.#content.credsStore !== undefined;
  }

  /** The context in use; "" where the file does not say. */
  get currentContext(): string {
    const { currentContext } = this.#content;
    return typeof currentContext === "string" ? currentContext : "";
  }

  set currentContext(name: string) {
    if (name === "") delete this.#content.currentContext;
    else this.#content.currentContext = name;
  }

  set credentialsStore(name: string) {
    this.#content.credsStore = name;
  }

  /** What the file itself says. @throws EngineError invalid_argument for an entry that is damaged. */
  get(server: string): Credentials | undefined {
    const [key] = this.namesOf(server);
    const entry = key === undefined ? undefined : this.#object("auths")[key];
    return isObject(entry) ? this.#credentials(key!, entry) : undefined;
  }

  /**
   * The entries that are read for a registry, the one that counts first: its own name, and what older dockers and users
   * have written of the same host (`https://HOST/v1/`).
   */
  namesOf(server: string): string[] {
    const names = Object.keys(this.#object("auths")).filter((name) => name === server || hostOf(name) === server);
    return names.sort((a, b) => Number(b === server) - Number(a === server));
  }

  /** @param credentials null: a helper has them. */
  set(server: string, credentials: Credentials | null): void {
    const auths = { ...this.#object("auths") };
    auths[server] = credentials === null ? {} : entryOf(credentials);
    this.#content.auths = auths;
  }

  /** @returns whether there was an entry. */
  remove(server: string): boolean {
    const auths = { ...this.#object("auths") };
    if (!Object.hasOwn(auths, server)) return false;
    delete auths[server];
    this.#content.auths = auths;
    return true;
  }

  /** Writes the file where it is, even when its name is a symlink to elsewhere. @throws EngineError. */
  async save(): Promise<void> {
    const { writeFileAtomic } = await import("../../core/atomic-file.ts");
    mkdirSync(join(this.path, ".."), { recursive: true, mode: 0o700 });
    const target = existsSync(this.path) ? realpathSync(this.path) : this.path;
    await writeFileAtomic(target, `${JSON.stringify(this.#content, undefined, "\t")}\n`, 0o600);
  }

  #object(name: string): Json {
    return (this.#content[name] as Json | null | undefined) ?? {};
  }

  #credentials(key: string, entry: Json): Credentials | undefined {
    const text = (name: string) => (typeof entry[name] === "string" ? (entry[name] as string) : "");
    let [username, password] = [text("username"), text("password")];
    if (text("auth") !== "") {
      const decoded = Buffer.from(text("auth"), "base64").toString();
      const colon = decoded.indexOf(":");
      if (colon < 0) throw unreadable(this.path, `auths.${JSON.stringify(key)}.auth: no base64 of user:password`);
      username = decoded.slice(0, colon);
      // Docker wrote zero bytes behind some.
      password = decoded.slice(colon + 1).replace(/\0+$/, "");
    }
    const [identityToken, registryToken] = [text("identitytoken"), text("registrytoken")];
    if (username === "" && password === "" && identityToken === "" && registryToken === "") return undefined;
    return {
      username,
      password,
      ...(identityToken !== "" && { identityToken }),
      ...(registryToken !== "" && { registryToken }),
    };
  }
}

/** As docker writes it. */
export function entryOf({ username, password, identityToken, registryToken }: Credentials): Json {
  return {
    auth: Buffer.from(`${username}:${password}`).toString("base64"),
    ...(identityToken !== undefined && { identitytoken: identityToken }),
    ...(registryToken !== undefined && { registrytoken: registryToken }),
  };
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function unreadable(path: string, reason: string): EngineError {
  return new EngineError("invalid_argument", `config file ${path}: ${reason}`, { path });
}
