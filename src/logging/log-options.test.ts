import { describe, expect, test } from "bun:test";
import { checkLogOptions, syslogAddress, syslogFacility } from "./log-options.ts";

describe("log options that are wrong are refused in docker's words", () => {
  const table: [driver: string, options: Record<string, string>, message: string][] = [
    ["foo", {}, 'error looking up logging plugin foo: plugin "foo" not found'],
    ["constructor", {}, 'error looking up logging plugin constructor: plugin "constructor" not found'],
    ["json-file", { a: "b" }, "unknown log opt 'a' for json-file log driver"],
    ["json-file", { "max-size": "abc" }, "invalid value for max-size: invalid size: 'abc'"],
    ["json-file", { "max-file": "x" }, 'invalid value for max-file: strconv.Atoi: parsing "x": invalid syntax'],
    ["json-file", { "max-file": "0" }, "max-file cannot be less than 1"],
    ["json-file", { "max-file": "10001" }, "max-file cannot be more than 10000"],
    ["json-file", { "max-size": "0" }, "max-size must be a positive number"],
    ["local", { "max-size": "0k" }, "max-size must be a positive number"],
    ["json-file", { "max-size": "9999p" }, "invalid value for max-size: 9999p is more than a file can have"],
    ["json-file", { compress: "true", "max-file": "2" }, "compress cannot be true when max-file is less than 2 or"],
    ["json-file", { compress: "true", "max-size": "1m" }, "compress cannot be true when max-file is less than 2 or"],
    ["json-file", { compress: "x" }, 'invalid value for compress: strconv.ParseBool: parsing "x": invalid syntax'],
    ["json-file", { mode: "foo" }, "logger: logging mode not supported: foo"],
    [
      "json-file",
      { "max-buffer-size": "1m" },
      "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
    ],
    [
      "json-file",
      { mode: "non-blocking", "max-buffer-size": "x" },
      "error parsing option max-buffer-size: invalid size: 'x'",
    ],
    ["syslog", { "cache-disabled": "x" }, "invalid value for option cache-disabled: x"],
    ["syslog", { "cache-max-file": "x" }, "invalid value for cache-max-file"],
    ["syslog", { "cache-max-file": "0" }, "cache-max-file cannot be less than 1"],
    ["journald", { "cache-max-size": "0" }, "cache-max-size must be a positive number"],
    ["local", { a: "b" }, "unknown log opt 'a' for log driver local"],
    ["syslog", { a: "b" }, "unknown log opt 'a' for syslog log driver"],
    ["syslog", { "syslog-address": "foo" }, "syslog-address should be in form proto://address, got foo"],
    ["syslog", { "syslog-facility": "foo" }, "invalid syslog facility"],
    ["syslog", { "syslog-facility": "24" }, "invalid syslog facility"],
    ["syslog", { "syslog-format": "foo" }, "Invalid syslog format"],
    ["journald", { "max-size": "1m" }, "unknown log opt 'max-size' for journald log driver"],
    ["gelf", {}, "log driver gelf: tsd has journald, json-file, local, none, syslog"],
    ["awslogs", {}, "log driver awslogs: tsd has"],
    ["json-file", { "labels-regex": "(" }, "error parsing regexp: "],
    ["json-file", { tag: "{{.Nmae}}" }, 'invalid value for option tag: "{{.Nmae}}": {{.Nmae}} is none of .ID, '],
    ["journald", { tag: "{{.Name" }, 'invalid value for option tag: "{{.Name": unclosed action'],
    ["local", { "max-file": "1" }, "compression cannot be enabled when max file count is 1"],
    ["local", { "max-size": "1x" }, "invalid value for max-size: invalid suffix: 'x'"],
    ["syslog", { "syslog-address": "unix://log" }, "syslog-address should be in form proto://address, got unix://log"],
    ["syslog", { "syslog-address": "udp://a:99999" }, "syslog-address should be in form proto://address"],
  ];
  test.each(table)("%s %j", (driver, options, message) => {
    expect(() => checkLogOptions(driver, options)).toThrow(message);
  });
});

test.each([
  ["none", { anything: "goes" }],
  ["json-file", { "max-size": "10m", "max-file": "3", compress: "true", labels: "a", tag: "{{.Name}}" }],
  ["json-file", { "max-size": "-1", mode: "non-blocking", "max-buffer-size": "4m" }],
  ["local", { "max-size": "1g" }],
  ["syslog", { "syslog-address": "tcp+tls://h:514", "syslog-facility": "local3", "syslog-format": "rfc5424" }],
  ["syslog", { "syslog-facility": "23" }],
  ["journald", { "env-regex": "^A", "cache-disabled": "true" }],
  ["local", { "max-file": "1", compress: "false" }],
] as [string, Record<string, string>][])("%s takes %j", (driver, options) => {
  checkLogOptions(driver, options);
});

test("addresses and facilities of syslog are read as docker reads them", () => {
  expect(syslogAddress("udp://log")).toEqual({ kind: "udp", host: "log", port: 514 });
  expect(syslogAddress("tcp+tls://[::1]:6514")).toEqual({ kind: "tcp+tls", host: "::1", port: 6514 });
  expect(syslogAddress("unixgram:///dev/log")).toEqual({ kind: "unixgram", path: "/dev/log" });
  expect(["kern", "daemon", "ftp", "local0", "local7", "5"].map(syslogFacility)).toEqual([0, 3, 11, 16, 23, 5]);
});
