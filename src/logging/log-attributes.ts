/** Which of a container's labels and variables go with its lines: the options labels, labels-regex, env and env-regex. */
import { EngineError, errorMessage } from "../core/errors.ts";

/** A container as the options see it. */
export interface LoggedContainer {
  labels: Readonly<Record<string, string>>;
  /** `NAME=VALUE` */
  env: readonly string[];
}

type Options = Readonly<Record<string, string>>;

/**
 * As docker's (moby, daemon/logger, ExtraAttributes).
 * @param nameOf how the driver writes a label's or variable's name. @throws EngineError for an expression that is none.
 */
export function logAttributes(
  options: Options,
  { labels, env }: LoggedContainer,
  nameOf: (name: string) => string = (name) => name,
): Record<string, string> {
  const found: Record<string, string> = {};
  const take = (from: Readonly<Record<string, string>>, names: string | undefined, expression: string | undefined) => {
    for (const name of names?.split(",") ?? []) if (Object.hasOwn(from, name)) found[nameOf(name)] = from[name]!;
    if (!expression) return;
    const pattern = attributePattern(expression);
    for (const [name, value] of Object.entries(from)) if (pattern.test(name)) found[nameOf(name)] = value;
  };
  take(labels, options.labels, options["labels-regex"]);
  take(variables(env), options.env, options["env-regex"]);
  return found;
}

/** How docker makes a field's name of a label's or variable's: capitals, digits and underscores, none at the beginning. */
export function journalFieldName(name: string): string {
  return [...name]
    .map((character) => (/[a-z]/.test(character) ? character.toUpperCase() : character))
    .map((character) => (/[A-Z0-9]/.test(character) ? character : "_"))
    .join("")
    .replace(/^_+/, "");
}

/** @throws EngineError invalid_argument */
export function attributePattern(expression: string): RegExp {
  try {
    return new RegExp(expression, "u");
  } catch (error) {
    throw new EngineError("invalid_argument", `error parsing regexp: ${errorMessage(error)}`, { stage: "create" });
  }
}

function variables(env: readonly string[]): Record<string, string> {
  const named = env.filter((entry) => entry.includes("="));
  return Object.fromEntries(
    named.map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]),
  );
}
