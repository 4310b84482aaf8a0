/** What a container's first process finds in its environment. */

export const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface EnvironmentInput {
  hostname: string;
  terminal: boolean;
  /** Links' and proxies' variables: before the container's own, which override them. */
  extra: readonly string[];
  /** `NAME=value`; a bare NAME takes the default away. */
  given: readonly string[];
  home: string;
}

/**
 * Docker's order: PATH, HOSTNAME, TERM, then the container's own. A later value stands in the place of an earlier one
 * (getenv(3) finds the first of two, shells the last: nobody should have to choose). HOME comes last, where runc adds
 * it when nobody has said it.
 */
export function containerEnvironment({ hostname, terminal, extra, given, home }: EnvironmentInput): string[] {
  const defaults = [`PATH=${defaultPath}`, `HOSTNAME=${hostname}`, ...(terminal ? ["TERM=xterm"] : []), ...extra];
  const variables = new Map<string, string>();
  for (const entry of [...defaults, ...given]) {
    const name = nameOf(entry);
    if (entry.includes("=")) variables.set(name, entry);
    else variables.delete(name);
  }
  if (!variables.has("HOME")) variables.set("HOME", `HOME=${home}`);
  return [...variables.values()];
}

function nameOf(entry: string): string {
  const separator = entry.indexOf("=");
  return separator < 0 ? entry : entry.slice(0, separator);
}
