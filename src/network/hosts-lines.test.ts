import { describe, expect, test } from "bun:test";
import { replaceHostsLines } from "./hosts-lines.ts";

const text = "127.0.0.1\tlocalhost\n172.28.0.2\tweb web.example\n# mine\n10.0.0.1\tnas\n";

describe("the lines of /etc/hosts that are tsd's own", () => {
  test("come at the end, and go when their address does", () => {
    const names = ["web", "web.example"];
    const both = replaceHostsLines(text, [{ names, addresses: ["172.28.0.2", "fd00::2"] }]);
    expect(both).toBe(`${text}fd00::2\tweb web.example\n`);
    expect(replaceHostsLines(both, [{ names, addresses: ["fd00::2"] }])).toBe(
      "127.0.0.1\tlocalhost\n# mine\n10.0.0.1\tnas\nfd00::2\tweb web.example\n",
    );
  });

  test("are all that is touched: a line with more or other names is somebody else's", () => {
    expect(replaceHostsLines(text, [{ names: ["web"], addresses: [] }])).toBe(text);
    expect(replaceHostsLines("10.0.0.1 a   b\n\n", [{ names: ["c"], addresses: ["10.0.0.2"] }])).toBe(
      "10.0.0.1 a   b\n\n10.0.0.2\tc\n",
    );
  });

  test("do not run into a last line without an end, and stand once", () => {
    expect(replaceHostsLines("::1 x", [{ names: ["a"], addresses: ["10.0.0.2"] }])).toBe("::1 x\n10.0.0.2\ta\n");
    expect(replaceHostsLines("10.0.0.2 a\n10.0.0.2\ta\n", [{ names: ["a"], addresses: ["10.0.0.2"] }])).toBe(
      "10.0.0.2 a\n",
    );
    expect(replaceHostsLines("", [{ names: ["a"], addresses: ["10.0.0.2"] }])).toBe("10.0.0.2\ta\n");
  });
});
