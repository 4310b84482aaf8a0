import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { canBePlugin, findPlugin, listPlugins } from "./discovery.ts";

const root = mkdtempSync("/tmp/tsd-plugins-");
const [sockets, etc] = [join(root, "run"), join(root, "etc")];
const directories = [sockets, etc, join(root, "missing")];
const servers: Server[] = [];

async function listen(path: string): Promise<void> {
  const server = createServer();
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
}

beforeAll(async () => {
  mkdirSync(join(sockets, "folder"), { recursive: true });
  mkdirSync(join(sockets, "empty"));
  mkdirSync(etc);
  await listen(join(sockets, "plain.sock"));
  await listen(join(sockets, "folder", "folder.sock"));
  await listen(join(root, "elsewhere"));
  symlinkSync(join(root, "elsewhere"), join(sockets, "linked.sock"));
  writeFileSync(join(sockets, "file.sock"), "no socket");
  writeFileSync(join(etc, "plain.spec"), "unix:///nobody");
  writeFileSync(join(etc, "line.spec"), "unix:///run/line/line.sock\n");
  writeFileSync(join(etc, "port.spec"), "tcp://127.0.0.1:4000");
  writeFileSync(join(etc, "words.spec"), "somewhere");
  writeFileSync(join(etc, "relative.spec"), "unix://run/x.sock");
  writeFileSync(join(etc, "ftp.spec"), "ftp://host");
  writeFileSync(join(etc, "big.spec"), " ".repeat(100_000));
  writeFileSync(join(etc, "notes.txt"), "");
  const certificate = join(root, "ca.pem");
  writeFileSync(certificate, "CA");
  const json = (name: string, value: unknown) => writeFileSync(join(etc, `${name}.json`), JSON.stringify(value));
  json("plainjson", { Name: "other", Addr: "http://host:1" });
  json("verified", { Addr: "https://host:1/", TLSConfig: { CAFile: certificate } });
  json("unverified", { Addr: "https://host:1", TLSConfig: { InsecureSkipVerify: true, CAFile: certificate } });
  json("trusting", { Addr: "tcp://host:1", TLSConfig: {} });
  json("half", { Addr: "https://host:1", TLSConfig: { CertFile: certificate } });
  json("lost", { Addr: "https://host:1", TLSConfig: { CAFile: "/nowhere" } });
  json("noaddress", {});
  writeFileSync(join(etc, "broken.json"), "{");
});

afterAll(() => {
  for (const server of servers) server.close();
  rmSync(root, { recursive: true });
});

describe("where plugins are found", () => {
  test("a socket is found by its name, in a folder of its name, and behind a symlink; before a file that says otherwise", async () => {
    const unix = (...names: string[]) => ({ kind: "unix" as const, socket: join(sockets, ...names) });
    expect(await findPlugin("plain", directories)).toEqual(unix("plain.sock"));
    expect(await findPlugin("folder", directories)).toEqual(unix("folder", "folder.sock"));
    expect(await findPlugin("linked", directories)).toEqual(unix("linked.sock"));
  });

  test("what is no socket, or is not there, is not found", async () => {
    for (const name of ["file", "empty", "missing", "notes", "../run/plain", "", "folder/folder", "vieux/sshfs"]) {
      expect([name, await findPlugin(name, directories)]).toEqual([name, undefined]);
    }
  });

  test(".spec and .json files say where to go, and how far to trust whoever answers", async () => {
    expect(await findPlugin("line", directories)).toEqual({ kind: "unix", socket: "/run/line/line.sock" });
    expect(await findPlugin("port", directories)).toEqual({ kind: "tcp", url: "http://127.0.0.1:4000" });
    expect(await findPlugin("plainjson", directories)).toEqual({ kind: "tcp", url: "http://host:1" });
    const https = { kind: "tcp" as const, url: "https://host:1" };
    expect(await findPlugin("verified", directories)).toEqual({ ...https, tls: { verify: true, authority: "CA" } });
    expect(await findPlugin("unverified", directories)).toEqual({ ...https, tls: { verify: false, authority: "CA" } });
    expect(await findPlugin("trusting", directories)).toEqual({ ...https, tls: { verify: false } });
  });

  test.each([
    ["words", "unknown protocol"],
    ["ftp", "unknown protocol: ftp"],
    ["relative", "must be absolute"],
    ["big", "100000 bytes"],
    ["half", "KeyFile is missing"],
    ["lost", "/nowhere"],
    ["noaddress", "Addr"],
    ["broken", "JSON"],
  ])("the file of %s is refused, and named", async (name, reason) => {
    const failure = (await findPlugin(name, directories).catch((error: Error) => error)) as Error;
    expect(failure.message).toContain(`plugin ${etc}/${name}.`);
    expect(failure.message).toContain(reason);
  });

  test("all that the folders have anything of are listed, each once", async () => {
    expect(await listPlugins(directories)).toEqual(
      "big broken file folder ftp half line linked lost noaddress plain plainjson port relative trusting unverified verified words".split(
        " ",
      ),
    );
  });

  test("names that cannot be those of files are of no plugin here", () => {
    expect(["sshfs", "a", "x.y-z_1"].filter(canBePlugin)).toHaveLength(3);
    expect(["", ".", "..", ".hidden", "a/b", "vieux/sshfs:latest", "x".repeat(300)].filter(canBePlugin)).toEqual([]);
  });
});
