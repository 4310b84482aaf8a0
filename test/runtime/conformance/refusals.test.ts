/** What is refused before anything is made: ids, bundles, configurations. Nothing may be left of it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { testConfig } from "../../harness/oci-bundle.ts";
import { OciRuntime } from "../../harness/oci-runtime.ts";
import { isTsd, needs } from "../../harness/runtime-under-test.ts";

let runtime: OciRuntime;
beforeAll(async () => {
  runtime = await OciRuntime.open();
}, 120_000);
afterAll(() => runtime?.[Symbol.asyncDispose]());

const containers = () => (existsSync(runtime.stateRoot) ? readdirSync(runtime.stateRoot) : []);

describe("an id", () => {
  const refused = [
    ["that is empty", ""],
    ["that is a path", "a/b"],
    ["that leads out", "../a"],
    ["that is the root's parent", ".."],
    ["that is the root", "."],
    ["with a space", "a b"],
    ["with a line end", "a\n"],
    ["with other letters", "ä"],
  ] as const;
  for (const [what, id] of refused) {
    test(`${what} is refused by create, run and every verb that looks one up`, async () => {
      const { bundle } = runtime.bundle(["true"]);
      const message = /(container id cannot be empty|invalid container id format)/i;
      const verbs = [
        ["create", "-b", bundle, id],
        ["run", "-b", bundle, id],
        ["state", id],
        ["delete", id],
      ];
      for (const words of verbs) {
        expect(await runtime.fails(...words)).toEqual({ status: 1, message: expect.stringMatching(message) });
      }
      expect(containers()).toEqual([]);
    });
  }

  needs("tsd")("that is too long for a directory's name is refused as such", async () => {
    // runc says what mkdir says.
    const { bundle } = runtime.bundle(["true"]);
    const { message } = await runtime.fails("run", "-b", bundle, "x".repeat(256));
    expect(message).toContain("invalid container id format");
  });

  test("may have all the characters that runc allows", async () => {
    const { bundle } = runtime.bundle(["true"], (config) => {
      config.linux.cgroupsPath = `${runtime.workspace.cgroupParent}/odd`;
    });
    expect(await runtime.ok("run", "-b", bundle, "aA0_+-.")).toBe("");
  });

  for (const verb of ["create", "run"]) {
    test(`that is taken is refused by ${verb}, and its container goes on`, async () => {
      await using container = await runtime.created();
      const { status, message } = await runtime.fails(verb, "-b", container.bundle, container.id);
      expect([status, message]).toEqual([1, expect.stringMatching(/container with .*already exists/)]);
      expect(await runtime.state(container.id)).toMatchObject({ status: "created" });
    });
  }

  test("that nobody has is refused by every verb but delete --force", async () => {
    for (const [words, status] of [
      [["start", "nobody"], 1],
      [["state", "nobody"], 1],
      [["kill", "nobody"], 1],
      [["delete", "nobody"], 1],
      [["exec", "nobody", "true"], 255],
    ] as const) {
      const message = expect.stringMatching(/container .*does not exist/);
      expect(await runtime.fails(...words)).toEqual({ status, message });
    }
    expect(await runtime.verb(["delete", "--force", "nobody"])).toEqual({ status: 0, stdout: "", stderr: "" });
  });
});

describe("a bundle", () => {
  for (const verb of ["create", "run"]) {
    test(`that is not there is refused by ${verb}, by its path`, async () => {
      const path = runtime.path("none");
      const { status, message } = await runtime.fails(verb, "-b", path, runtime.newId());
      expect([status, message]).toEqual([1, expect.stringContaining(path)]);
    });
  }

  test("without a configuration is refused by the file's name", async () => {
    const { message } = await runtime.fails("run", "-b", runtime.workspace.directory, runtime.newId());
    expect(message).toContain("config.json");
  });

  test("whose root is not there is refused by its path", async () => {
    const { id, bundle } = runtime.bundle(["true"], (config) => {
      config.root.path = "nowhere";
    });
    const { message } = await runtime.fails("run", "-b", bundle, id);
    expect(message).toContain("nowhere");
    expect(runtime.traces(id)).toEqual([]);
  });
});

describe("a configuration", () => {
  const valid = () => testConfig(["true"], runtime.rootfs, `${runtime.workspace.cgroupParent}/valid`);
  const cases: [
    what: string,
    change: (config: Record<string, unknown> & ReturnType<typeof valid>) => unknown,
    field: string,
  ][] = [
    ["whose args are a text", (config) => Object.assign(config.process, { args: "true" }), "process.args"],
    ["whose uid is a text", (config) => Object.assign(config.process, { user: { uid: "0" } }), "process.user.uid"],
    ["whose mounts are an object", (config) => Object.assign(config, { mounts: {} }), "mounts"],
    ["whose root is a text", (config) => Object.assign(config, { root: "rootfs" }), "root"],
    ["whose hostname is a number", (config) => Object.assign(config, { hostname: 1 }), "hostname"],
    [
      "with a hook that is no object",
      (config) => Object.assign(config, { hooks: { poststop: ["x"] } }),
      "hooks.poststop",
    ],
    [
      "with a memory limit that is a text",
      (config) => Object.assign(config.linux, { resources: { memory: { limit: "1g" } } }),
      "linux.resources.memory.limit",
    ],
  ];
  for (const [what, change, field] of cases) {
    test(`${what} is refused with the path of the field`, async () => {
      const config = valid();
      change(config as never);
      const { id, bundle } = runtime.bundleOf(config);
      const { status, message } = await runtime.fails("create", "-b", bundle, id);
      // Go's decoder names the field by its path, too, but for elements of lists.
      expect([status, message]).toEqual([1, expect.stringContaining(isTsd ? field : field.split(".").at(-1)!)]);
      expect(runtime.traces(id)).toEqual([]);
    });
  }

  for (const [what, text] of [
    ["that is empty", ""],
    ["that is cut off", '{"ociVersion": "1.0.2", "process": {'],
    ["that is a list", "[]"],
  ] as const) {
    test(`${what} is refused`, async () => {
      const { id, bundle } = runtime.bundleOf(text);
      expect((await runtime.fails("run", "-b", bundle, id)).status).toBe(1);
      expect(runtime.traces(id)).toEqual([]);
    });
  }

  for (const [what, change, message] of [
    ["without a process", (config: object) => Object.assign(config, { process: undefined }), /process/],
    ["without a root", (config: object) => Object.assign(config, { root: undefined }), /root/i],
    ["without args", (config: { process: object }) => Object.assign(config.process, { args: [] }), /args/],
    ["with a relative cwd", (config: { process: object }) => Object.assign(config.process, { cwd: "tmp" }), /absolute/],
    ["without a cwd", (config: { process: object }) => Object.assign(config.process, { cwd: "" }), /cwd/i],
  ] as const) {
    test(`${what} is refused`, async () => {
      const config = valid();
      (change as (config: object) => void)(config);
      const { id, bundle } = runtime.bundleOf(config);
      const result = await runtime.fails("run", "-b", bundle, id);
      expect(result).toEqual({ status: 1, message: expect.stringMatching(message) });
      expect(runtime.traces(id)).toEqual([]);
    });
  }
});

/** dockerd looks for these words, and tells people what they have done. */
test("a directory on a file, and a file on a directory, are refused as such", async () => {
  for (const [source, destination] of [
    ["/etc", "/etc/passwd"],
    ["/etc/passwd", "/etc"],
  ] as const) {
    const { id, bundle } = runtime.bundle(["true"], (config) => {
      config.mounts.push({ destination, type: "bind", source, options: ["bind"] });
    });
    const { message } = await runtime.fails("run", "-b", bundle, id);
    expect(message).toContain("not a directory");
    expect(message).toContain(destination);
    expect(runtime.traces(id)).toEqual([]);
  }
});

describe("ociVersion", () => {
  const withVersion = (ociVersion: string | undefined) => {
    const { id, bundle } = runtime.bundle(["true"], (config) => Object.assign(config, { ociVersion }));
    return ["run", "-b", bundle, id];
  };
  for (const version of ["1.0.0", "1.0.2-dev", "1.1.0", "1.2.1+dev", "1.3.0", "1.99.0", "1.3.0-rc.1"]) {
    test(`${version} is accepted`, async () => {
      expect(await runtime.ok(...withVersion(version))).toBe("");
    });
  }
  // runc takes every text.
  for (const version of ["0.9.0", "2.0.0", "1.0", "v1.0.0", "", "one", undefined]) {
    needs("tsd")(`${version === undefined ? "that is missing" : JSON.stringify(version)} is refused`, async () => {
      const { status, message } = await runtime.fails(...withVersion(version));
      expect([status, message]).toEqual([1, expect.stringContaining("config.json: ociVersion: ")]);
    });
  }
});
