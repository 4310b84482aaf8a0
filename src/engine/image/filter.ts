/** Docker's filters of a list of images: which are shown, and under which of their names. */
import { EngineError } from "../../core/errors.ts";
import { pathPattern } from "../../core/path-match.ts";
import { parseTimestamp } from "../../core/timestamp.ts";
import type { ImageSummary } from "../../image/image.ts";
import { matchesLabels } from "../label-filter.ts";

export type ImageFilters = Readonly<Record<string, readonly string[]>>;

/**
 * @param createdAt when the image of a name was made (ISO 8601); undefined where it does not say.
 * @returns the images that pass, each with the names that do.
 * @throws EngineError invalid_argument for what is no filter; what `createdAt` throws for a name that nothing has.
 */
export function filterImages(
  images: readonly ImageSummary[],
  filters: ImageFilters,
  createdAt: (reference: string) => string | undefined,
): ImageSummary[] {
  const predicates = Object.entries(filters).map(([name, values]) => predicateOf(name, values, createdAt));
  const passing = images.filter((image) => predicates.every((matches) => matches(image)));
  const matchesName = filters.reference && nameMatcher(filters.reference);
  return matchesName ? passing.map((image) => namedBy(image, matchesName)) : passing;
}

type Predicate = (image: ImageSummary) => boolean;

function predicateOf(
  name: string,
  values: readonly string[],
  createdAt: (reference: string) => string | undefined,
): Predicate {
  switch (name) {
    case "reference": {
      const matches = nameMatcher(values);
      return ({ repoTags, repoDigests }) => [...repoTags, ...repoDigests].some(matches);
    }
    case "label":
      return ({ labels }) => matchesLabels(values, labels);
    case "label!":
      return ({ labels }) => values.every((value) => !matchesLabels([value], labels));
    case "dangling": {
      const wanted = values.includes("true") || values.includes("1");
      return ({ repoTags, repoDigests }) => (repoTags.length + repoDigests.length === 0) === wanted;
    }
    case "before":
    case "since":
      return madeAround(
        name,
        values.flatMap((value) => createdAt(value) ?? []),
      );
    case "until": {
      const bounds = values.map(instantMs);
      return ({ createdAt: made }) => bounds.every((bound) => timeMs(made) < bound);
    }
    default:
      throw new EngineError("invalid_argument", `invalid filter '${name}'`);
  }
}

/** An image that does not say when it was made is neither before nor after any. */
function madeAround(side: "before" | "since", times: readonly string[]): Predicate {
  const bounds = times.map((time) => Date.parse(time));
  return ({ createdAt }) => {
    if (createdAt === undefined) return bounds.length === 0;
    const made = timeMs(createdAt);
    return bounds.every((bound) => (side === "before" ? made < bound : made > bound));
  };
}

function timeMs(createdAt: string | undefined): number {
  const time = createdAt === undefined ? Number.NaN : Date.parse(createdAt);
  return Number.isNaN(time) ? 0 : time;
}

function instantMs(text: string): number {
  const seconds = parseTimestamp(text);
  if (seconds !== undefined) return Number(seconds) * 1000;
  throw new EngineError("invalid_argument", `invalid filter 'until=${text}': neither a time nor a duration`);
}

/** Patterns over whole names, `busybox:1.*`, or over the name alone, `busy*`. */
function nameMatcher(patterns: readonly string[]): (name: string) => boolean {
  const matchers = patterns.map((pattern) => {
    const matches = pathPattern(pattern);
    if (matches) return matches;
    throw new EngineError("invalid_argument", `invalid filter 'reference=${pattern}': syntax error in pattern`);
  });
  return (name) => matchers.some((matches) => matches(name) || matches(repositoryOf(name)));
}

/** Of an image with several names those that were asked for, as Docker shows it. */
function namedBy(image: ImageSummary, matches: (name: string) => boolean): ImageSummary {
  const repoTags = image.repoTags.filter(matches);
  const repositories = new Set(repoTags.map(repositoryOf));
  const repoDigests = image.repoDigests.filter((name) => repositories.has(repositoryOf(name)) || matches(name));
  return { ...image, repoTags, repoDigests };
}

function repositoryOf(name: string): string {
  const at = name.indexOf("@");
  if (at >= 0) return name.slice(0, at);
  const colon = name.lastIndexOf(":");
  return colon > name.lastIndexOf("/") ? name.slice(0, colon) : name;
}
