/** Go's strconv.Quote and its kin. */

const printable = /[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u;

const escapes: Record<string, string> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  "\\": "\\\\",
};

/** @param asciiOnly all else is escaped (`%+q`). */
export function quote(text: string, asciiOnly = false, mark = '"'): string {
  return mark + [...text].map((character) => quoted(character, asciiOnly, mark)).join("") + mark;
}

function quoted(character: string, asciiOnly: boolean, mark: string): string {
  if (character === mark) return `\\${mark}`;
  const known = escapes[character];
  if (known !== undefined) return known;
  const code = character.codePointAt(0)!;
  if (isPrintable(character) && !(asciiOnly && code > 126)) return character;
  if (code < 0x80) return `\\x${code.toString(16).padStart(2, "0")}`;
  return code > 0xffff ? `\\U${code.toString(16).padStart(8, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
}

/** Letters, marks, numbers, punctuation, symbols and the space. */
export function isPrintable(character: string): boolean {
  return printable.test(character);
}

/** Can it stand between back quotes as it is? */
export function canBackquote(text: string): boolean {
  return ![...text].some((character) => character === "`" || (character !== "\t" && !isPrintable(character)));
}
