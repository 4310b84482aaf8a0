import { describe, expect, test } from "bun:test";
import {
  canonicalReference,
  familiarName,
  familiarReference,
  isTag,
  parseReference,
  parseRepository,
} from "./reference.ts";

const hex = "0123456789abcdef".repeat(4);
const sha256 = `sha256:${hex}`;
const sha512 = `sha512:${hex}${hex}`;
const long = `${"a/".repeat(127)}a`;

/** text → canonical, familiar */
const good: [string, string, string][] = [
  ["busybox", "docker.io/library/busybox:latest", "busybox:latest"],
  ["busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"],
  ["busybox:latest", "docker.io/library/busybox:latest", "busybox:latest"],
  ["docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"],
  ["docker.io/library/busybox", "docker.io/library/busybox:latest", "busybox:latest"],
  ["index.docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"],
  ["index.docker.io/library/busybox:x", "docker.io/library/busybox:x", "busybox:x"],
  ["index.docker.io/user/repo", "docker.io/user/repo:latest", "user/repo:latest"],
  ["library/busybox", "docker.io/library/busybox:latest", "busybox:latest"],
  ["library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"],
  ["user/repo", "docker.io/user/repo:latest", "user/repo:latest"],
  ["user/repo/deep", "docker.io/user/repo/deep:latest", "user/repo/deep:latest"],
  ["docker/docker", "docker.io/docker/docker:latest", "docker/docker:latest"],
  ["docker.io/docker/docker", "docker.io/docker/docker:latest", "docker/docker:latest"],
  ["localhost/repo", "localhost/repo:latest", "localhost/repo:latest"],
  ["localhost:5000/repo", "localhost:5000/repo:latest", "localhost:5000/repo:latest"],
  ["localhost:5000/a/b:t", "localhost:5000/a/b:t", "localhost:5000/a/b:t"],
  ["localhost", "docker.io/library/localhost:latest", "localhost:latest"],
  ["localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"],
  ["127.0.0.1:5000/x", "127.0.0.1:5000/x:latest", "127.0.0.1:5000/x:latest"],
  ["127.0.0.1/x", "127.0.0.1/x:latest", "127.0.0.1/x:latest"],
  ["[::1]/x", "[::1]/x:latest", "[::1]/x:latest"],
  ["[::1]:5000/x:y", "[::1]:5000/x:y", "[::1]:5000/x:y"],
  ["[2001:db8::1]:5000/repo", "[2001:db8::1]:5000/repo:latest", "[2001:db8::1]:5000/repo:latest"],
  ["[fd00:1:2::3]:75050/r:t", "[fd00:1:2::3]:75050/r:t", "[fd00:1:2::3]:75050/r:t"],
  ["test.com/repo:tag", "test.com/repo:tag", "test.com/repo:tag"],
  ["test.com:tag", "docker.io/library/test.com:tag", "test.com:tag"],
  ["test.com:5000", "docker.io/library/test.com:5000", "test.com:5000"],
  ["test:5000/repo", "test:5000/repo:latest", "test:5000/repo:latest"],
  ["test:5000/repo:tag", "test:5000/repo:tag", "test:5000/repo:tag"],
  ["192.168.1.1", "docker.io/library/192.168.1.1:latest", "192.168.1.1:latest"],
  ["192.168.1.1:5000/repo:5050", "192.168.1.1:5000/repo:5050", "192.168.1.1:5000/repo:5050"],
  ["sub-dom1.foo.com/bar/baz/quux", "sub-dom1.foo.com/bar/baz/quux:latest", "sub-dom1.foo.com/bar/baz/quux:latest"],
  [
    "b.gcr.io/t.example.com/my-app:t.example.com",
    "b.gcr.io/t.example.com/my-app:t.example.com",
    "b.gcr.io/t.example.com/my-app:t.example.com",
  ],
  ["xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com/myimage:xn--n3h.com"],
  ["foo_bar.com:8080", "docker.io/library/foo_bar.com:8080", "foo_bar.com:8080"],
  ["foo/foo_bar.com:8080", "docker.io/foo/foo_bar.com:8080", "foo/foo_bar.com:8080"],
  ["test_com", "docker.io/library/test_com:latest", "test_com:latest"],
  ["Uppercase/lowercase:tag", "Uppercase/lowercase:tag", "Uppercase/lowercase:tag"],
  ["HOST.example/repo", "HOST.example/repo:latest", "HOST.example/repo:latest"],
  ["lowercase:Uppercase", "docker.io/library/lowercase:Uppercase", "lowercase:Uppercase"],
  ["a", "docker.io/library/a:latest", "a:latest"],
  ["0", "docker.io/library/0:latest", "0:latest"],
  ["a.b", "docker.io/library/a.b:latest", "a.b:latest"],
  ["a_b", "docker.io/library/a_b:latest", "a_b:latest"],
  ["a__b", "docker.io/library/a__b:latest", "a__b:latest"],
  ["a-b", "docker.io/library/a-b:latest", "a-b:latest"],
  ["a---b", "docker.io/library/a---b:latest", "a---b:latest"],
  ["a/b-c/d.e/f_g", "docker.io/a/b-c/d.e/f_g:latest", "a/b-c/d.e/f_g:latest"],
  ["aa-a/a", "docker.io/aa-a/a:latest", "aa-a/a:latest"],
  ["dead--beef/x", "docker.io/dead--beef/x:latest", "dead--beef/x:latest"],
  ["x:_", "docker.io/library/x:_", "x:_"],
  ["x:0", "docker.io/library/x:0", "x:0"],
  ["x:a.b-c_d", "docker.io/library/x:a.b-c_d", "x:a.b-c_d"],
  [`x:${"t".repeat(128)}`, `docker.io/library/x:${"t".repeat(128)}`, `x:${"t".repeat(128)}`],
  [`x@${sha256}`, `docker.io/library/x@${sha256}`, `x@${sha256}`],
  [`x:t@${sha256}`, `docker.io/library/x:t@${sha256}`, `x:t@${sha256}`],
  [`x@${sha512}`, `docker.io/library/x@${sha512}`, `x@${sha512}`],
  [`localhost:5000/x:t@${sha256}`, `localhost:5000/x:t@${sha256}`, `localhost:5000/x:t@${sha256}`],
  [`[::1]:5000/x@${sha256}`, `[::1]:5000/x@${sha256}`, `[::1]:5000/x@${sha256}`],
  [hex.slice(1), `docker.io/library/${hex.slice(1)}:latest`, `${hex.slice(1)}:latest`],
  [`${hex}:tag`, `docker.io/library/${hex}:tag`, `${hex}:tag`],
  [`user/${hex}`, `docker.io/user/${hex}:latest`, `user/${hex}:latest`],
  [`a.com/${long}`, `a.com/${long}:latest`, `a.com/${long}:latest`],
  ["docker.io/a.b/c", "docker.io/a.b/c:latest", "docker.io/a.b/c:latest"],
  ["registry.example:443/x", "registry.example:443/x:latest", "registry.example:443/x:latest"],
];

const formatError = "invalid reference format";
const caseError = "must be lowercase";

/** text → part of the message */
const bad: [string, string][] = [
  ["", formatError],
  [" ", formatError],
  [":justtag", formatError],
  [`@${sha256}`, formatError],
  ["busybox:", formatError],
  ["busybox@", formatError],
  ["busybox:a:b", formatError],
  ["busybox:tag@", formatError],
  ["busybox tag", formatError],
  ["busybox\n", formatError],
  ["busybox:tag\n", formatError],
  ["/busybox", formatError],
  ["//busybox", formatError],
  ["busybox/", formatError],
  ["a//b", formatError],
  ["a/./b", formatError],
  ["a/../b", formatError],
  ["../etc", formatError],
  ["-busybox", formatError],
  ["busybox-", formatError],
  [".busybox", formatError],
  ["busybox.", formatError],
  ["_busybox", formatError],
  ["busybox_", formatError],
  ["a..b", formatError],
  ["a___b", formatError],
  ["a.-b", formatError],
  ["-foo/bar", formatError],
  ["foo/bar-", formatError],
  ["foo/-bar", formatError],
  ["aa/asdf$$^/aa", formatError],
  ["http://example.com/x", formatError],
  ["https://docker.io/busybox", formatError],
  ["docker.io/", formatError],
  ["localhost:5000/", formatError],
  ["localhost:port/x", formatError],
  ["localhost:/x", formatError],
  ["[2001:db8::1]", formatError],
  ["[2001:db8::1]:5000", formatError],
  ["[2001:db8::1]:tag", formatError],
  ["[fe80::1%eth0]:5000/repo", formatError],
  ["[fe80::1%@zone]:5000/repo", formatError],
  ["[::1/x", formatError],
  ["::1/x", formatError],
  ["test_.com/x", formatError],
  ["-test.com/x", formatError],
  ["test-.com/x", formatError],
  ["test..com/x", formatError],
  ["x:.tag", formatError],
  ["x:-tag", formatError],
  [`x:${"t".repeat(129)}`, formatError],
  ["x:t@t", formatError],
  ["x@sha256:short", formatError],
  [`x@sha256:${"f".repeat(34)}`, formatError],
  [`x@SHA256:${hex}`, formatError],
  [`x@sha256:${hex.toUpperCase()}`, formatError],
  [`x@md5:${"f".repeat(32)}`, "unsupported algorithm"],
  [`x@invaliddigest:${hex}`, "unsupported algorithm"],
  ["Busybox", caseError],
  ["Uppercase:tag", caseError],
  ["test:5000/Uppercase/lowercase:tag", caseError],
  ["user/Repo", caseError],
  ["docker.io/Busybox", caseError],
  ["Ärger", caseError],
  ["busybøx", formatError],
  ["☃.com/x", formatError],
  [hex, "cannot specify 64-byte hexadecimal strings"],
  [`a.com/${long}a/b`, "must not be more than 255 characters"],
];

describe("references", () => {
  test.each(good)("%s is %s", (text, canonical, familiar) => {
    const reference = parseReference(text);
    expect(canonicalReference(reference)).toBe(canonical);
    expect(familiarReference(reference)).toBe(familiar);
    expect(parseReference(canonical)).toEqual(reference);
    expect(parseReference(familiar)).toEqual(reference);
  });

  test.each(bad)("%j is refused: %s", (text, message) => {
    expect(() => parseReference(text)).toThrow(message);
  });

  test("a repository alone gets no tag", () => {
    const reference = parseRepository("localhost:5000/a/b");
    expect(reference).toEqual({ registry: "localhost:5000", repository: "a/b" });
    expect(familiarName(reference)).toBe("localhost:5000/a/b");
  });

  test("tags are checked by themselves too", () => {
    expect(isTag("v1.0_rc-1")).toBe(true);
    for (const text of ["", "-x", ".x", "a:b", "a/b", "a\n", "t".repeat(129)]) expect(isTag(text)).toBe(false);
  });
});
