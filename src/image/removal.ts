/** What `rmi` does: which names go, whether the image goes with them, and when it is refused. Docker 29's rules and words. */
import { advice } from "../core/advice.ts";
import type { Digest } from "../core/digest.ts";
import { EngineError } from "../core/errors.ts";
import { shortId } from "../core/id.ts";
import type { ImageUser, RemoveResult } from "./image.ts";
import { canonicalReference, familiarName, familiarReference, parseReference } from "./reference.ts";

export interface RemovalRequest {
  id: Digest;
  /** All canonical names of the image. */
  names: readonly string[];
  users: readonly ImageUser[];
  force: boolean;
  /** The name that was given; undefined for removal by id. */
  reference: string | undefined;
}

export interface RemovalPlan {
  untag: string[];
  removesImage: boolean;
  results: RemoveResult[];
}

/** @throws EngineError conflict. */
export function planRemoval(request: RemovalRequest): RemovalPlan {
  const { id, names, users, force, reference } = request;
  if (reference === undefined) {
    checkRemovalById(request);
    return everything(id, names);
  }
  const name = canonicalReference(parseReference(reference));
  // name@digest of an image that has the repository's tags: all of them are meant.
  const meant = names.includes(name) ? [name] : names.filter((other) => sameRepository(other, name));
  if (meant.length < names.length) return untagging(meant);
  const [user] = users;
  if (!user) return everything(id, names);
  if (!force) {
    const using = `container ${shortId(user.containerId)} is using its referenced image ${shortId(id)}`;
    throw conflict(familiar(meant[0]!), "must be forced", using);
  }
  // The container keeps its image, without a name.
  return untagging(meant);
}

function checkRemovalById({ id, names, users, force }: RemovalRequest): void {
  const running = users.find((user) => user.running);
  if (running) {
    const using = `image is being used by running container ${shortId(running.containerId)}`;
    throw conflict(shortId(id), "cannot be forced", using);
  }
  if (force) return;
  const repositories = new Set(names.map((name) => familiarName(parseReference(name))));
  if (repositories.size > 1)
    throw conflict(shortId(id), "must be forced", "image is referenced in multiple repositories");
  const [stopped] = users;
  if (stopped) {
    const using = `image is being used by stopped container ${shortId(stopped.containerId)}`;
    throw conflict(shortId(id), "must be forced", using);
  }
}

function everything(id: Digest, names: readonly string[]): RemovalPlan {
  return { untag: [...names], removesImage: true, results: [...untagged(names), { deleted: id }] };
}

function untagging(names: readonly string[]): RemovalPlan {
  return { untag: [...names], removesImage: false, results: untagged(names) };
}

function untagged(names: readonly string[]): RemoveResult[] {
  return names.map((name) => ({ untagged: familiar(name) }));
}

function familiar(name: string): string {
  return familiarReference(parseReference(name));
}

function sameRepository(one: string, other: string): boolean {
  return familiarName(parseReference(one)) === familiarName(parseReference(other));
}

function conflict(what: string, how: string, reason: string): EngineError {
  const hint = how === "must be forced" ? advice.imageUsed : advice.imageRunning;
  return new EngineError("conflict", `conflict: unable to delete ${what} (${how}) - ${reason}`, { hint });
}
