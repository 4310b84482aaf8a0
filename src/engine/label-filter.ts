/** `label` filters: `key` asks that the label be there, `key=value` that it have that value; all must match. */
export function matchesLabels(wanted: readonly string[], labels: Readonly<Record<string, string>>): boolean {
  return wanted.every((want) => {
    const separator = want.indexOf("=");
    if (separator < 0) return Object.hasOwn(labels, want);
    const key = want.slice(0, separator);
    return Object.hasOwn(labels, key) && labels[key] === want.slice(separator + 1);
  });
}
