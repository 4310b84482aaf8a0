import { readFileSync } from "../../../ffi/fs.ts";
import { isErrno } from "../../core/errors.ts";

/**
 * May config.json have credentials for the registry of that image? Only a glance, for `run`, which mostly needs none:
 * what reads the file properly takes 3 ms to load.
 */
export function mayHaveCredentials(directory: string, image: string): boolean {
  let text: string;
  try {
    text = readFileSync(`${directory}/config.json`, "utf8");
  } catch (error) {
    // Whatever else is wrong with it is said by who reads it.
    return !isErrno(error, "ENOENT");
  }
  if (/"cred(sStore|Helpers)"/.test(text)) return true;
  const first = image.slice(0, Math.max(0, image.indexOf("/")));
  const isHost = /[.:_]/.test(first) || first === "localhost" || first !== first.toLowerCase();
  return text.includes(isHost && first !== "docker.io" && first !== "index.docker.io" ? first : "docker.io");
}
