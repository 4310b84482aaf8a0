import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseRuntimeConfig } from "../../oci/runtime.ts";
import { fail, runtime, succeed } from "../testing/runtime.ts";
import { commandNames } from "./commands.ts";

// Each starts processes of its own, on a machine that may be busy.
setDefaultTimeout(60_000);

let directory: string;
let root: string;
beforeAll(() => {
  directory = mkdtempSync("/var/tmp/tsd-cli-");
  root = join(directory, "state");
});
afterAll(() => rmSync(directory, { recursive: true }));

describe("the command line", () => {
  test("shows its help and the help of each verb", async () => {
    const text = await succeed(root, "--help");
    expect(text).toStartWith("NAME:\n   tsd runtime - Open Container Initiative runtime\n");
    expect(text).toContain("USAGE:\n   tsd runtime [global options] command [command options] [arguments...]\n");
    for (const name of commandNames) expect(text).toContain(`\n   ${name} `);
    for (const flag of [
      "--debug",
      "--log value",
      "--log-format value",
      "--root value",
      "--systemd-cgroup",
      "--version, -v",
    ]) {
      expect(text).toContain(`   ${flag} `);
    }
    expect(await succeed(root)).toBe(text);
    expect(await succeed(root, "help")).toBe(text);
    const verb = await succeed(root, "delete", "--help");
    expect(verb).toContain("USAGE:\n   tsd runtime delete [command options] <container-id>\n");
    expect(verb).toContain("   --force, -f  Forcibly deletes");
    expect(await succeed(root, "help", "delete")).toBe(verb);
    expect(await succeed(root, "state", "-h")).toContain("USAGE:\n   tsd runtime state <container-id>\n");
  });
  test("names itself, its version and the specification in the lines that dockerd reads", async () => {
    expect(await succeed(root, "--version")).toMatch(/^tsd-runc version \S+\ncommit: \S+\nspec: 1\.3\.0\n/);
  });
  test("shows the help with what is wrong about the words, and fails", async () => {
    const cases: [string[], string][] = [
      [["state"], 'tsd runtime: "state" requires exactly 1 argument(s)'],
      [["kill"], 'tsd runtime: "kill" requires a minimum of 1 argument(s)'],
      [["kill", "a", "b", "c"], 'tsd runtime: "kill" requires a maximum of 2 argument(s)'],
      [["list", "--nosuch"], "flag provided but not defined: -nosuch"],
      [["--nosuch"], "flag provided but not defined: -nosuch"],
    ];
    for (const [words, message] of cases) {
      const { status, stdout, stderr } = await runtime(root, ...words);
      expect(status).toBe(1);
      expect(stdout).toContain(`Incorrect Usage: ${message}`);
      expect(stdout).toContain("USAGE:");
      expect(stderr).toContain(`level=error msg=${JSON.stringify(message)}`);
    }
  });
  test("says which commands it does not have, with a status of their own", async () => {
    expect(await fail(root, "nosuch")).toBe('"nosuch" is no command; see "tsd runtime --help"');
    expect((await runtime(root, "nosuch")).status).toBe(3);
  });
  test("refuses global flags that it cannot honour", async () => {
    expect(await fail(root, "--log-format", "xml", "list")).toBe("invalid log-format: xml");
    expect(await fail(root, "--rootless", "maybe", "list")).toContain("--rootless");
  });
});

describe("the log", () => {
  test("is a file when asked for, in text or JSON, with the bare error on standard error", async () => {
    const file = join(directory, "log");
    const { stderr } = await runtime(root, "--log", file, "state", "nosuch");
    expect(stderr).toBe("container nosuch does not exist\n");
    await runtime(root, "--log", file, "--log-format", "json", "state", "nosuch");
    const [text, json] = readFileSync(file, "utf8").split("\n");
    expect(text).toMatch(/^time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ" level=error msg="container nosuch does not exist"$/);
    expect(JSON.parse(json!)).toEqual({
      level: "error",
      msg: "container nosuch does not exist",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
    });
  });
});

describe("unknown containers", () => {
  test("do not exist, in the words that callers of runc look for", async () => {
    for (const words of [
      ["state", "x"],
      ["start", "x"],
      ["kill", "x"],
      ["delete", "x"],
      ["exec", "x", "true"],
    ]) {
      expect(await fail(root, ...words)).toContain("container x does not exist");
    }
    expect(await succeed(root, "delete", "--force", "x")).toBe("");
    expect(await fail(root, "state", "../x")).toContain("invalid container id format");
    expect(await fail(root, "kill", "x", "NOSUCH")).toContain("NOSUCH");
  });
  test("are not listed", async () => {
    expect(await succeed(root, "list")).toBe("ID          PID         STATUS      BUNDLE      CREATED     OWNER\n");
    expect(await succeed(root, "list", "-q")).toBe("");
    expect(await succeed(root, "list", "--format", "json")).toBe("[]\n");
    expect(await fail(root, "list", "--format", "xml")).toBe("invalid format option");
  });
});

describe("spec", () => {
  test("writes a configuration that the specification allows, once", async () => {
    const bundle = join(directory, "spec");
    mkdirSync(bundle);
    await succeed(root, "spec", "--bundle", bundle);
    const path = join(bundle, "config.json");
    const config = parseRuntimeConfig(readFileSync(path, "utf8"), path);
    expect(config).toMatchObject({ process: { terminal: true, args: ["sh"] }, root: { path: "rootfs" } });
    expect(await fail(root, "spec", "--bundle", bundle)).toBe(`${path} exists; remove it first`);
  });
  test("maps the user to root for a rootless container, without what needs privileges", async () => {
    const bundle = join(directory, "rootless");
    mkdirSync(bundle);
    await succeed(root, "spec", "--rootless", "--bundle", bundle);
    const path = join(bundle, "config.json");
    const config = parseRuntimeConfig(readFileSync(path, "utf8"), path);
    const types = config.linux?.namespaces?.map((namespace) => namespace.type);
    expect(types).toContain("user");
    expect(types).not.toContain("network");
    expect(config.linux?.uidMappings).toEqual([{ containerID: 0, hostID: process.geteuid!(), size: 1 }]);
    expect(config.linux?.resources).toBeUndefined();
  });
  test("names a bundle that is not there", async () => {
    expect(await fail(root, "spec", "--bundle", join(directory, "none"))).toContain("none: no such directory");
    expect(existsSync(join(directory, "none"))).toBe(false);
  });
});
