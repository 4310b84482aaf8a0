/** Puts a parameter `tag` behind a name; it may hold a digest. */
export function withTag(name: string, tag: string | undefined): string {
  if (!tag) return name;
  return `${name}${/^[a-z0-9+._-]+:[0-9a-fA-F]{32,}$/.test(tag) ? "@" : ":"}${tag}`;
}
