/** The routes for single files: parameters, the header with what a path stands for, statuses. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { goFileMode, goModes, hasGoMode } from "../schema/path-stat.ts";
import { RawConnection, type Served, serve } from "../testing/serve.ts";

let served: Served;

beforeAll(async () => {
  served = await serve();
});
afterAll(() => served[Symbol.asyncDispose]());

function headerOf(response: { headers: { get(name: string): string | null } }): unknown {
  return JSON.parse(Buffer.from(response.headers.get("X-Docker-Container-Path-Stat") ?? "", "base64").toString());
}

const stat = { name: "x", size: 10, mode: 8389101, mtime: "2023-11-14T22:13:20.12Z", linkTarget: "" };

describe("files of a container", () => {
  test("HEAD tells what the path stands for, without a body", async () => {
    const response = await served.fetch("/containers/c/archive?path=/a/x", { method: "HEAD" });
    expect([response.status, headerOf(response)]).toEqual([200, stat]);
    expect(served.engine.calls.at(-1)).toBe("stat c /a/x");
  });

  test("GET has the same header, and the archive", async () => {
    const response = await served.fetch("/containers/c/archive?path=/a/x");
    expect([response.status, headerOf(response)]).toEqual([200, stat]);
    expect(response.headers.get("content-type")).toBe("application/x-tar");
    expect(await response.text()).toBe("archive of /a/x");
  });

  test("PUT hands on the body and the flags", async () => {
    const put = { method: "PUT", body: "x".repeat(100_000) };
    const response = await served.fetch("/containers/c/archive?path=/a&noOverwriteDirNonDir=true&copyUIDGID=1", put);
    expect([response.status, await response.text()]).toEqual([200, ""]);
    expect(served.engine.calls.at(-1)).toBe("write c /a true true - 100000");
    await served.fetch("/containers/c/archive?path=/a&chown=me:us", { method: "PUT" });
    expect(served.engine.calls.at(-1)).toBe("write c /a false false me:us 0");
  });

  test.each([
    ["GET", "/missing/x", 404, "Could not find the file /missing/x in container c"],
    ["GET", "", 400, "bad parameter: 'path' cannot be empty"],
    ["GET", "a%00b", 400, "bad parameter: 'path' has a NUL byte in it"],
    ["PUT", "/ro", 403, "container rootfs is marked read-only"],
  ])("%s of %p is refused with %d", async (method, path, status, message) => {
    const response = await served.fetch(`/containers/c/archive?path=${path}`, { method });
    expect([response.status, await response.json()]).toMatchObject([status, { message }]);
  });

  test("PUT of a small archive that is refused is answered once it has come, and the connection goes on", async () => {
    const connection = new RawConnection(served.socket);
    const head = "PUT /containers/c/archive?path=/ro HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n";
    connection.socket.write(`${head}5\r\nhello\r\n`);
    await Bun.sleep(20);
    expect(connection.received.byteLength).toBe(0);
    connection.socket.write("0\r\n\r\n");
    await connection.until((received) => received.includes("read-only"));
    expect(connection.head().toLowerCase()).not.toContain("connection: close");
    connection.socket.end("GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n");
    expect((await connection.rest()).toString()).toEndWith("OK");
  });

  test("PUT of a large archive that is refused is cut off, and one that stalls as well", async () => {
    for (const bytes of [300 << 10, 10]) {
      const connection = new RawConnection(served.socket);
      const head = "PUT /containers/c/archive?path=/ro HTTP/1.1\r\nHost: d\r\nContent-Length: 10000000\r\n\r\n";
      connection.socket.write(head + "x".repeat(bytes));
      expect((await connection.rest()).toString()).toContain("container rootfs is marked read-only");
      expect(connection.head().toLowerCase()).toContain("connection: close");
      connection.socket.destroy();
    }
  });

  test("changes are told with docker's numbers", async () => {
    expect(await (await served.fetch("/containers/c/changes")).json()).toEqual([
      { Path: "/etc", Kind: 0 },
      { Path: "/etc/a", Kind: 1 },
      { Path: "/etc/b", Kind: 2 },
    ]);
  });

  test("HEAD of what is not there is 404", async () => {
    expect((await served.fetch("/containers/c/archive?path=/missing", { method: "HEAD" })).status).toBe(404);
  });
});

test("modes are Go's", () => {
  expect(goFileMode(0o100644)).toBe(0o644);
  expect(goFileMode(0o041777)).toBe(goModes.directory + goModes.sticky + 0o777);
  expect(goFileMode(0o120777)).toBe(goModes.symlink + 0o777);
  expect(goFileMode(0o020666)).toBe(goModes.device + goModes.charDevice + 0o666);
  expect(goFileMode(0o102755)).toBe(goModes.setgid + 0o755);
  expect(hasGoMode(goFileMode(0o040755), goModes.directory)).toBe(true);
  expect(hasGoMode(goFileMode(0o120777), goModes.directory)).toBe(false);
});
