/** Help, usage lines, and wrong use of the command line. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { OciRuntime } from "../../harness/oci-runtime.ts";
import { isTsd, needs, runtimeName } from "../../harness/runtime-under-test.ts";

let runtime: OciRuntime;
beforeAll(async () => {
  runtime = await OciRuntime.open();
}, 120_000);
afterAll(() => runtime?.[Symbol.asyncDispose]());

/** Options that runc has had for less long than the others here: another runtime is let off. */
const since1_5 = (...options: string[]) => (isTsd ? options : []);

/** The commands that are tested here, with what stands after their name on the usage line, and their options. */
const commands: Record<string, { usage: string; options: string[] }> = {
  create: {
    usage: "[command options] <container-id>",
    options: [
      "--bundle value, -b value",
      "--console-socket value",
      "--pid-file value",
      "--no-pivot",
      "--no-new-keyring",
      "--preserve-fds value",
    ],
  },
  run: {
    usage: "[command options] <container-id>",
    options: [
      "--bundle value, -b value",
      "--console-socket value",
      "--detach, -d",
      "--keep",
      "--pid-file value",
      "--no-subreaper",
      "--no-pivot",
      "--no-new-keyring",
      "--preserve-fds value",
    ],
  },
  exec: {
    usage: "[command options] <container-id> <command> [command options]  || -p process.json <container-id>",
    options: [
      "--console-socket value",
      "--cwd value",
      "--env value, -e value",
      "--tty, -t",
      "--user value, -u value",
      "--additional-gids value, -g value",
      "--process value, -p value",
      "--detach, -d",
      "--pid-file value",
      "--process-label value",
      "--apparmor value",
      "--no-new-privs",
      "--cap value, -c value",
      "--preserve-fds value",
      "--cgroup value",
      "--ignore-paused",
    ],
  },
  start: { usage: "<container-id>", options: [] },
  state: { usage: "<container-id>", options: [] },
  kill: { usage: "[command options] <container-id> [signal]", options: ["--all, -a"] },
  delete: { usage: "[command options] <container-id>", options: ["--force, -f"] },
  list: { usage: "[command options]", options: ["--format value, -f value", "--quiet, -q"] },
  checkpoint: {
    usage: "[command options] <container-id>",
    options: [
      "--image-path value",
      "--work-path value",
      "--parent-path value",
      "--leave-running",
      "--tcp-established",
      ...since1_5("--tcp-skip-in-flight", "--link-remap"),
      "--ext-unix-sk",
      "--shell-job",
      "--lazy-pages",
      "--status-fd value",
      "--page-server value",
      "--file-locks",
      "--pre-dump",
      "--manage-cgroups-mode value",
      "--empty-ns value",
      "--auto-dedup",
    ],
  },
  restore: {
    usage: "[command options] <container-id>",
    options: [
      "--console-socket value",
      "--image-path value",
      "--work-path value",
      "--tcp-established",
      "--ext-unix-sk",
      "--shell-job",
      "--file-locks",
      "--manage-cgroups-mode value",
      "--bundle value, -b value",
      "--detach, -d",
      "--pid-file value",
      "--no-subreaper",
      "--no-pivot",
      "--empty-ns value",
      "--auto-dedup",
      "--lazy-pages",
      "--lsm-profile value",
      "--lsm-mount-context value",
    ],
  },
  spec: { usage: "[command options] [arguments...]", options: ["--bundle value, -b value", "--rootless"] },
};

const globals = [
  "--debug",
  "--log value",
  "--log-format value",
  "--root value",
  "--systemd-cgroup",
  "--rootless value",
  "--help, -h",
  "--version, -v",
];

/** The parts of a help text by their headings. */
function sections(text: string): Record<string, string[]> {
  const found = [...text.matchAll(/^([A-Z][A-Z ]*\d?):\n((?: +\S.*\n|\S.*\n)*)/gm)];
  return Object.fromEntries(found.map(([, heading, body]) => [heading!, body!.trimEnd().split("\n")]));
}

/** The first column of a table of options or commands. */
const names = (lines: string[] = []) =>
  lines.filter((line) => /^ {3}\S/.test(line)).map((line) => line.trim().split(/ {2,}/)[0]!);

describe("the help", () => {
  test("of the program lists commands and global options", async () => {
    const text = await runtime.ok("--help");
    const found = sections(text);
    expect(found.NAME).toEqual([`   ${runtimeName} - Open Container Initiative runtime`]);
    expect(found.USAGE).toEqual([`   ${runtimeName} [global options] command [command options] [arguments...]`]);
    const listed = names(found.COMMANDS);
    for (const name of [...Object.keys(commands), "help, h"]) expect(listed).toContain(name);
    // In runc since ever, gone in 1.4: criu is what $PATH has.
    expect(names(found["GLOBAL OPTIONS"]).filter((name) => name !== "--criu value")).toEqual(globals);
    for (const words of [[], ["-h"], ["help"], ["h"]]) expect(await runtime.ok(...words)).toBe(text);
  });

  for (const [name, { usage, options }] of Object.entries(commands)) {
    test(`of ${name} has runc's usage line and options, in runc's order`, async () => {
      const text = await runtime.ok(name, "--help");
      const found = sections(text);
      expect(found.NAME![0]).toStartWith(`   ${runtimeName} ${name} - `);
      expect(found.USAGE![0]!.trim()).toBe(`${runtimeName} ${name} ${usage}`);
      const shown = names(found.OPTIONS);
      // Later versions of runc have more.
      expect(isTsd ? shown : shown.filter((option) => options.includes(option))).toEqual(options);
      expect(await runtime.ok("help", name)).toBe(text);
      expect(await runtime.ok(name, "-h")).toBe(text);
    });
  }

  test("of an unknown command is an error with status 3", async () => {
    for (const words of [["nosuch"], ["help", "nosuch"]]) {
      expect(await runtime.fails(...words)).toEqual({ status: 3, message: expect.stringContaining("nosuch") });
    }
  });
});

test("--version names the runtime, its commit and the specification", async () => {
  const text = await runtime.ok("--version");
  const [first, commit, spec] = text.split("\n");
  expect(first).toMatch(new RegExp(`^${runtimeName} version \\d+\\.\\d+\\.\\d+`));
  expect([commit, spec]).toEqual([expect.stringMatching(/^commit: \S+$/), expect.stringMatching(/^spec: 1\.\d+\.\d+/)]);
  expect(await runtime.ok("-v")).toBe(text);
});

describe("wrong use", () => {
  const flags: [words: string[], message: string][] = [
    [["--nosuch"], "flag provided but not defined: -nosuch"],
    ...Object.keys(commands).map((name): [string[], string] => [
      [name, "--nosuch"],
      "flag provided but not defined: -nosuch",
    ]),
    [["run", "--bundle"], "flag needs an argument: -bundle"],
    [["run", "--preserve-fds", "many", "x"], 'invalid value "many" for flag -preserve-fds: parse error'],
    [["run", "--detach=maybe", "x"], 'invalid boolean value "maybe" for -detach: parse error'],
    [["exec", "-g", "audio", "x", "id"], 'invalid value "audio" for flag -g'],
  ];
  for (const [words, message] of flags) {
    test(`${words.join(" ")} is told, with the help`, async () => {
      const { status, stdout, stderr } = await runtime.verb(words);
      expect(status).toBe(1);
      expect(stdout).toMatch(/^Incorrect Usage[.:] /);
      expect(stdout).toContain(message);
      expect(stdout).toContain("USAGE:");
      expect(stderr).toContain(`level=error msg=${JSON.stringify(message).slice(0, -1)}`);
    });
  }

  const counts: [words: string[], message: string][] = [
    [["run"], '"run" requires exactly 1 argument(s)'],
    [["run", "a", "b"], '"run" requires exactly 1 argument(s)'],
    [["create"], '"create" requires exactly 1 argument(s)'],
    [["start"], '"start" requires exactly 1 argument(s)'],
    [["start", "a", "b"], '"start" requires exactly 1 argument(s)'],
    [["state"], '"state" requires exactly 1 argument(s)'],
    [["delete"], '"delete" requires exactly 1 argument(s)'],
    [["delete", "a", "b"], '"delete" requires exactly 1 argument(s)'],
    [["kill"], '"kill" requires a minimum of 1 argument(s)'],
    [["kill", "a", "TERM", "b"], '"kill" requires a maximum of 2 argument(s)'],
    [["exec"], '"exec" requires a minimum of 1 argument(s)'],
    [["list", "a"], '"list" requires exactly 0 argument(s)'],
    [["spec", "a"], '"spec" requires exactly 0 argument(s)'],
  ];
  for (const [words, message] of counts) {
    test(`${words.join(" ")} is told the number of arguments, with the help`, async () => {
      const { status, stdout, stderr } = await runtime.verb(words);
      expect(status).toBe(1);
      expect(stdout).toMatch(/^Incorrect Usage/);
      expect(stdout).toContain("USAGE:");
      expect(stderr).toContain(JSON.stringify(message).slice(1, -1));
    });
  }

  needs("tsd")("an unknown value of --rootless or --log-format is refused whatever the command", async () => {
    // runc looks at --rootless only where it matters.
    expect(await runtime.fails("--rootless", "maybe", "list")).toEqual({
      status: 1,
      message: "invalid value for --rootless: maybe; use true, false or auto",
    });
    expect((await runtime.fails("--log-format", "xml", "list")).message).toBe("invalid log-format: xml");
  });
});
