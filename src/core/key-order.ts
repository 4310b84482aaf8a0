/** A map as Go writes it into JSON: in the order of its keys' text, which Docker's clients print as it comes. */
export function inKeyOrder<T extends object>(map: T): T {
  return Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1))) as T;
}
