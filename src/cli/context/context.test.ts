import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import { parseFlags } from "../flags.ts";
import { connectionFlags, globalFlags } from "../global-flags.ts";
import { packContext, unpackContext } from "./archive.ts";
import { currentContext, daemonAddress, type Surroundings } from "./current.ts";
import { endpointOf } from "./endpoint.ts";
import { ContextStore, checkContextName, parseMeta, type StoredContext } from "./store.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tsd-context-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const ca = Buffer.from("authority");
const key = Buffer.from("key");

function remote(Name: string): StoredContext {
  return {
    meta: {
      Name,
      Metadata: { Description: "words", team: 7 },
      Endpoints: { docker: { Host: "tcp://h:2376", SkipTLSVerify: false } },
    },
    tls: { docker: { "ca.pem": ca, "key.pem": key } },
  };
}

function surroundings(argv: string[], environment: NodeJS.ProcessEnv = {}): Surroundings {
  const { values, given } = parseFlags(globalFlags(), argv);
  return { flags: connectionFlags(values, given), configDirectory: directory, environment };
}

describe("stored contexts", () => {
  test("lie where docker looks for them, and are read again as they were", async () => {
    const store = new ContextStore(directory);
    await store.write(remote("far"));
    // sha256("far")
    const id = new Bun.CryptoHasher("sha256").update("far").digest("hex");
    expect(readFileSync(join(directory, "contexts/meta", id, "meta.json"), "utf8")).toBe(
      JSON.stringify(remote("far").meta),
    );
    expect(readdirSync(join(directory, "contexts/tls", id, "docker"))).toEqual(["ca.pem", "key.pem"]);
    expect(store.read("far")).toEqual(remote("far"));
  });

  test("are not there at all when they cannot be written", async () => {
    const store = new ContextStore(directory);
    const { meta } = remote("far");
    const tls = { docker: { "ca.pem": ca, ["k".repeat(300)]: key } };
    await expect(store.write({ meta, tls })).rejects.toThrow("ENAMETOOLONG");
    expect(readdirSync(join(directory, "contexts/tls"))).toEqual([]);
  });

  test("are listed by name, and gone after their removal, with their keys", async () => {
    const store = new ContextStore(directory);
    for (const name of ["n10", "n9"]) await store.write(remote(name));
    expect(store.list().map(({ Name }) => Name)).toEqual(["n9", "n10"]);
    store.remove("n9");
    expect(() => store.read("n9")).toThrow('context "n9": context not found: open ');
    expect(() => store.remove("n9")).toThrow('context "n9" does not exist');
    expect(readdirSync(join(directory, "contexts/tls"))).toHaveLength(1);
  });

  test("lose the files that an update has none of", async () => {
    const store = new ContextStore(directory);
    await store.write(remote("far"));
    const { meta } = remote("far");
    await store.write({ meta, tls: { docker: { "ca.pem": key } } });
    expect(store.tls("far")).toEqual({ docker: { "ca.pem": key } });
    await store.write({ meta, tls: {} });
    expect(store.tls("far")).toEqual({});
  });

  test("that are damaged are named", async () => {
    const store = new ContextStore(directory);
    await store.write(remote("far"));
    writeFileSync(join(store.metaPath("far"), "meta.json"), "{");
    expect(() => store.list()).toThrow(`parsing ${store.metaPath("far")}/meta.json: `);
  });

  test.each<[endpoints: object, metadata: object, words: string]>([
    [{ docker: { Host: 7 } }, {}, "Endpoints.docker.Host: of a wrong type"],
    // "false" would be true, and whoever answers be taken for the daemon.
    [{ docker: { Host: "tcp://h", SkipTLSVerify: "false" } }, {}, "Endpoints.docker.SkipTLSVerify: of a wrong type"],
    [{}, { Description: 7 }, "Metadata.Description has to be text"],
  ])("with %j and %j are refused", (Endpoints, Metadata, words) => {
    const text = JSON.stringify({ Name: "far", Metadata, Endpoints });
    expect(() => parseMeta(text, "meta.json")).toThrow(`parsing meta.json: ${words}`);
  });

  test("do not have the file that somebody who was killed was writing", async () => {
    const store = new ContextStore(directory);
    await store.write(remote("far"));
    writeFileSync(join(store.tlsPath("far"), "docker", "ca.pem.0123456789ab.tmp"), "half");
    expect(store.read("far")).toEqual(remote("far"));
    await store.write(remote("far"));
    expect(readdirSync(join(store.tlsPath("far"), "docker"))).toEqual(["ca.pem", "key.pem"]);
  });

  test.each([
    ["", "context name cannot be empty"],
    ["a", 'context name "a" is invalid, names are validated against regexp "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"'],
    ["../x", 'context name "../x" is invalid'],
    ["default", '"default" is a reserved context name'],
  ])("are not called %j", (name, words) => expect(() => checkContextName(name)).toThrow(words));
});

describe("an archive of a context", () => {
  const chunks = async function* (...parts: Uint8Array[]) {
    yield* parts;
  };

  test("has all of it", async () => {
    const packed = packContext(remote("far"));
    expect(await unpackContext(chunks(packed.subarray(0, 700), packed.subarray(700)))).toEqual(remote("far"));
  });

  test("may end with the last byte, as docker's do", async () => {
    const packed = packContext(remote("far"));
    const ofLastFile = packed.length - 1024 - (512 - key.length);
    expect(await unpackContext(chunks(packed.subarray(0, ofLastFile)))).toEqual(remote("far"));
    await expect(unpackContext(chunks(packed.subarray(0, ofLastFile - 1)))).rejects.toThrow("truncated");
  });

  test("may be a zip", async () => {
    const meta = Buffer.from(JSON.stringify(remote("far").meta));
    const packed = zip([
      ["meta.json", meta, true],
      ["tls/", Buffer.alloc(0), false],
      ["tls/docker/ca.pem", ca, false],
      ["tls/docker/key.pem", key, true],
    ]);
    expect(await unpackContext(chunks(packed))).toEqual(remote("far"));
    await expect(unpackContext(chunks(packed.subarray(0, packed.length - 30)))).rejects.toThrow("zip archive: ");
  });

  test.each<[name: string, words: string]>([
    ["tls/../../x", "tls/../../x: unexpected path format"],
    ["tls/docker/..", "tls/docker/..: unexpected path format"],
    ["tls/x", "tls/x: unexpected path format"],
    ["tls/__proto__/ca.pem", "tls/__proto__/ca.pem: unexpected path format"],
    [`tls/docker/${"k".repeat(201)}`, ": unexpected path format"],
    ["etc/passwd", "etc/passwd: unexpected context file"],
  ])("with %s in it is refused", async (name, words) => {
    const meta = Buffer.from(JSON.stringify(remote("far").meta));
    const packed = zip([
      ["meta.json", meta, false],
      [name, ca, false],
    ]);
    await expect(unpackContext(chunks(packed))).rejects.toThrow(words);
  });

  test("is not anything else, or nothing", async () => {
    await expect(unpackContext(chunks())).rejects.toThrow("invalid context: no metadata found");
    await expect(unpackContext(chunks(Buffer.alloc(2048, "x")))).rejects.toThrow("no archive of a context: ");
    await expect(unpackContext(chunks(Buffer.alloc(11 << 20)))).rejects.toThrow("more than 10485760 bytes");
  });
});

/** A zip archive without what nobody here reads: times and checksums. */
function zip(files: [name: string, content: Buffer, isDeflated: boolean][]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const [name, content, isDeflated] of files) {
    const body = isDeflated ? deflateRawSync(content) : content;
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(name.length, 26);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(isDeflated ? 8 : 0, 10);
    entry.writeUInt32LE(body.length, 20);
    entry.writeUInt32LE(content.length, 24);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(at, 42);
    parts.push(local, Buffer.from(name), body);
    directory.push(entry, Buffer.from(name));
    at += local.length + name.length + body.length;
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, ...directory, end]);
}

describe("which daemon", () => {
  const configured = () => writeFileSync(join(directory, "config.json"), '{"currentContext": "used"}');

  test("is said by --context, -H, TSD_HOST, DOCKER_HOST, DOCKER_CONTEXT, the context in use, in this order", () => {
    configured();
    const all = { TSD_HOST: "unix:///t", DOCKER_HOST: "unix:///d", DOCKER_CONTEXT: "named" };
    expect(currentContext(surroundings(["-c", "far"], all))).toBe("far");
    expect(currentContext(surroundings(["-H", "unix:///x"], { DOCKER_CONTEXT: "named" }))).toBe("default");
    expect(currentContext(surroundings([], all))).toBe("default");
    expect(currentContext(surroundings([], { DOCKER_HOST: "unix:///d", DOCKER_CONTEXT: "named" }))).toBe("default");
    expect(currentContext(surroundings([], { DOCKER_CONTEXT: "named" }))).toBe("named");
    expect(currentContext(surroundings([]))).toBe("used");
    rmSync(join(directory, "config.json"));
    expect(currentContext(surroundings([]))).toBe("default");
    expect(() => currentContext(surroundings(["-c", "far", "-H", "x"]))).toThrow(
      "conflicting options: cannot specify both --host and --context",
    );
  });

  test("is the context's, with its files", async () => {
    await new ContextStore(directory).write(remote("far"));
    expect(await daemonAddress(surroundings(["-c", "far"]))).toEqual({
      hostname: "h",
      port: 2376,
      tls: { ca: "authority", key: "key", verify: true },
    });
    await expect(daemonAddress(surroundings(["-c", "no"]))).rejects.toThrow(
      'failed to initialize: unable to resolve docker endpoint: context "no": context not found: open ',
    );
  });

  test("is known by the files that flags and the environment name", async () => {
    for (const name of ["ca", "cert", "key"]) writeFileSync(join(directory, `${name}.pem`), name);
    const at = (argv: string[], environment: NodeJS.ProcessEnv = {}) =>
      daemonAddress(surroundings(["-H", "tcp://h", ...argv], environment));
    const tls = { ca: "ca", cert: "cert", key: "key" };
    expect(await at([])).toEqual({ hostname: "h", port: 2375 });
    expect(await at(["--tls"])).toEqual({ hostname: "h", port: 2376, tls: { ...tls, verify: false } });
    expect(await at(["--tlsverify"])).toMatchObject({ tls: { ...tls, verify: true } });
    expect(await at(["--tlsverify=false"], { DOCKER_TLS_VERIFY: "1" })).toMatchObject({ tls: { verify: false } });
    expect(await at([], { DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: directory })).toMatchObject({ tls });
    expect(await at(["--tls", "--tlscacert", join(directory, "key.pem")])).toMatchObject({ tls: { ca: "key" } });
    rmSync(join(directory, "cert.pem"));
    rmSync(join(directory, "key.pem"));
    expect(await at(["--tlsverify"])).toEqual({ hostname: "h", port: 2376, tls: { ca: "ca", verify: true } });
    await expect(at(["--tls", "--tlskey", "/nope"])).rejects.toThrow("open /nope: no such file or directory");
    rmSync(join(directory, "ca.pem"));
    await expect(at(["--tls"])).rejects.toThrow(`open ${directory}/ca.pem: no such file or directory`);
  });
});

describe("--docker", () => {
  const endpoint = (settings: Record<string, string>) => endpointOf(settings, surroundings([]));

  test("describes a daemon", async () => {
    expect(endpoint({ host: "tcp://h:1", "skip-tls-verify": "true" })).toEqual({
      meta: { Host: "tcp://h:1", SkipTLSVerify: true },
      files: {},
    });
    expect(endpoint({ host: "ssh://u@h" }).meta.Host).toBe("ssh://u@h");
    await new ContextStore(directory).write(remote("far"));
    expect(endpoint({ from: "far" })).toEqual({
      meta: { Host: "tcp://h:2376", SkipTLSVerify: false },
      files: { "ca.pem": ca, "key.pem": key },
    });
  });

  test.each<[settings: Record<string, string>, words: string]>([
    [{ foo: "x" }, "unrecognized config key: foo"],
    [{ ca: "/nope" }, "open /nope: no such file or directory"],
    [{ "skip-tls-verify": "x" }, 'skip-tls-verify: parsing "x": invalid syntax'],
    [{ host: "nonsense" }, "unable to apply docker endpoint options: unable to parse docker host `nonsense`"],
    [
      { host: "tcp://h", ca: import.meta.path },
      "invalid docker endpoint options: failed to retrieve context tls info: ca.pem seems invalid",
    ],
    [{ host: "tcp://h", key: import.meta.path }, "invalid docker endpoint options: no valid private key found"],
    [{ from: "nope" }, 'context "nope": context not found'],
  ])("%j is refused", (settings, words) => {
    expect(() => endpoint(settings)).toThrow(`unable to create docker endpoint config: ${words}`);
  });
});
