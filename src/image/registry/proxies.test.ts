import { describe, expect, test } from "bun:test";
import { proxiesOf, proxyFor, takeProxies } from "./proxies.ts";

const settings = { http: "http://proxy:1/", https: "http://proxy:2/" };

describe("NO_PROXY", () => {
  test.each([
    ["", "http://registry.example/", "http://proxy:1/"],
    ["", "https://registry.example/", "http://proxy:2/"],
    ["", "http://localhost:5000/", undefined],
    ["", "http://127.3.2.1/", undefined],
    ["", "http://[::1]:5000/", undefined],
    ["*", "https://registry.example/", undefined],
    ["registry.example", "https://registry.example/", undefined],
    ["registry.example", "https://a.registry.example/", undefined],
    ["registry.example", "https://myregistry.example/", "http://proxy:2/"],
    [".example", "https://registry.example/", undefined],
    [".registry.example", "https://registry.example/", "http://proxy:2/"],
    ["*.registry.example", "https://a.registry.example/", undefined],
    ["REGISTRY.example", "https://registry.EXAMPLE/", undefined],
    ["a, registry.example:5000", "https://registry.example:5000/", undefined],
    ["registry.example:5000", "https://registry.example/", "http://proxy:2/"],
    ["registry.example:443", "https://registry.example/", undefined],
    ["10.0.0.0/8", "https://10.2.3.4:5000/", undefined],
    ["10.0.0.0/8", "https://11.2.3.4/", "http://proxy:2/"],
    ["10.2.3.4", "https://10.2.3.4:5000/", undefined],
    ["10.2.3.4:80", "https://10.2.3.4:5000/", "http://proxy:2/"],
    ["fd00::/16", "https://[fd00::5]:5000/", undefined],
    ["[fd00::5]:5000", "https://[fd00::5]:5000/", undefined],
    ["fd00::6", "https://[fd00::5]:5000/", "http://proxy:2/"],
    ["10.0.0.0/8", "https://ten.example/", "http://proxy:2/"],
  ])("%j: %s goes through %p", (no, url, expected) => {
    expect(proxyFor(new URL(url), { ...settings, no })).toBe(expected as string);
  });
});

describe("the environment", () => {
  test("names the proxies in upper or lower case, and gives them up to tsd", () => {
    const environment = { HTTP_PROXY: "proxy:3128", https_proxy: "https://u:p@secure", no_proxy: "a", PATH: "/bin" };
    expect(takeProxies(environment)).toEqual({ http: "http://proxy:3128/", https: "https://u:p@secure/", no: "a" });
    expect(environment as object).toEqual({ no_proxy: "a", PATH: "/bin" });
    expect(proxiesOf({})).toEqual({ http: undefined, https: undefined, no: undefined });
  });

  test("with a proxy of another kind is refused without its password", () => {
    expect(() => proxiesOf({ HTTPS_PROXY: "socks5://u:secret@proxy" })).toThrow(
      "HTTPS_PROXY: its scheme is socks5: only http and https proxies are supported",
    );
    expect(() => proxiesOf({ http_proxy: "http://u:secret@[" })).toThrow("HTTP_PROXY: it is no URL");
  });
});
