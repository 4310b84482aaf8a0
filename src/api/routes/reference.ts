import { familiarName, parseRepository } from "../../oci/reference.ts";

/**
 * The name with a parameter `tag` in the place of its own; it may hold a digest.
 * @throws EngineError invalid_argument for a name that cannot be.
 */
export function withTag(name: string, tag: string | undefined): string {
  if (!tag) return name;
  const isDigest = /^[a-z0-9+._-]+:[0-9a-fA-F]{32,}$/.test(tag);
  return `${familiarName(parseRepository(name))}${isDigest ? "@" : ":"}${tag}`;
}
