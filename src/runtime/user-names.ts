import { readFileSync } from "../../ffi/fs.ts";

/** User names by uid, from the host's /etc/passwd, read at the first question. */
export class UserNames {
  #names: Map<number, string> | undefined;

  nameOf(uid: number): string | undefined {
    this.#names ??= new Map(
      readFileSync("/etc/passwd", "utf8")
        .split("\n")
        .map((line) => line.split(":"))
        .filter((fields) => fields.length >= 3)
        .reverse()
        .map((fields) => [Number(fields[2]), fields[0]!]),
    );
    return this.#names.get(uid);
  }
}
