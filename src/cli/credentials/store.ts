/** Where a user's credentials are: in docker's config.json, or with the program that it names for a registry. */
import { EngineError, errorMessage, isEngineError } from "../../core/errors.ts";
import { defaultRegistry } from "../../oci/reference.ts";
import { ConfigFile, type Credentials, entryOf, hostOf } from "./config-file.ts";
import { eraseWithHelper, findProgram, getFromHelper, listFromHelper, storeWithHelper } from "./helper.ts";

/** What docker.io has been called in config.json since before it had that name. */
export const dockerHubServer = "https://index.docker.io/v1/";

/** The key under which a registry's credentials are kept. */
export function serverOf(registry: string): string {
  return registry === defaultRegistry ? dockerHubServer : registry;
}

export interface StoredAt {
  /** The file that holds the password as it is; undefined: a helper keeps it. */
  plainFile: string | undefined;
}

export class CredentialStore {
  readonly file: ConfigFile;

  /** @throws EngineError invalid_argument for a file that cannot be read. */
  constructor(directory: string) {
    this.file = ConfigFile.read(directory);
  }

  /** @throws EngineError when a helper fails. */
  async get(server: string): Promise<Credentials | undefined> {
    const helper = this.file.helperOf(server);
    if (helper === undefined) return this.file.get(server);
    const found = await getFromHelper(helper, server);
    // The file's entry is a remainder, or has what helpers do not keep.
    return found ?? this.file.get(server);
  }

  /** What the file would say if no helper kept anything: an entry for each registry that there are credentials for. */
  async allEntries(): Promise<Record<string, object>> {
    const listed = await Promise.all(this.file.helpers.map(listFromHelper));
    const servers = new Set([...this.file.servers, ...listed.flat()]);
    const entries: Record<string, object> = {};
    for (const server of servers) {
      const credentials = await this.get(server);
      if (credentials !== undefined) entries[server] = entryOf(credentials);
    }
    return entries;
  }

  async store(server: string, credentials: Credentials): Promise<StoredAt> {
    if (!this.file.isInUse) {
      const detected = detectHelper();
      if (detected !== undefined) this.file.credentialsStore = detected;
    }
    const helper = this.file.helperOf(server);
    if (helper !== undefined) await storeWithHelper(helper, server, credentials);
    this.file.set(server, helper === undefined ? credentials : null);
    await this.file.save();
    return { plainFile: helper === undefined ? this.file.path : undefined };
  }

  /**
   * Forgets a registry under every name that `get` would find it by, and under those that docker asks a helper for: one
   * that stayed would go on being sent. All of them are tried, and what the file can forget it has forgotten, before
   * helpers' failures are thrown.
   * @returns whether there was anything.
   * @throws EngineError with what each helper said that failed.
   */
  async erase(server: string): Promise<boolean> {
    const host = hostOf(server);
    const forms = server === dockerHubServer ? [server] : [server, host, `http://${host}`, `https://${host}`];
    const names = new Set([...forms, ...forms.flatMap((form) => this.file.namesOf(form))]);
    const failures: EngineError[] = [];
    let found = false;
    for (const name of names) {
      try {
        if (await eraseIfThere(this.file.helperOf(name), name)) found = true;
      } catch (error) {
        if (!isEngineError(error)) throw error;
        failures.push(error);
      }
    }
    const removed = [...names].filter((name) => this.file.remove(name));
    if (removed.length > 0) await this.file.save();
    const [first] = failures;
    // A helper that keeps all of them says the same of each.
    if (first !== undefined) throw new EngineError(first.code, [...new Set(failures.map(errorMessage))].join("\n"));
    return found || removed.length > 0;
  }
}

async function eraseIfThere(helper: string | undefined, server: string): Promise<boolean> {
  if (helper === undefined || (await getFromHelper(helper, server)) === undefined) return false;
  await eraseWithHelper(helper, server);
  return true;
}

/** As docker chooses for whoever has not chosen: pass, else the desktop's own, if its helper is there too. */
function detectHelper(): string | undefined {
  const name = findProgram("pass") === null ? "secretservice" : "pass";
  return findProgram(`docker-credential-${name}`) === null ? undefined : name;
}
