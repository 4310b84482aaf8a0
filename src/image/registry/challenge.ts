/** WWW-Authenticate (RFC 9110, 11.6.1): one or more challenges, each a scheme with parameters. */
export interface Challenge {
  /** In lower case: `bearer`, `basic`. */
  scheme: string;
  /** Names in lower case. */
  parameters: Record<string, string>;
}

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const parameter = new RegExp(`^\\s*,*\\s*(${token})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${token}))`);
const scheme = new RegExp(`^\\s*,*\\s*(${token})(?=\\s|,|$)`);

/** The challenges in order. What cannot be read ends the list: a client may ignore what it does not know. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  let rest = header;
  for (;;) {
    const current = challenges.at(-1);
    const pair = current && parameter.exec(rest);
    if (pair) {
      current.parameters[pair[1]!.toLowerCase()] = pair[2]?.replaceAll(/\\(.)/g, "$1") ?? pair[3]!;
      rest = rest.slice(pair[0].length);
      continue;
    }
    const start = scheme.exec(rest);
    if (!start) return challenges;
    challenges.push({ scheme: start[1]!.toLowerCase(), parameters: {} });
    rest = rest.slice(start[0].length);
  }
}
