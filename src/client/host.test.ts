import { expect, test } from "bun:test";
import { connectionError, resolveHost } from "./host.ts";
import { daemonError, requestTarget } from "./http.ts";

test("the daemon is found through -H, TSD_HOST, DOCKER_HOST, then the default", () => {
  const environment = { TSD_HOST: "unix:///t", DOCKER_HOST: "unix:///d" };
  expect(resolveHost(["unix:///h"], environment).socket).toBe("/h");
  expect(resolveHost([], environment).socket).toBe("/t");
  expect(resolveHost([], { DOCKER_HOST: "unix:///d" }).socket).toBe("/d");
  expect(resolveHost([], {}).socket).toBe("/run/tsd/tsd.sock");
});

test("other addresses are refused by name", () => {
  expect(() => resolveHost(["tcp://1.2.3.4:2375"])).toThrow("tcp:// is not built in tsd yet");
  expect(() => resolveHost(["nonsense"])).toThrow("unable to parse daemon address: nonsense");
  expect(() => resolveHost(["unix://relative"])).toThrow("unable to parse");
  expect(() => resolveHost(["unix:///a", "unix:///b"])).toThrow("only one -H");
});

test("a daemon that is not there comes with the way to start it", () => {
  expect(connectionError({ socket: "/x" }, "ENOENT", undefined)).toMatchObject({
    code: "unavailable",
    hint: "start it with `systemctl start tsd`, or as root with `tsd daemon`",
  });
  expect(connectionError({ socket: "/x" }, "EACCES", undefined).code).toBe("forbidden");
});

test("a refusal keeps the daemon's code and details, and one of another daemon gets a code", () => {
  const own = daemonError(409, '{"message":"name taken","code":"already_exists","path":"/x","hint":"rm it"}');
  expect(own).toMatchObject({ code: "already_exists", path: "/x", hint: "rm it" });
  expect(own.message).toBe("Error response from daemon: name taken");
  expect(daemonError(404, '{"message":"no"}').code).toBe("not_found");
  expect(daemonError(502, "<html>").message).toBe("Error response from daemon: <html>");
});

test("queries leave out what is undefined", () => {
  expect(requestTarget("/x", { a: 1, b: undefined, c: "ü&" })).toBe("/v1.55/x?a=1&c=%C3%BC%26");
});
