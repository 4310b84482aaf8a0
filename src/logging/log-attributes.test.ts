import { expect, test } from "bun:test";
import { logAttributes } from "./log-attributes.ts";
import { logTag } from "./log-tag.ts";

const container = { labels: { "com.a": "1", "com.b": "2", other: "3" }, env: ["A=1=2", "AB=", "BARE", "C=3"] };

test("labels and variables go with the lines by their names and by expressions", () => {
  expect(logAttributes({}, container)).toEqual({});
  expect(logAttributes({ labels: "other,missing", env: "A,BARE" }, container)).toEqual({ other: "3", A: "1=2" });
  expect(logAttributes({ "labels-regex": "^com\\.", "env-regex": "^A" }, container)).toEqual({
    "com.a": "1",
    "com.b": "2",
    A: "1=2",
    AB: "",
  });
  expect(logAttributes({ labels: "com.a" }, container, (name) => name.toUpperCase())).toEqual({ "COM.A": "1" });
});

test("a tag is a template over what is known of the container", () => {
  const fields = {
    ...{
      ID: "0123456789ab",
      FullID: "0123456789abcdef",
      Name: "web",
      ImageID: "sha256:01234",
      ImageFullID: "sha256:0",
    },
    ...{ ImageName: "nginx:1", Hostname: "host", Command: "nginx -g x", DaemonName: "tsd" },
  };
  const tag = (template: string) => logTag(template, fields, container.labels);
  expect(tag("{{.ImageName}}/{{ .Name }}/{{.ID}}")).toBe("nginx:1/web/0123456789ab");
  expect(tag('{{index .ContainerLabels "com.a"}}-{{index .ContainerLabels "none"}}.')).toBe("1-.");
  expect(tag("plain } {")).toBe("plain } {");
  expect(() => tag("{{.name}}")).toThrow("{{.name}} is none of .ID, ");
  expect(() => tag("{{.Name")).toThrow("unclosed action");
});
