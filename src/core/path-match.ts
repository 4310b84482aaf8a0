/**
 * Go's path.Match (https://pkg.go.dev/path#Match), which Docker's filters of names take their patterns by: `*` and `?`
 * stand for anything but `/`, `[a-z]` and `[^a-z]` for a character, and `\` takes the next as it is.
 */

/** Compiles a pattern. @returns undefined for a malformed one. */
export function pathPattern(pattern: string): ((name: string) => boolean) | undefined {
  let source = "";
  const characters = [...pattern];
  for (let at = 0; at < characters.length; ) {
    const character = characters[at++]!;
    if (character === "*") source += "[^/]*";
    else if (character === "?") source += "[^/]";
    else if (character === "[") {
      const set = characterSet(characters, at);
      if (set === undefined) return undefined;
      source += set.source;
      at = set.end;
    } else {
      const literal = character === "\\" ? characters[at++] : character;
      if (literal === undefined) return undefined;
      source += RegExp.escape(literal);
    }
  }
  const expression = new RegExp(`^${source}$`, "su");
  return (name) => expression.test(name);
}

/** The characters behind `[` up to its `]`; undefined where they are malformed. */
function characterSet(characters: readonly string[], from: number): { source: string; end: number } | undefined {
  let at = from;
  const isNegated = characters[at] === "^";
  if (isNegated) at++;
  const ranges: string[] = [];
  const next = (): string | undefined => {
    const character = characters[at++];
    if (character === "-" || character === "]") return undefined;
    return character === "\\" ? characters[at++] : character;
  };
  while (ranges.length === 0 || characters[at] !== "]") {
    const low = next();
    if (low === undefined) return undefined;
    let high: string | undefined = low;
    if (characters[at] === "-") {
      at++;
      high = next();
    }
    if (high === undefined || at >= characters.length) return undefined;
    // A range the wrong way round holds nothing.
    if (low <= high) ranges.push(`${codePoint(low)}-${codePoint(high)}`);
    else ranges.push("");
  }
  const set = ranges.join("");
  if (set === "") return { source: isNegated ? "[^]" : "[]", end: at + 1 };
  return { source: `[${isNegated ? "^" : ""}${set}]`, end: at + 1 };
}

function codePoint(character: string): string {
  return `\\u{${character.codePointAt(0)!.toString(16)}}`;
}
