/** What the host's files say of users, groups, and the numbers that are set aside for them: subuid(5), passwd(5). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../../core/errors.ts";

export interface IdRange {
  start: number;
  size: number;
}

/** A line of /etc/subuid or /etc/subgid. */
export interface SubordinateRange extends IdRange {
  /** A name, or a number in digits. */
  owner: string;
}

export interface Account {
  name: string;
  id: number;
}

export class HostFiles {
  /** Where the files are. */
  readonly directory: string;

  constructor(directory = "/etc") {
    this.directory = directory;
  }

  subordinate(kind: "subuid" | "subgid"): SubordinateRange[] {
    return this.#lines(kind).flatMap(([owner = "", start = "", size = ""]) =>
      owner !== "" && isNumber(start) && isNumber(size) ? [{ owner, start: Number(start), size: Number(size) }] : [],
    );
  }

  users(): Account[] {
    return this.#accounts("passwd");
  }

  groups(): Account[] {
    return this.#accounts("group");
  }

  #accounts(file: "passwd" | "group"): Account[] {
    return this.#lines(file).flatMap(([name = "", , id = ""]) =>
      name !== "" && isNumber(id) ? [{ name, id: Number(id) }] : [],
    );
  }

  #lines(file: string): string[][] {
    try {
      const text = readFileSync(join(this.directory, file), "utf8");
      return text.split("\n").map((line) => line.trim().split(":"));
    } catch (error) {
      if (isErrno(error, "ENOENT")) return [];
      throw error;
    }
  }
}

function isNumber(text: string): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) < 2 ** 32;
}
