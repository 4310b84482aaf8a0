import { expect, test } from "bun:test";
import { addressText, type ClientTls, connectionError, type DaemonAddress, hostOf, parseHost } from "./host.ts";
import { daemonError, requestTarget } from "./http.ts";

test("the daemon is found through -H, TSD_HOST, DOCKER_HOST, then the default", () => {
  const environment = { TSD_HOST: "unix:///t", DOCKER_HOST: "unix:///d" };
  expect(hostOf(["unix:///h"], environment, false)).toBe("unix:///h");
  expect(hostOf([], environment, false)).toBe("unix:///t");
  expect(hostOf([], { DOCKER_HOST: "unix:///d" }, false)).toBe("unix:///d");
  expect(hostOf([], {}, false)).toBe("unix:///run/tsd/tsd.sock");
  expect(hostOf([], {}, true)).toBe("tcp://localhost:2376");
  expect(() => hostOf(["unix:///a", "unix:///b"], {}, false)).toThrow("only one -H");
});

const tls = { verify: true };

test.each<[host: string, tls: ClientTls | undefined, address: DaemonAddress, text: string]>([
  ["unix:///a/b", undefined, { socket: "/a/b" }, "unix:///a/b"],
  ["unix://", undefined, { socket: "/run/tsd/tsd.sock" }, "unix:///run/tsd/tsd.sock"],
  ["tcp://h:1", undefined, { hostname: "h", port: 1 }, "tcp://h:1"],
  ["h:1", undefined, { hostname: "h", port: 1 }, "tcp://h:1"],
  ["h", undefined, { hostname: "h", port: 2375 }, "tcp://h:2375"],
  [":7", undefined, { hostname: "localhost", port: 7 }, "tcp://localhost:7"],
  ["tcp://", tls, { hostname: "localhost", port: 2376, tls }, "tcp://localhost:2376"],
  ["tcp://[::1]:9", tls, { hostname: "::1", port: 9, tls }, "tcp://[::1]:9"],
  ["unix:///a", tls, { socket: "/a" }, "unix:///a"],
])("%s is an address", (host, material, address, text) => {
  const parsed = parseHost(hostOf([host], {}, false), material);
  expect(parsed).toEqual(address);
  expect(addressText(parsed)).toBe(text);
});

test.each([
  ["unix://relative", "unable to parse docker host `unix://relative`"],
  ["/run/tsd.sock", "unable to parse docker host `/run/tsd.sock`"],
  ["http://h:1", "unable to parse docker host `http://h:1`"],
  ["tcp://h:70000", "unable to parse docker host `tcp://h:70000`"],
  ["tcp://h:1/path", "unable to parse docker host `tcp://h:1/path`"],
  ["npipe:////./pipe/x", "unable to parse docker host `npipe:////./pipe/x`"],
  ["ssh://u@h", "daemon address ssh://u@h: tsd does not start ssh"],
])("%s is none that can be used", (host, words) => {
  expect(() => parseHost(hostOf([host], {}, false))).toThrow(words);
});

test("an address over the network that does not answer is named, with what to look at", () => {
  const at = { hostname: "h", port: 1 };
  expect(connectionError(at, "ECONNREFUSED", undefined)).toMatchObject({
    code: "unavailable",
    message: "cannot connect to the tsd daemon at tcp://h:1. Is the tsd daemon running?",
  });
  expect(connectionError(at, "ENOTFOUND", undefined).message).toBe("error during connect: tcp://h:1: no such host: h");
  const untrusted = connectionError({ ...at, tls }, "SELF_SIGNED_CERT_IN_CHAIN", undefined);
  expect(untrusted.message).toContain("signed by an unknown authority");
  expect(untrusted.hint).toContain("--tlscacert");
  expect(connectionError({ ...at, tls }, "ERR_TLS_CERT_ALTNAME_INVALID", undefined).message).toContain("is not for h");
  expect(connectionError(at, "ECONNRESET", undefined).hint).toContain("--tlsverify");
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
