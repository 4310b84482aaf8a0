import { expect, test } from "bun:test";
import { parseCdiName } from "./cdi-name.ts";

test.each([
  ["vendor.com/class=name", { vendor: "vendor.com", class: "class", name: "name" }],
  ["nvidia.com/gpu=0", { vendor: "nvidia.com", class: "gpu", name: "0" }],
  ["nvidia.com/gpu=GPU-1:2", { vendor: "nvidia.com", class: "gpu", name: "GPU-1:2" }],
  ["vendor.com/class.x=a", { vendor: "vendor.com", class: "class.x", name: "a" }],
  ["v/c=a", { vendor: "v", class: "c", name: "a" }],
])("%s is a device's name", (text, parts) => {
  expect(parseCdiName(text)).toEqual(parts);
});

test.each([
  "/dev/sda",
  "/dev/sda:/dev/x:rwm",
  "vendor.com/class",
  "vendor.com/class=",
  "vendor.com=name",
  "1vendor.com/class=name",
  "vendor.com-/class=name",
  "vendor.com/class.=name",
  "vendor.com/class=-name",
  "vendor.com/class=na me",
  "a/b/c=name",
  "",
])("%p is none", (text) => {
  expect(parseCdiName(text)).toBeUndefined();
});
