/** `search`: what an index finds, less what Docker's filters leave out. */
import type { AuthConfig, ImageSearchItem } from "../../api/schema/image.ts";
import { EngineError } from "../../core/errors.ts";
import type { EngineContext } from "../context.ts";
import { registryCredentials } from "./credentials.ts";

export interface SearchRequest {
  term: string;
  /** 0: as many as Docker shows. */
  limit: number;
  filters: Readonly<Record<string, readonly string[]>>;
  auth?: AuthConfig;
}

/** @throws EngineError invalid_argument for a filter that is none; what the index says. */
export async function searchImages(
  context: EngineContext,
  { term, limit, filters, auth }: SearchRequest,
  signal: AbortSignal,
): Promise<ImageSearchItem[]> {
  const stars = Math.max(0, ...(filters.stars ?? []).map(starCount));
  const official = filters["is-official"]?.map((value) => value === "true" || value === "1");
  // No repository is said to be built by the index any more, whatever it answers.
  if (filters["is-automated"]?.some((value) => value === "true" || value === "1")) return [];
  const credentials = auth && registryCredentials(auth);
  const found = await context.images.search({ term, limit, credentials, signal });
  return found
    .filter((one) => one.stars >= stars && (official === undefined || official.includes(one.isOfficial)))
    .map(({ name, description, stars: star_count, isOfficial: is_official }) => {
      return { star_count, is_official, name, is_automated: false, description };
    });
}

function starCount(text: string): number {
  if (/^[+-]?\d+$/.test(text)) return Number(text);
  throw new EngineError("invalid_argument", `invalid filter 'stars=${text}': not a whole number`);
}
