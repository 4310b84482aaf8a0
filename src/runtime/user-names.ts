import { readFileSync } from "../../ffi/fs.ts";

/** Names by number, from the host's /etc/passwd and /etc/group, each read at the first question. */
export class UserNames {
  #users: Map<number, string> | undefined;
  #groups: Map<number, string> | undefined;

  nameOf(uid: number): string | undefined {
    this.#users ??= namesIn("/etc/passwd");
    return this.#users.get(uid);
  }

  idOf(name: string): number | undefined {
    this.#users ??= namesIn("/etc/passwd");
    for (const [uid, known] of this.#users) if (known === name) return uid;
    return undefined;
  }

  groupOf(gid: number): string | undefined {
    this.#groups ??= namesIn("/etc/group");
    return this.#groups.get(gid);
  }
}

/** The first name that a number has. */
function namesIn(path: string): Map<number, string> {
  return new Map(
    readFileSync(path, "utf8")
      .split("\n")
      .map((line) => line.split(":"))
      .filter((fields) => fields.length >= 3)
      .reverse()
      .map((fields) => [Number(fields[2]), fields[0]!]),
  );
}
