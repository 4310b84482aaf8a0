/** The keys that leave a terminal and let its process run: Docker's `ctrl-p,ctrl-q`. */
import { EngineError } from "./errors.ts";

export const defaultDetachKeys = "ctrl-p,ctrl-q";

/**
 * The bytes of a comma-separated list of keys: a character, or `ctrl-` and one of a-z @ [ \ ] ^ _.
 * @throws EngineError invalid_argument in Docker's words.
 */
export function parseDetachKeys(text: string): Uint8Array {
  const bytes = text.split(",").map((key) => {
    const control = /^ctrl-([a-z@[\\\]^_])$/.exec(key);
    if (control) return control[1]!.toUpperCase().charCodeAt(0) - 64;
    if (/^[\x20-\x7e]$/.test(key)) return key.charCodeAt(0);
    throw new EngineError("invalid_argument", `Invalid detach keys (${text}) provided`);
  });
  return Uint8Array.from(bytes);
}

/** Looks for the keys in what is typed. A beginning that turns out to be none is passed on late, but whole. */
export class DetachScanner {
  readonly #keys: Uint8Array;
  #matched = 0;

  constructor(keys: Uint8Array) {
    this.#keys = keys;
  }

  /** @returns what to pass on, and whether the keys were completed; what follows them is dropped. */
  scan(chunk: Uint8Array): { pass: Uint8Array; detached: boolean } {
    const keys = this.#keys;
    // Usual case: nothing held back and no first key within.
    if (this.#matched === 0 && !chunk.includes(keys[0]!)) return { pass: chunk, detached: false };
    const pass: number[] = [];
    for (const byte of chunk) {
      while (this.#matched > 0 && byte !== keys[this.#matched]) this.#release(pass);
      if (byte === keys[this.#matched]) {
        this.#matched++;
        if (this.#matched === keys.length) {
          this.#matched = 0;
          return { pass: Uint8Array.from(pass), detached: true };
        }
      } else pass.push(byte);
    }
    return { pass: Uint8Array.from(pass), detached: false };
  }

  /** What is held back when the input ends. */
  rest(): Uint8Array {
    const held = this.#keys.slice(0, this.#matched);
    this.#matched = 0;
    return held;
  }

  /** Gives up as much of the held beginning as cannot belong to a match: the longest border stays. */
  #release(pass: number[]): void {
    const held = this.#matched;
    for (let keep = held - 1; keep >= 0; keep--) {
      const shift = held - keep;
      if (this.#keys.subarray(0, keep).every((byte, index) => byte === this.#keys[shift + index])) {
        for (let index = 0; index < shift; index++) pass.push(this.#keys[index]!);
        this.#matched = keep;
        return;
      }
    }
  }
}
