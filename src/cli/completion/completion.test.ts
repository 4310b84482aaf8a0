import { describe, expect, test } from "bun:test";
import { type Ask, type Completion, complete } from "./candidates.ts";
import { completionScript } from "./scripts.ts";

const objects =
  (...names: string[]) =>
  async (): Promise<Completion> => ({
    candidates: names.map((text) => ({ text })),
    allowsFiles: false,
  });
const ask: Ask = {
  containers: (state) => objects(`${state}-1`, `${state}-2`)(),
  images: objects("busybox:1", "alpine:3"),
  networks: objects("bridge", "mine"),
  volumes: objects("data"),
  contexts: objects("default", "far"),
};

async function texts(line: string): Promise<string> {
  const { candidates, allowsFiles } = await complete(line.split(" "), ask);
  return [...candidates.map(({ text }) => text), ...(allowsFiles ? ["FILES"] : [])].join(" ");
}

describe("what may come next", () => {
  test.each<[line: string, candidates: string]>([
    ["con", "container context"],
    ["context u", "update use"],
    ["container un", "unpause"],
    ["--tlsc", "--tlscacert --tlscert"],
    ["-H unix:///x con", "container context"],
    ["--context ", "default far"],
    ["--tlscert ", "FILES"],
    ["ps --no", "--no-trunc"],
    ["rm ", "all-1 all-2"],
    ["rm all-1 all-2 -", "--force --link --volumes"],
    ["container start ", "stopped-1 stopped-2"],
    ["unpause paused-1 ", "paused-1 paused-2"],
    ["exec -it r", "running-1 running-2"],
    ["exec -u root r", "running-1 running-2"],
    ["exec running-1 -", "FILES"],
    ["run b", "busybox:1"],
    ["run --network ", "bridge mine"],
    ["run -v ", "FILES"],
    ["run --rm busybox:1 ", "FILES"],
    ["run busybox:1 --n", "FILES"],
    ["rmi alpine:3 a", "alpine:3"],
    ["network connect ", "bridge mine"],
    ["network connect mine ", "all-1 all-2"],
    ["volume rm ", "data"],
    ["context use f", "far"],
    ["context use far ", ""],
    ["inspect --type n", "network"],
    ["load -i ", "FILES"],
    ["import ", "FILES"],
    ["nope ", ""],
    ["container nope ", ""],
  ])("behind %j is %j", async (line, candidates) => {
    expect(await texts(line)).toStartWith(candidates);
    if (candidates === "") expect(await texts(line)).toBe("");
  });

  test("is described in one line", async () => {
    const { candidates } = await complete(["ps", "--form"], ask);
    expect(candidates).toEqual([{ text: "--format", description: "Format output using a custom template:" }]);
  });
});

describe("bash's script", () => {
  /** What bash offers behind these words, with a program that answers in the place of tsd. */
  async function replies(words: string[], answer: string): Promise<string[]> {
    const script = [
      completionScript("bash", "tsd"),
      `tsd() { printf '%s\\n' "asked for: $*" >&3; printf -- '${answer}'; }`,
      `COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}) COMP_CWORD=${words.length - 1}`,
      "_tsd_complete; declare -p COMPREPLY",
    ].join("\n");
    const shell = Bun.spawn(["bash", "--norc", "-c", `exec 3>&1\n${script}`], { stdout: "pipe", stderr: "inherit" });
    return (await new Response(shell.stdout).text()).trimEnd().split("\n");
  }

  test("asks for the words so far, and offers the answers without their descriptions", async () => {
    expect(await replies(["tsd", "ps", "--f"], "--filter\\tWhat\\n--format\\tHow\\n:4\\n")).toEqual([
      "asked for: __complete ps --f",
      'declare -a COMPREPLY=([0]="--filter" [1]="--format")',
    ]);
    expect(await replies(["tsd", "rm", ""], "a b\\n:4\\n")).toEqual([
      "asked for: __complete rm ",
      'declare -a COMPREPLY=([0]="a b")',
    ]);
  });
});

test("scripts of other shells are for the program by its name", () => {
  expect(completionScript("zsh", "docker")).toStartWith("#compdef docker\n");
  expect(completionScript("fish", "docker")).toContain("complete -c docker -f");
});
