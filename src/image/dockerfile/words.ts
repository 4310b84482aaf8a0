/**
 * Words of an instruction as docker's builder reads them: quotes, backslashes, and variables in the forms of a shell
 * (Dockerfile reference, "Environment replacement").
 */
import { EngineError } from "../../core/errors.ts";

export type Variables = ReadonlyMap<string, string>;

/** `KEY=value` entries as variables. */
export function variablesOf(env: readonly string[]): Map<string, string> {
  return new Map(
    env.map((entry) => {
      const equals = entry.indexOf("=");
      return equals < 0 ? [entry, ""] : [entry.slice(0, equals), entry.slice(equals + 1)];
    }),
  );
}

/** Cut at blanks that are neither quoted nor escaped; quotes and backslashes stay, for `expandWord` to read. */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  let word = "";
  let quote = "";
  let isWord = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (quote === "" && /\s/.test(character)) {
      if (isWord) words.push(word);
      word = "";
      isWord = false;
      continue;
    }
    isWord = true;
    word += character;
    if (character === "\\" && quote !== "'" && at + 1 < text.length) word += text[++at]!;
    else if (quote === character) quote = "";
    else if (quote === "" && (character === '"' || character === "'")) quote = character;
  }
  if (isWord) words.push(word);
  return words;
}

/** The word without its quotes, its variables replaced. @throws EngineError invalid_argument for a form that there is not. */
export function expandWord(word: string, variables: Variables): string {
  return new Expansion(word, variables).all();
}

class Expansion {
  readonly #text: string;
  readonly #variables: Variables;
  #at = 0;

  constructor(text: string, variables: Variables) {
    this.#text = text;
    this.#variables = variables;
  }

  all(): string {
    return this.#until("");
  }

  /** Up to the end, or up to a closing brace where one is wanted. */
  #until(end: "" | "}"): string {
    let result = "";
    while (this.#at < this.#text.length) {
      const character = this.#text[this.#at]!;
      if (end !== "" && character === end) return result;
      if (character === "'") result += this.#single();
      else if (character === '"') result += this.#double();
      else if (character === "$") result += this.#variable();
      else if (character === "\\") {
        this.#at++;
        result += this.#at < this.#text.length ? this.#text[this.#at++]! : "\\";
      } else {
        result += character;
        this.#at++;
      }
    }
    if (end !== "") throw this.#wrong("missing }");
    return result;
  }

  #single(): string {
    const end = this.#text.indexOf("'", this.#at + 1);
    if (end < 0) throw this.#wrong("unexpected end of statement while looking for matching single-quote");
    const content = this.#text.slice(this.#at + 1, end);
    this.#at = end + 1;
    return content;
  }

  #double(): string {
    let result = "";
    for (this.#at++; ; ) {
      const character = this.#text[this.#at];
      if (character === undefined)
        throw this.#wrong("unexpected end of statement while looking for matching double-quote");
      if (character === '"') {
        this.#at++;
        return result;
      }
      if (character === "$") result += this.#variable();
      else if (character === "\\") {
        const next = this.#text[this.#at + 1];
        // Within double quotes a backslash is one, unless what follows means something there.
        if (next !== undefined && '"$\\'.includes(next)) result += next;
        else result += character + (next ?? "");
        this.#at += 2;
      } else {
        result += character;
        this.#at++;
      }
    }
  }

  #variable(): string {
    this.#at++;
    if (this.#text[this.#at] !== "{") {
      const name = this.#name();
      return name === "" ? "$" : (this.#variables.get(name) ?? "");
    }
    this.#at++;
    const name = this.#name();
    if (name === "") throw this.#wrong("bad substitution");
    const value = this.#variables.get(name);
    if (this.#text[this.#at] === "}") {
      this.#at++;
      return value ?? "";
    }
    return this.#modified(name, value);
  }

  /** `${name:-word}` and the like; without the colon an empty value counts as one. */
  #modified(name: string, value: string | undefined): string {
    const hasColon = this.#text[this.#at] === ":";
    if (hasColon) this.#at++;
    const modifier = this.#text[this.#at++];
    const word = this.#until("}");
    this.#at++;
    const isSet = value !== undefined && !(hasColon && value === "");
    switch (modifier) {
      case "-":
        return isSet ? value : word;
      case "+":
        return isSet ? word : "";
      case "?":
        if (isSet) return value;
        throw new EngineError("invalid_argument", `${name}: ${word === "" ? "not set" : word}`);
      default:
        throw this.#wrong(`unsupported modifier (${modifier ?? ""}) in substitution`);
    }
  }

  #name(): string {
    const [name = ""] = /^(?:[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])/.exec(this.#text.slice(this.#at)) ?? [];
    this.#at += name.length;
    return name;
  }

  #wrong(reason: string): EngineError {
    return new EngineError("invalid_argument", `failed to process ${JSON.stringify(this.#text)}: ${reason}`);
  }
}
