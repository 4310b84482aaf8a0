import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Client } from "../../client/client.ts";
import { EngineError, errorMessage } from "../../core/errors.ts";
import { configDirectory } from "../config-directory.ts";
import type { Session } from "../session.ts";
import { mayHaveCredentials } from "./glance.ts";
import { imageAuth, runAuth } from "./registry-auth.ts";
import { CredentialStore, dockerHubServer, serverOf } from "./store.ts";

let root: string;
let path: string | undefined;
beforeEach(() => {
  root = mkdtempSync("/tmp/tsd-credentials-");
  path = process.env.PATH;
  mkdirSync(join(root, "bin"));
  process.env.PATH = `${join(root, "bin")}:/usr/bin:/bin`;
});
afterEach(() => {
  process.env.PATH = path;
  rmSync(root, { recursive: true });
});

const directory = () => join(root, "config");
const file = () => join(directory(), "config.json");
const content = () => JSON.parse(readFileSync(file(), "utf8")) as Record<string, unknown>;

function write(config: object | string): void {
  mkdirSync(directory(), { recursive: true });
  writeFileSync(file(), typeof config === "string" ? config : JSON.stringify(config), { mode: 0o644 });
}

/** A helper that keeps one file for each server, and notes what it is called for. */
function addHelper(name: string, script?: string): void {
  const program = join(root, "bin", `docker-credential-${name}`);
  const usual = `#!/bin/sh
read -r input || true
echo "$1 $input" >> ${root}/calls
key() { echo "$1" | tr -c 'a-z0-9\\n' _; }
case $1 in
  get) cat ${root}/$(key "$input") 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; } ;;
  store) server=$(echo "$input" | sed 's/.*"ServerURL":"\\([^"]*\\)".*/\\1/'); echo "$input" > ${root}/$(key "$server") ;;
  erase) rm ${root}/$(key "$input") ;;
esac
`;
  writeFileSync(program, script ?? usual);
  chmodSync(program, 0o755);
}

const calls = () => readFileSync(join(root, "calls"), "utf8").trim().split("\n");
const me = { username: "me", password: "p:w" };

describe("config.json", () => {
  test("gets an entry that only its owner can read, and keeps all else", async () => {
    write({ HttpHeaders: { a: "b" }, auths: { other: { auth: "eDp5", extra: 1 } }, psFormat: "x" });
    const store = new CredentialStore(directory());
    expect(await store.store("registry.example", me)).toEqual({ plainFile: file() });
    expect(content()).toEqual({
      HttpHeaders: { a: "b" },
      auths: { other: { auth: "eDp5", extra: 1 }, "registry.example": { auth: btoa("me:p:w") } },
      psFormat: "x",
    });
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    expect(readFileSync(file(), "utf8")).toContain('\n\t"auths": {\n');
    expect(await new CredentialStore(directory()).get("registry.example")).toEqual(me);
  });

  test("is made where it is not there, and stays where a symlink leads to", async () => {
    await new CredentialStore(directory()).store("a", me);
    expect(statSync(directory()).mode & 0o777).toBe(0o700);
    rmSync(file());
    writeFileSync(join(root, "elsewhere.json"), "{}");
    symlinkSync(join(root, "elsewhere.json"), file());
    await new CredentialStore(directory()).store("a", me);
    expect(lstatSync(file()).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(root, "elsewhere.json"), "utf8")).toContain('"a"');
  });

  test.each([
    [{ auths: { "https://registry.example/v1/": { auth: btoa("me:x") } } }, { username: "me", password: "x" }],
    [{ auths: { "registry.example": { auth: btoa("me:x\0\0") } } }, { username: "me", password: "x" }],
    [{ auths: { "registry.example": { username: "me", password: "x" } } }, { username: "me", password: "x" }],
    [
      { auths: { "registry.example": { auth: btoa("me:"), identitytoken: "t" } } },
      { username: "me", password: "", identityToken: "t" },
    ],
    [{ auths: { "registry.example": {} } }, undefined],
    [{ auths: { "other.example": { auth: btoa("me:x") } } }, undefined],
    [{ auths: null }, undefined],
    ["", undefined],
  ])("%j holds %j", async (config, expected) => {
    write(config);
    expect(await new CredentialStore(directory()).get("registry.example")).toEqual(expected as never);
  });

  test.each([
    ["[]", "no JSON object"],
    ["{", "JSON"],
    ['{"auths":5}', "auths: no JSON object"],
    ['{"credHelpers":[]}', "credHelpers: no JSON object"],
  ])("that is %s is refused by its name", (text, reason) => {
    write(text);
    expect(() => new CredentialStore(directory())).toThrow(new RegExp(`^config file ${file()}: .*${reason}`));
  });

  test("with an entry that is no base64 of name and password is refused by the entry", async () => {
    write({ auths: { a: { auth: "eHg=" } } });
    await expect(new CredentialStore(directory()).get("a")).rejects.toThrow(
      'auths."a".auth: no base64 of user:password',
    );
  });

  test("loses an entry under each name that it may have", async () => {
    const auth = { auth: btoa("me:x") };
    write({ auths: { "https://a": auth, a: auth, "https://a/v1/": auth, b: auth } });
    const store = new CredentialStore(directory());
    expect(await store.erase("a")).toBe(true);
    expect(content()).toEqual({ auths: { b: auth } });
    expect(await store.erase("a")).toBe(false);
    expect(await store.get("a")).toBeUndefined();
  });

  test("is lost although helpers fail, and what each of them says is told once", async () => {
    addHelper("broken", "#!/bin/sh\necho locked\nexit 1\n");
    addHelper("worn", "#!/bin/sh\necho no keyring\nexit 1\n");
    write({
      credHelpers: { "https://a": "broken", "http://a": "worn", a: "broken" },
      auths: { a: { auth: btoa("me:x") } },
    });
    const store = new CredentialStore(directory());
    const message = await store.erase("a").then(() => "nothing", errorMessage);
    expect(message.split("\n").sort()).toEqual([
      expect.stringMatching(/^.*broken.*: locked$/),
      expect.stringMatching(/^.*worn.*: no keyring$/),
    ]);
    expect(content().auths).toEqual({});
  });

  test("is in docker's directory, or where it is said to be", () => {
    expect(configDirectory("", { HOME: "/h" })).toBe("/h/.docker");
    expect(configDirectory("", { HOME: "/h", DOCKER_CONFIG: "/d" })).toBe("/d");
    expect(configDirectory("/f", { DOCKER_CONFIG: "/d" })).toBe("/f");
    expect([serverOf("docker.io"), serverOf("a:5")]).toEqual([dockerHubServer, "a:5"]);
  });
});

describe("a credential helper", () => {
  test("keeps what the file does not show, a token too", async () => {
    addHelper("kept");
    write({ credsStore: "kept" });
    const store = new CredentialStore(directory());
    expect(await store.store("registry.example", me)).toEqual({ plainFile: undefined });
    expect(content()).toEqual({ credsStore: "kept", auths: { "registry.example": {} } });
    expect(await store.get("registry.example")).toEqual(me);
    await store.store("registry.example", { username: "me", password: "", identityToken: "t" });
    expect(await store.get("registry.example")).toEqual({ username: "", password: "", identityToken: "t" });
    expect(calls()[0]).toBe('store {"ServerURL":"registry.example","Username":"me","Secret":"p:w"}');
    expect(await store.erase("registry.example")).toBe(true);
    expect(await store.get("registry.example")).toBeUndefined();
    expect(content()).toEqual({ credsStore: "kept", auths: {} });
  });

  test("of one registry goes before that of all", async () => {
    addHelper("one");
    addHelper("all", "#!/bin/sh\necho wrong helper; exit 1\n");
    write({ credsStore: "all", credHelpers: { "registry.example": "one" } });
    const store = new CredentialStore(directory());
    await store.store("registry.example", me);
    expect(await store.get("registry.example")).toEqual(me);
    await expect(store.get("other.example")).rejects.toThrow("docker-credential-all: wrong helper");
  });

  test("that does not know the registry leaves it to the file", async () => {
    addHelper("kept");
    write({ credsStore: "kept", auths: { a: { auth: btoa("me:x") } } });
    expect(await new CredentialStore(directory()).get("a")).toEqual({ username: "me", password: "x" });
  });

  test("is chosen for a user who has none, as docker does", async () => {
    addHelper("secretservice");
    expect(await new CredentialStore(directory()).store("a", me)).toEqual({ plainFile: undefined });
    expect(content()).toEqual({ credsStore: "secretservice", auths: { a: {} } });
  });

  test.each([
    ["that is not there", undefined, "docker-credential-x: executable file not found in $PATH"],
    ["that fails", "#!/bin/sh\necho keychain is locked\nexit 1\n", "docker-credential-x: keychain is locked"],
    ["that fails in silence", "#!/bin/sh\nexit 3\n", "docker-credential-x: it says no reason"],
    ["that answers nonsense", "#!/bin/sh\necho nonsense\n", "reading its answer: docker-credential-x: "],
    ["that answers with numbers", "#!/bin/sh\necho '{\"Username\":5}'\n", "docker-credential-x: no strings"],
  ])("%s is named", async (_name, script, message) => {
    if (script !== undefined) addHelper("x", script);
    write({ credsStore: "x" });
    await expect(new CredentialStore(directory()).get("a")).rejects.toThrow(message);
  });

  test("whose name is a path is refused", async () => {
    write({ credsStore: "../x" });
    await expect(new CredentialStore(directory()).get("a")).rejects.toThrow('credential helper "../x": no name');
  });
});

describe("X-Registry-Auth", () => {
  const session = (inspect: () => Promise<unknown>): Pick<Session, "configDirectory" | "client"> => ({
    get configDirectory() {
      return directory();
    },
    client: async () => ({ inspectImage: inspect }) as unknown as Client,
  });
  const nobody = session(() => Promise.reject(new Error("asked the daemon")));
  const decode = (text: string | undefined) => text && JSON.parse(Buffer.from(text, "base64url").toString());

  test("has what is kept for the registry of the image", async () => {
    write({ auths: { [dockerHubServer]: { auth: btoa("hub:x") }, "a:5": { auth: btoa("me:"), identitytoken: "t" } } });
    expect(decode(await imageAuth(nobody, "busybox"))).toEqual({
      username: "hub",
      password: "x",
      serveraddress: dockerHubServer,
    });
    expect(decode(await imageAuth(nobody, "a:5/b/c:1"))).toEqual({
      username: "me",
      identitytoken: "t",
      serveraddress: "a:5",
    });
    expect(await imageAuth(nobody, "b:5/c")).toBeUndefined();
  });

  test("is nothing without a file, or with one that is damaged", async () => {
    expect(await imageAuth(nobody, "a")).toBeUndefined();
    write("{");
    expect(await imageAuth(nobody, "a")).toBeUndefined();
  });

  test("of a run is not looked for where a glance shows that there is none", () => {
    const glance = (image: string) => mayHaveCredentials(directory(), image);
    expect(glance("a:5/b")).toBe(false);
    write({ auths: { "https://a:5": {} } });
    expect([glance("a:5/b"), glance("b:5/b"), glance("busybox"), glance("docker.io/x")]).toEqual([
      true,
      false,
      false,
      false,
    ]);
    write({ auths: { [dockerHubServer]: {} } });
    expect([glance("a:5/b"), glance("busybox"), glance("me/x"), glance("docker.io/x")]).toEqual([
      false,
      true,
      true,
      true,
    ]);
    write({ credHelpers: {} });
    expect([glance("a:5/b"), glance("busybox")]).toEqual([true, true]);
  });

  test("of a run comes from a helper only when the image has to be pulled", async () => {
    addHelper("kept");
    write({ credsStore: "kept" });
    await new CredentialStore(directory()).store("a:5", me);
    const here = session(() => Promise.resolve({}));
    const missing = session(() => Promise.reject(new EngineError("not_found", "No such image")));
    const request = { image: "a:5/b", platform: "", pull: "missing" as const };
    expect(await runAuth(here, request)).toBeUndefined();
    expect(await runAuth(nobody, { ...request, pull: "never" })).toBeUndefined();
    expect(await runAuth(nobody, { ...request, image: "f".repeat(64) })).toBeUndefined();
    for (const auth of [
      await runAuth(missing, request),
      await runAuth(nobody, { ...request, pull: "always" }),
      await runAuth(nobody, { ...request, platform: "linux/arm64" }),
    ]) {
      expect(decode(auth)).toMatchObject({ username: "me" });
    }
  });
});
