/** What the names that somebody wants saved stand for. */
import { type Digest, digestHex } from "../../core/digest.ts";
import type { ImageStore } from "../images.ts";
import { parseReference, parseRepository, type Reference } from "../reference.ts";

export interface NamedImage {
  id: Digest;
  /** Canonical; undefined for an image that was asked for by its id. */
  name: string | undefined;
  /** As it was asked for. */
  shown: string;
}

/**
 * As docker has it: a tag is that image, a repository without a tag all its tags, and an id or a digest an image
 * without a name.
 * @throws EngineError not_found in docker's words, invalid_argument.
 */
export function savedNames(store: ImageStore, names: readonly string[]): NamedImage[] {
  const found = new Map<string, NamedImage>();
  for (const shown of names) {
    for (const image of named(store, shown)) found.set(`${image.id} ${image.name ?? ""}`, image);
  }
  return [...found.values()];
}

function named(store: ImageStore, shown: string): NamedImage[] {
  const image = store.resolve(shown);
  if (image && (shown.includes("@") || isPrefixOf(shown, image.id))) return [{ id: image.id, name: undefined, shown }];
  const tags = isNameOnly(shown) ? tagsOf(store, shown) : [];
  if (tags.length > 0) return tags;
  if (!image) return [{ id: store.get(shown).id, name: undefined, shown }];
  const reference = parseReference(shown);
  const name = image.names.find((candidate) => isSame(parseReference(candidate), reference));
  return [{ id: image.id, name, shown }];
}

function tagsOf(store: ImageStore, repository: string): NamedImage[] {
  const wanted = parseRepository(repository);
  return store.records
    .all()
    .flatMap(({ id }) => store.records.names(id).map((name) => ({ id, name, shown: repository })))
    .filter(({ name }) => {
      const { registry, repository: path, tag } = parseReference(name);
      return tag !== undefined && registry === wanted.registry && path === wanted.repository;
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function isNameOnly(text: string): boolean {
  return !text.includes("@") && text.lastIndexOf(":") <= text.lastIndexOf("/");
}

function isSame(a: Reference, b: Reference): boolean {
  return a.registry === b.registry && a.repository === b.repository && a.tag === b.tag;
}

function isPrefixOf(text: string, id: Digest): boolean {
  return /^(sha256:)?[a-f0-9]+$/.test(text) && digestHex(id).startsWith(text.replace(/^sha256:/, ""));
}
