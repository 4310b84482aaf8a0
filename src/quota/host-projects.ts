/** The projects that the host's administrator has named: /etc/projid (`NAME:ID`) and /etc/projects (`ID:DIRECTORY`). */
import { readFileSync } from "node:fs";
import { isErrno } from "../core/errors.ts";

/** xfs_quota(8) "PROJECT IDENTIFIERS": they may have nothing yet, and belong to somebody all the same. */
export function hostProjects(directory = "/etc"): Set<number> {
  const ids = [
    ...linesOf(`${directory}/projid`).map((line) => line.slice(line.lastIndexOf(":") + 1)),
    ...linesOf(`${directory}/projects`).map((line) => line.slice(0, line.indexOf(":"))),
  ];
  return new Set(ids.filter((id) => /^\d+$/.test(id.trim())).map(Number));
}

function linesOf(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
  return text.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("#"));
}
