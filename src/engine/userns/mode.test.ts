import { expect, test } from "bun:test";
import { parseUserNamespaceMode, type UserNamespaceMode } from "./mode.ts";

test.each<[string, UserNamespaceMode]>([
  ["", { kind: "default" }],
  ["host", { kind: "host" }],
  ["auto", { kind: "auto", size: 65536 }],
  ["auto:size=1000", { kind: "auto", size: 1000 }],
])("%p is a user namespace mode", (text, mode) => {
  expect(parseUserNamespaceMode(text)).toEqual(mode);
});

test.each([
  ["private", "invalid user namespace mode: private: it can be host or auto"],
  ["auto:", "auto: is followed by size=N"],
  ["auto:size=0", "the size can be from 1 to 16777216"],
  ["auto:size=x", "size=x: auto can have size=N"],
  ["auto:uidmapping=0:1:2", "uidmapping=0:1:2: auto can have size=N"],
  ["host:1", "it can be host or auto"],
])("%p is none", (text, message) => {
  expect(() => parseUserNamespaceMode(text)).toThrow(message);
});
