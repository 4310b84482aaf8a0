/** Lines of an /etc/hosts that a container may have changed since it was written: only tsd's own are touched. */

export interface HostsLines {
  /** What stands behind the address, and tells these lines from others. */
  names: readonly string[];
  /** One line each. */
  addresses: readonly string[];
}

/**
 * Gives the names the lines that they are to have: others with exactly these names go, missing ones come at the end. All
 * else stays as it is.
 */
export function replaceHostsLines(text: string, wanted: readonly HostsLines[]): string {
  const addressesOf = new Map(wanted.map(({ names, addresses }) => [names.join(" "), new Set(addresses)]));
  const there = new Set<string>();
  const kept = text.split("\n").filter((line) => {
    const [address = "", ...names] = line.trim().split(/\s+/);
    const addresses = addressesOf.get(names.join(" "));
    if (addresses === undefined) return true;
    const entry = `${address} ${names.join(" ")}`;
    if (!addresses.has(address) || there.has(entry)) return false;
    there.add(entry);
    return true;
  });
  let result = kept.join("\n");
  if (result !== "" && !result.endsWith("\n")) result += "\n";
  for (const { names, addresses } of wanted) {
    for (const address of addresses) {
      if (!there.has(`${address} ${names.join(" ")}`)) result += `${address}\t${names.join(" ")}\n`;
    }
  }
  return result;
}
