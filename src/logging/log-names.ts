/** Names of a log's files. */

/** Each of them is renamed whenever one is full. */
export const logFilesMax = 10_000;

/** `path`, `path.1`, … the oldest last. Where it is compressed a rotated one ends with `.gz`. */
export function numbered(path: string, number: number): string {
  return number === 0 ? path : `${path}.${number}`;
}
