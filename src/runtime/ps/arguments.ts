/** The arguments of ps(1): SysV's options with a dash, BSD's without, GNU's with two. */
import { EngineError } from "../../core/errors.ts";

export type Listing = "" | "f" | "F" | "l" | "j" | "u" | "v" | "s" | "X";

/** A column as it was asked for: `pid`, `user:20`, `comm=NAME`. */
export interface ColumnRequest {
  name: string;
  /** In place of the column's own; "" for none. */
  heading?: string;
  width?: number;
}

export interface SortKey {
  name: string;
  descending: boolean;
}

export interface PsRequest {
  /** Any option of BSD's makes the default listing BSD's. */
  bsd: boolean;
  /** SysV's may be several: `-fl`. */
  listings: Set<Listing>;
  /** `-o`, in their order; they stand for the whole listing. */
  columns: ColumnRequest[];
  /** `-O`: between the pid and the rest of the default listing. */
  inserted: ColumnRequest[];
  sort: SortKey[];
  /** Lines for threads: `-L` and `H` with LWP and NLWP, `-T` with SPID, `m` after their process. */
  threads?: "L" | "H" | "T" | "m";
  forest?: "lines" | "blanks";
  /** `-y`: RSS in place of ADDR in `-l`. */
  resident: boolean;
  /** `-c`: the scheduler's columns. */
  scheduler: boolean;
  /** `-M`, `-Z`, `Z`: the security label first. */
  label: boolean;
  /** `-N`: all but those that are asked for. */
  deselect: boolean;
  /** No listing was asked for, but help or a version. */
  informs: boolean;
  noHeadings: boolean;
  cumulative: boolean;
  trueName: boolean;
  environment: boolean;
  numeric: boolean;
}

/** With an argument, in the same word or the next. */
const sysvLists = "CGgpqstuU";
const bsdLists = "pqtU";
const longLists = new Set(["Group", "User", "group", "pid", "ppid", "quick-pid", "sid", "tty", "user"]);
const longNumbers = new Set(["cols", "columns", "width", "lines", "rows"]);

/** What `userExists` has to know: `-aux` is SysV's only where there is a user `x`. */
export interface PsUsers {
  userExists(name: string): boolean;
}

/**
 * @throws EngineError invalid_argument with what ps says. As ps does, options that are none of SysV's are tried as
 * BSD's:
 *   `-aux` means `aux`.
 */
export function parsePsArguments(words: readonly string[], users: PsUsers): PsRequest {
  try {
    return new Parser(words, users, false).parse();
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    try {
      return new Parser(words, users, true).parse();
    } catch (second) {
      throw second instanceof EngineError ? error : second;
    }
  }
}

function wrong(message: string): EngineError {
  return new EngineError("invalid_argument", `ps: error: ${message}`, {
    stage: "ps",
    hint: "the options are those of ps(1): -ef, aux, -o pid,args",
  });
}

class Parser {
  readonly #words: string[];
  readonly #users: PsUsers;
  readonly #allBsd: boolean;
  readonly #request: PsRequest = {
    bsd: false,
    listings: new Set(),
    columns: [],
    inserted: [],
    sort: [],
    resident: false,
    scheduler: false,
    label: false,
    deselect: false,
    informs: false,
    noHeadings: false,
    cumulative: false,
    trueName: false,
    environment: false,
    numeric: false,
  };

  constructor(words: readonly string[], users: PsUsers, allBsd: boolean) {
    this.#words = [...words];
    this.#users = users;
    this.#allBsd = allBsd;
  }

  parse(): PsRequest {
    for (let word = this.#words.shift(); word !== undefined; word = this.#words.shift()) {
      if (word.startsWith("--")) this.#long(word.slice(2));
      else if (word.startsWith("-") && !this.#allBsd) this.#sysv(word.slice(1));
      // A process's number.
      else if (/^-?[\d,]+$/.test(word)) this.#request.bsd = true;
      else this.#bsd(word.replace(/^-/, ""));
    }
    const { listings, columns, inserted } = this.#request;
    const sysvTogether = [...listings].every((listing) => "fFlj".includes(listing));
    const formats = (columns.length > 0 ? 1 : 0) + (inserted.length > 0 ? 1 : 0);
    if (formats + (listings.size > 0 ? 1 : 0) > 1 || (listings.size > 1 && (!sysvTogether || this.#request.bsd))) {
      throw wrong("conflicting format options");
    }
    return this.#request;
  }

  /** The rest of the word, or the next word. */
  #argument(rest: string, missing: string): string {
    const argument = rest === "" ? this.#words.shift() : rest;
    if (argument === undefined || argument === "") throw wrong(missing);
    return argument;
  }

  #sysv(letters: string): void {
    const request = this.#request;
    if (letters === "") throw wrong("garbage option");
    for (let index = 0; index < letters.length; index++) {
      const letter = letters[index]!;
      const rest = letters.slice(index + 1);
      if (sysvLists.includes(letter)) {
        this.#list(letter, this.#argument(rest, `list of ${listKinds[letter]} must follow -${letter}`));
        return;
      }
      if (letter === "o" || letter === "O") {
        const columns = parseColumns(this.#argument(rest, `format specification must follow -${letter}`));
        (letter === "o" ? request.columns : request.inserted).push(...columns);
        return;
      }
      if ("AadewP".includes(letter)) continue;
      if ("fFlj".includes(letter)) request.listings.add(letter as Listing);
      else if (letter === "L" || letter === "T" || letter === "m") request.threads = letter;
      else if (letter === "H") request.forest = "blanks";
      else if (letter === "M" || letter === "Z") request.label = true;
      else if (letter === "N") request.deselect = true;
      else if (letter === "V") request.informs = true;
      else if (letter === "c") request.scheduler = true;
      else if (letter === "y") request.resident = true;
      else throw wrong("unsupported SysV option");
    }
  }

  #bsd(letters: string): void {
    const request = this.#request;
    request.bsd = true;
    for (let index = 0; index < letters.length; index++) {
      const letter = letters[index]!;
      const rest = letters.slice(index + 1);
      if (bsdLists.includes(letter)) {
        this.#list(letter, this.#argument(rest, `list of ${listKinds[letter]} must follow ${letter}`));
        return;
      }
      if (letter === "o") {
        request.columns.push(...parseColumns(this.#argument(rest, "format specification must follow o")));
        return;
      }
      if (letter === "k" || letter === "O") {
        request.sort.push(...parseSort(this.#argument(rest, `long sort specification must follow '${letter}'`)));
        return;
      }
      if ("agrTwx".includes(letter)) continue;
      if ("ljuvs".includes(letter)) request.listings.add(letter as Listing);
      else if (letter === "H" || letter === "m") request.threads = letter;
      else if (letter === "f") request.forest = "lines";
      else if (letter === "Z") request.label = true;
      else if (letter === "L" || letter === "V") request.informs = true;
      else if (letter === "S") request.cumulative = true;
      else if (letter === "c") request.trueName = true;
      else if (letter === "e") request.environment = true;
      else if (letter === "h") request.noHeadings = true;
      else if (letter === "n") request.numeric = true;
      else throw wrong("unsupported option (BSD syntax)");
    }
  }

  #long(option: string): void {
    const request = this.#request;
    const [name = "", value] = splitOnce(option);
    const argument = () => this.#argument(value ?? "", `long option --${name} needs an argument`);
    if (name === "format") request.columns.push(...parseColumns(argument()));
    else if (name === "sort") request.sort.push(...parseSort(argument()));
    else if (longLists.has(name)) this.#list(name, argument());
    else if (longNumbers.has(name)) argument();
    else if (name === "context") request.label = true;
    else if (name === "cumulative") request.cumulative = true;
    else if (name === "deselect") request.deselect = true;
    else if (name === "forest") request.forest = "lines";
    else if (name === "headers") return;
    else if (name === "no-headers" || name === "no-heading" || name === "noheadings") request.noHeadings = true;
    else if (name === "help" || name === "info" || name === "version") request.informs = true;
    else throw wrong("unknown gnu long option");
  }

  /** What is asked for by number or name adds to what is shown, and everything of the container is shown already. */
  #list(option: string, list: string): void {
    const words = list.split(/[,\s]+/).filter((word) => word !== "");
    if (["u", "U", "user", "User"].includes(option)) {
      if (!words.every((word) => /^\d+$/.test(word) || this.#users.userExists(word)))
        throw wrong("user name does not exist");
    } else if (["p", "q", "pid", "ppid", "quick-pid", "s", "sid"].includes(option)) {
      if (!words.every((word) => /^\d+$/.test(word))) throw wrong("process ID list syntax error");
    }
  }
}

const listKinds: Record<string, string> = {
  C: "command names",
  G: "real groups",
  U: "real users",
  g: "session leaders OR effective group names",
  p: "process IDs",
  q: "process IDs",
  s: "session IDs",
  t: "terminals (pty, tty...)",
  u: "users",
};

function splitOnce(option: string): [string, string | undefined] {
  const equals = option.indexOf("=");
  return equals < 0 ? [option, undefined] : [option.slice(0, equals), option.slice(equals + 1)];
}

/** `pid,user:20,comm=A B`: a heading goes to the end of its word, whatever is in it. */
function parseColumns(text: string): ColumnRequest[] {
  const equals = text.indexOf("=");
  const names = (equals < 0 ? text : text.slice(0, equals)).replace(/,$/, "").split(",");
  return names.map((word, index) => {
    const [, name = "", width] = /^([^:]*)(?::(\d+))?$/.exec(word) ?? [];
    if (name === "") throw wrong("improper format list");
    const isLast = index === names.length - 1;
    return {
      name,
      ...(width !== undefined && { width: Number(width) }),
      ...(isLast && equals >= 0 && { heading: text.slice(equals + 1) }),
    };
  });
}

/** `-rss,+pid` */
function parseSort(text: string): SortKey[] {
  return text.split(",").map((word) => {
    const name = word.replace(/^[+-]/, "");
    if (name === "") throw wrong("improper sort list");
    return { name, descending: word.startsWith("-") };
  });
}
