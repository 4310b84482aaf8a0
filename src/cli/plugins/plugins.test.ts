import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseFlags } from "../flags.ts";
import { connectionFlags, globalFlags } from "../global-flags.ts";
import { openSession, type Session } from "../session.ts";
import { describePlugins, findPlugin, isInForeground, pluginEnvironment, validPlugins } from "./plugins.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tsd-plugins-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

function session(argv: string[] = [], environment: NodeJS.ProcessEnv = {}): Session {
  const { values, given } = parseFlags(globalFlags(), argv);
  const flags = connectionFlags(values, given);
  return openSession({ program: "tsd", globalWords: argv, words: [], flags, config: directory }, environment);
}

function plugin(name: string, answer: string, folder = "cli-plugins", mode = 0o755): string {
  mkdirSync(join(directory, folder), { recursive: true });
  const path = join(directory, folder, `docker-${name}`);
  writeFileSync(path, `#!/bin/sh\n${answer}\n`, { mode });
  return path;
}

const metadata = (fields: object) => `echo '${JSON.stringify({ SchemaVersion: "0.1.0", Vendor: "me", ...fields })}'`;

describe("plugins of the command line", () => {
  test("are programs in docker's folders, those of the configuration first", () => {
    const own = plugin("a", "");
    expect(findPlugin("a", session())).toBe(own);
    const extra = plugin("a", "", "extra");
    writeFileSync(join(directory, "config.json"), JSON.stringify({ cliPluginsExtraDirs: [join(directory, "extra")] }));
    expect(findPlugin("a", session())).toBe(extra);
  });

  test("are not what cannot be executed, is a folder, or has a path for a name", () => {
    plugin("data", "", "cli-plugins", 0o644);
    mkdirSync(join(directory, "cli-plugins/docker-folder"));
    plugin("out", "", ".");
    for (const name of ["data", "folder", "../out", "absent", ""]) expect(findPlugin(name, session())).toBeUndefined();
  });

  test("say what they are, and others are said to be none", async () => {
    plugin("good", metadata({ Version: "v2", ShortDescription: "Does good" }));
    plugin("old", metadata({ SchemaVersion: "0.0.1" }));
    plugin("nobodys", metadata({ Vendor: "" }));
    plugin("failing", `${metadata({})}; exit 1`);
    plugin("mute", "true");
    plugin("nothing", "echo null");
    plugin("flood", "cat /dev/zero");
    writeFileSync(join(directory, "cli-plugins/docker-broken"), "\0", { mode: 0o755 });
    const said = await describePlugins(session());
    const path = join(directory, "cli-plugins/docker-good");
    const good = { name: "good", path, version: "v2", summary: "Does good", vendor: "me" };
    expect(said.filter(({ problem }) => problem === undefined)).toEqual([good]);
    expect(await validPlugins(session())).toEqual([good]);
    expect(Object.fromEntries(said.map(({ name, problem = "" }) => [name, problem]))).toEqual({
      broken: expect.stringContaining("failed to fetch metadata: "),
      failing: "failed to fetch metadata: exit status 1",
      flood: "failed to fetch metadata: signal: SIGKILL",
      good: "",
      mute: expect.stringContaining("invalid metadata: "),
      nobodys: "plugin metadata does not define a vendor",
      nothing: 'plugin SchemaVersion "" is not valid, must be 0.1.0',
      old: 'plugin SchemaVersion "0.0.1" is not valid, must be 0.1.0',
    });
  });

  test.each([
    ["7 (a) b) S 1 7 1 34816 7 4194304", true],
    ["7 (tsd) S 1 7 1 34816 9 4194304", false],
    ["7 (tsd) S 1 7 1 0 -1 4194304", false],
  ])("hear what is typed where %j says so", (stat, is) => expect(isInForeground(stat)).toBe(is));

  test("find the daemon that the command line would ask, where docker's own rules do not lead to it", () => {
    const host = (argv: string[], environment: NodeJS.ProcessEnv = {}) =>
      pluginEnvironment(session(argv, environment)).DOCKER_HOST;
    expect(host([])).toBe("unix:///run/tsd/tsd.sock");
    expect(host([], { TSD_HOST: "unix:///t", DOCKER_HOST: "unix:///d" })).toBe("unix:///t");
    // They read these words themselves.
    expect(host(["-H", "unix:///x"])).toBeUndefined();
    expect(host(["-c", "far"])).toBeUndefined();
    expect(host([], { DOCKER_CONTEXT: "far" })).toBeUndefined();
  });
});
