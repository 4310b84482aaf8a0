/**
 * What short commands need of node:path, by its names and with its meaning, for POSIX: loading node:path takes 0.6 ms.
 * All of it is text; nothing is looked up.
 */

/** Without `.`, doubled slashes and, as far as the text allows, `..`; a trailing slash stays. */
export function normalize(path: string): string {
  const absolute = path.startsWith("/");
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    const last = parts[parts.length - 1];
    if (part !== ".." || (last === undefined ? !absolute : last === "..")) parts.push(part);
    else parts.pop();
  }
  const text = `${absolute ? "/" : ""}${parts.join("/")}`;
  if (text === "") return path.endsWith("/") ? "./" : ".";
  return path.endsWith("/") && text !== "/" ? `${text}/` : text;
}

export function join(...parts: string[]): string {
  let joined = "";
  for (const part of parts) if (part !== "") joined += joined === "" ? part : `/${part}`;
  return joined === "" ? "." : normalize(joined);
}

/** From the right, until it is absolute; then the working directory. No trailing slash. */
export function resolve(...parts: string[]): string {
  let path = "";
  for (let index = parts.length - 1; index >= 0 && !path.startsWith("/"); index--) {
    const part = parts[index]!;
    if (part !== "") path = path === "" ? part : `${part}/${path}`;
  }
  if (!path.startsWith("/")) path = `${process.cwd()}/${path}`;
  const clean = normalize(path);
  return clean.length > 1 && clean.endsWith("/") ? clean.slice(0, -1) : clean;
}

export function isAbsolute(path: string): boolean {
  return path.startsWith("/");
}

export function basename(path: string): string {
  const end = endWithoutSlashes(path);
  return path.slice(path.lastIndexOf("/", end - 1) + 1, end);
}

export function dirname(path: string): string {
  const slash = path.lastIndexOf("/", endWithoutSlashes(path) - 1);
  if (slash < 0) return ".";
  const end = endWithoutSlashes(path.slice(0, slash));
  return end === 0 ? "/" : path.slice(0, end);
}

function endWithoutSlashes(path: string): number {
  let end = path.length;
  while (end > 0 && path[end - 1] === "/") end--;
  return end;
}
