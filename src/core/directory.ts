/** Directories that may not be there yet. */
import { readdirSync } from "node:fs";
import { isErrno } from "./errors.ts";

/** The names in it; none where there is no such directory. */
export function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
