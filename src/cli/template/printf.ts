/** Go's fmt.Sprintf: https://pkg.go.dev/fmt. Mistakes are shown in the text, as `%!d(MISSING)`. */
import { printValue, typed } from "./print.ts";
import { plainSpec, type Spec } from "./print-number.ts";
import { concrete, type Value } from "./types.ts";

export function sprintf(format: string, args: (Value | undefined)[]): string {
  return new Formatter(format, args).run();
}

/** Widths beyond that are taken for a mistake. */
const widest = 1e6;

class Formatter {
  readonly #characters: string[];
  readonly #args: (Value | undefined)[];
  #at = 0;
  #next = 0;
  /** Did an index reach an argument that is there? */
  #isGood = true;
  /** Arguments out of order leave none over. */
  #isReordered = false;
  #text = "";

  constructor(format: string, args: (Value | undefined)[]) {
    this.#characters = [...format];
    this.#args = args.map(concrete);
  }

  run(): string {
    while (this.#at < this.#characters.length) {
      const character = this.#characters[this.#at++]!;
      if (character === "%") this.#directive();
      else this.#text += character;
    }
    if (!this.#isReordered && this.#next < this.#args.length) {
      const extra = this.#args.slice(this.#next).map((value) => (value === undefined ? "<nil>" : typed(value)));
      this.#text += `%!(EXTRA ${extra.join(", ")})`;
    }
    return this.#text;
  }

  #directive(): void {
    this.#isGood = true;
    const spec = this.#flags();
    let isIndexed = this.#index();
    if (this.#characters[this.#at] === "*") {
      this.#at++;
      const width = this.#star();
      if (width === undefined) this.#text += "%!(BADWIDTH)";
      else if (width < 0) Object.assign(spec, { width: -width, minus: true, zero: false });
      else spec.width = width;
      isIndexed = false;
    } else {
      const start = this.#at;
      spec.width = this.#digits();
      if (isIndexed && this.#at > start) this.#isGood = false;
    }
    if (this.#characters[this.#at] === ".") {
      this.#at++;
      if (isIndexed) this.#isGood = false;
      isIndexed = this.#precision(spec);
    }
    if (!isIndexed) this.#index();
    this.#verb(spec);
  }

  #flags(): Spec {
    const spec: Spec = { ...plainSpec };
    const flags: Record<string, keyof Spec> = { "+": "plus", "-": "minus", "#": "sharp", " ": "space", "0": "zero" };
    for (;;) {
      const flag = flags[this.#characters[this.#at]!];
      if (flag === undefined) return spec;
      Object.assign(spec, { [flag]: true });
      if (spec.minus) spec.zero = false;
      this.#at++;
    }
  }

  /** @returns whether an index stands behind it. */
  #precision(spec: Spec): boolean {
    const isIndexed = this.#index();
    if (this.#characters[this.#at] !== "*") {
      spec.precision = this.#digits() ?? 0;
      return isIndexed;
    }
    this.#at++;
    const precision = this.#star();
    if (precision === undefined) this.#text += "%!(BADPREC)";
    else if (precision >= 0) spec.precision = precision;
    return false;
  }

  #verb(spec: Spec): void {
    const verb = this.#characters[this.#at++];
    if (verb === undefined) this.#text += "%!(NOVERB)";
    else if (verb === "%") this.#text += "%";
    else if (!this.#isGood) this.#text += `%!${verb}(BADINDEX)`;
    else if (this.#next >= this.#args.length) this.#text += `%!${verb}(MISSING)`;
    else this.#text += printValue(this.#args[this.#next++], verb, spec);
  }

  /** `[2]`: which argument is next. */
  #index(): boolean {
    if (this.#characters[this.#at] !== "[") return false;
    this.#isReordered = true;
    const close = this.#characters.indexOf("]", this.#at);
    const number = close < 0 ? "" : this.#characters.slice(this.#at + 1, close).join("");
    this.#at = close < 0 ? this.#at + 1 : close + 1;
    const index = Number(number) - 1;
    if (!/^\d+$/.test(number) || index < 0 || index >= this.#args.length) {
      this.#isGood = false;
      return close >= 0;
    }
    this.#next = index;
    return true;
  }

  #digits(): number | undefined {
    const start = this.#at;
    while (/^\d$/.test(this.#characters[this.#at] ?? "")) this.#at++;
    const digits = this.#characters.slice(start, this.#at).join("");
    return digits === "" || Number(digits) > widest ? undefined : Number(digits);
  }

  /** `*`: an argument of type int says it. */
  #star(): number | undefined {
    const value = this.#args[this.#next];
    if (this.#next < this.#args.length) this.#next++;
    if (value?.type.kind !== "int" && value?.type.kind !== "uint") return undefined;
    const number = Number(value.data);
    return Math.abs(number) > widest ? undefined : number;
  }
}
