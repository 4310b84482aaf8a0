import { randomInt } from "node:crypto";
import { advice } from "../../core/advice.ts";
import { EngineError } from "../../core/errors.ts";
import { adjectives, surnames } from "./name-words.ts";

const allowed = "[a-zA-Z0-9][a-zA-Z0-9_.-]";
const pattern = new RegExp(`^${allowed}+$`);

/**
 * The name without the leading slash that the Engine API allows.
 * @throws EngineError invalid_argument in docker's words.
 */
export function parseContainerName(text: string): string {
  const name = text.startsWith("/") ? text.slice(1) : text;
  if (!pattern.test(name)) {
    throw new EngineError("invalid_argument", `Invalid container name (${text}), only ${allowed} are allowed`);
  }
  return name;
}

/**
 * Which container holds which name. A name is reserved before the container is made and released when it is gone,
 * so that two creates at once cannot both have it; the table of containers holds the same fact for restarts.
 */
export class NameRegistry {
  readonly #holders = new Map<string, string>();

  /** @throws EngineError already_exists, in docker's words. */
  reserve(name: string, containerId: string): void {
    const holder = this.#holders.get(name);
    if (holder !== undefined && holder !== containerId) {
      throw new EngineError(
        "already_exists",
        `Conflict. The container name "/${name}" is already in use by container "${holder}". ` +
          "You have to remove (or rename) that container to be able to reuse that name.",
        { hint: advice.nameTaken(name) },
      );
    }
    this.#holders.set(name, containerId);
  }

  /** Reserves a generated `adjective_surname`; a digit is added when luck has run out, as docker does. */
  reserveGenerated(containerId: string, random: (max: number) => number = randomInt): string {
    for (let attempt = 0; ; attempt++) {
      const adjective = adjectives[random(adjectives.length)]!;
      const surname = surnames[random(surnames.length)]!;
      const suffix = attempt < 6 ? "" : String(random(10 ** Math.min(attempt - 5, 9)));
      const name = `${adjective}_${surname}${suffix}`;
      if (this.#holders.has(name)) continue;
      this.#holders.set(name, containerId);
      return name;
    }
  }

  /** Releases the name if that container holds it. */
  release(name: string, containerId: string): void {
    if (this.#holders.get(name) === containerId) this.#holders.delete(name);
  }

  holder(name: string): string | undefined {
    return this.#holders.get(name);
  }
}
