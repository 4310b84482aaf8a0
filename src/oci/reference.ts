/**
 * Image references with Docker's rules: `busybox` is docker.io/library/busybox:latest, the first component is a
 * registry when it looks like a host. Grammar and words follow github.com/distribution/reference, because scripts
 * match on them.
 */
import { advice } from "../core/advice.ts";
import { type Digest, digestAlgorithm, digestHex, digestHexLengths, parseDigest } from "../core/digest.ts";
import { EngineError, errorMessage } from "../core/errors.ts";
import { shortId } from "../core/id.ts";

export const defaultRegistry = "docker.io";
const legacyDefaultRegistry = "index.docker.io";
const officialPrefix = "library/";
const defaultTag = "latest";
const pathLengthMax = 255;

const hostComponent = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const host = `(?:${hostComponent}(?:\\.${hostComponent})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`;
const pathComponent = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const path = `${pathComponent}(?:/${pathComponent})*`;
const tagPattern = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
const digestPattern = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";

/**
 * The registry is always there: parseReference puts the default in before it matches. With an underscore it is no host's
 * name by the grammar; docker takes it because it is a path's, and asks the host of that name.
 */
const full = new RegExp(`^(${host}|${pathComponent})/(${path})(?::(${tagPattern}))?(?:@(${digestPattern}))?$`);
const identifier = /^[a-f0-9]{64}$/;

export interface Reference {
  /** `docker.io`, `localhost:5000`. */
  readonly registry: string;
  /** The name in that registry: `library/busybox`. */
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

/**
 * A reference that names one image: with neither tag nor digest it gets `latest`.
 * @throws EngineError invalid_argument in docker's words.
 */
export function parseReference(text: string): Reference {
  const reference = parseRepository(text);
  if (reference.tag !== undefined || reference.digest !== undefined) return reference;
  return { ...reference, tag: defaultTag };
}

/**
 * A reference as it was written; one without tag and digest stands for the repository.
 * @throws EngineError invalid_argument in docker's words.
 */
export function parseRepository(text: string): Reference {
  if (identifier.test(text)) {
    throw invalid(`invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`);
  }
  const { registry, rest } = splitRegistry(text);
  const name = rest.split(":", 1)[0]!;
  if (name !== name.toLowerCase()) {
    const suffix = rest.slice(name.length);
    throw invalid(
      `invalid reference format: repository name (${name}) must be lowercase`,
      advice.lowerCase(text.slice(0, text.length - suffix.length).toLowerCase() + suffix),
    );
  }
  const whole = `${registry}/${rest}`;
  const match = full.exec(whole);
  if (!match)
    throw invalid(full.test(whole.toLowerCase()) ? "repository name must be lowercase" : "invalid reference format");
  const [, , repository, tag, digest] = match;
  if (repository!.length > pathLengthMax) {
    throw invalid(`repository name must not be more than ${pathLengthMax} characters`);
  }
  return {
    registry,
    repository: repository!,
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined && { digest: checkedDigest(digest) }),
  };
}

/**
 * What names an image that is there: a reference, or an id of 64 digits, or a digest alone.
 * @returns undefined for the last two. @throws EngineError invalid_argument in docker's words.
 */
export function parseAnyReference(text: string): Reference | undefined {
  return identifier.test(text) || new RegExp(`^${digestPattern}$`).test(text) ? undefined : parseRepository(text);
}

/** Is the text a valid tag by itself? */
export function isTag(text: string): boolean {
  return new RegExp(`^${tagPattern}$`).test(text);
}

/** `docker.io/library/busybox`: the name without tag and digest. */
export function repositoryName(reference: Reference): string {
  return `${reference.registry}/${reference.repository}`;
}

/** `docker.io/library/busybox:latest`: how references are stored and compared. */
export function canonicalReference(reference: Reference): string {
  return repositoryName(reference) + suffix(reference);
}

/** `busybox`: the shortest name that means the same repository. */
export function familiarName(reference: Reference): string {
  const { registry, repository } = reference;
  // docker.io/a.b/c stays whole: `a.b/c` would mean repository c on host a.b.
  if (registry !== defaultRegistry || splitRegistry(repository).rest !== repository) return repositoryName(reference);
  const short = repository.slice(officialPrefix.length);
  // docker.io/library/a/b keeps its prefix: `a/b` would mean docker.io/a/b.
  return repository.startsWith(officialPrefix) && !short.includes("/") ? short : repository;
}

/** `busybox:latest`: how references are shown. */
export function familiarReference(reference: Reference): string {
  return familiarName(reference) + suffix(reference);
}

function suffix(reference: Reference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  return reference.digest === undefined ? tag : `${tag}@${reference.digest}`;
}

/** The first component is a registry when it has a dot, a colon or an upper-case letter, or is `localhost`. */
function splitRegistry(text: string): { registry: string; rest: string } {
  const slash = text.indexOf("/");
  const first = text.slice(0, Math.max(slash, 0));
  const isRegistry = slash >= 0 && (first === "localhost" || /[.:]/.test(first) || first !== first.toLowerCase());
  const registry = !isRegistry || first === legacyDefaultRegistry ? defaultRegistry : first;
  const rest = isRegistry ? text.slice(slash + 1) : text;
  return { registry, rest: registry === defaultRegistry && !rest.includes("/") ? officialPrefix + rest : rest };
}

function checkedDigest(text: string): Digest {
  try {
    return parseDigest(text);
  } catch (error) {
    throw new EngineError("invalid_argument", `${digestFault(text)}: ${errorMessage(error)}`, { cause: error });
  }
}

/** In docker's words. */
function digestFault(text: string): string {
  const hexDigits = digestHexLengths[digestAlgorithm(text as Digest)];
  if (hexDigits === undefined) return "unsupported digest algorithm";
  return `invalid checksum digest ${digestHex(text as Digest).length === hexDigits ? "format" : "length"}`;
}

function invalid(message: string, hint?: string): EngineError {
  return new EngineError("invalid_argument", message, { ...(hint !== undefined && { hint }) });
}

/** `busybox` → `busybox:latest`, as docker names what it did not find; an id as it is. */
export function shownReference(text: string): string {
  try {
    return familiarReference(parseReference(text));
  } catch {
    return text.startsWith("sha256:") ? shortId(text) : text;
  }
}
