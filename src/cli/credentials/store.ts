/** Where a user's credentials are: in docker's config.json, or with the program that it names for a registry. */
import { defaultRegistry } from "../../oci/reference.ts";
import { ConfigFile, type Credentials, hostOf } from "./config-file.ts";
import { eraseWithHelper, findProgram, getFromHelper, storeWithHelper } from "./helper.ts";

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

  /** Under each form in which a user, or an older docker, may have written it. @returns whether there was anything. */
  async erase(server: string): Promise<boolean> {
    const host = hostOf(server);
    const names =
      server === dockerHubServer ? [server] : [...new Set([server, host, `http://${host}`, `https://${host}`])];
    let found = false;
    let changed = false;
    for (const name of names) {
      const helper = this.file.helperOf(name);
      if (helper !== undefined && (await getFromHelper(helper, name)) !== undefined) {
        await eraseWithHelper(helper, name);
        found = true;
      }
      if (this.file.remove(name)) changed = true;
    }
    if (changed) await this.file.save();
    return found || changed;
  }
}

/** As docker chooses for whoever has not chosen: pass, else the desktop's own, if its helper is there too. */
function detectHelper(): string | undefined {
  const name = findProgram("pass") === null ? "secretservice" : "pass";
  return findProgram(`docker-credential-${name}`) === null ? undefined : name;
}
