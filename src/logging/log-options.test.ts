import { describe, expect, test } from "bun:test";
import { checkLogOptions, logWarnings } from "./log-options.ts";

describe("log options that are wrong are refused in docker's words", () => {
  const gelf = { "gelf-address": "udp://log:12201" };
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
    ["local", { a: "b" }, "unknown log opt 'a' for log driver local"],
    ["syslog", { a: "b" }, "unknown log opt 'a' for syslog log driver"],
    ["syslog", { "syslog-address": "foo" }, "syslog-address should be in form proto://address, got foo"],
    ["syslog", { "syslog-facility": "foo" }, "invalid syslog facility"],
    ["syslog", { "syslog-facility": "24" }, "invalid syslog facility"],
    ["syslog", { "syslog-format": "foo" }, "Invalid syslog format"],
    ["journald", { "max-size": "1m" }, "unknown log opt 'max-size' for journald log driver"],
    ["gelf", { a: "b" }, "gelf-address is a required parameter"],
    ["gelf", { "gelf-address": "foo" }, "gelf-address should be in form proto://address, got foo"],
    ["gelf", { "gelf-address": "http://a:1" }, "gelf: endpoint needs to be TCP or UDP"],
    ["gelf", { "gelf-address": "udp://a" }, "gelf: please provide gelf-address as proto://host:port"],
    ["gelf", { ...gelf, a: "b" }, "unknown log opt 'a' for gelf log driver"],
    [
      "gelf",
      { ...gelf, "gelf-compression-type": "x" },
      'unknown value "x" for log opt "gelf-compression-type" for gelf log driver',
    ],
    [
      "gelf",
      { ...gelf, "gelf-compression-level": "99" },
      'unknown value "99" for log opt "gelf-compression-level" for gelf log driver',
    ],
    ["gelf", { ...gelf, "gelf-tcp-max-reconnect": "1" }, '"gelf-tcp-max-reconnect" is only valid for TCP'],
    [
      "gelf",
      { "gelf-address": "tcp://a:1", "gelf-tcp-max-reconnect": "-1" },
      '"gelf-tcp-max-reconnect" must be a positive integer',
    ],
    ["gelf", { "gelf-address": "tcp://a:1", "gelf-compression-type": "gzip" }, "compression is only supported on UDP"],
    ["fluentd", { a: "b" }, "unknown log opt 'a' for fluentd log driver"],
    ["fluentd", { "fluentd-address": "foo://x" }, "invalid fluentd-address foo://x"],
    ["fluentd", { "fluentd-address": "log:port" }, "invalid fluentd-address log:port"],
    ["fluentd", { "fluentd-buffer-limit": "x" }, "invalid value for fluentd-buffer-limit: invalid size: 'x'"],
    ["fluentd", { "fluentd-retry-wait": "x" }, 'invalid value for fluentd-retry-wait: time: invalid duration "x"'],
    ["fluentd", { "fluentd-async": "x" }, "invalid value for fluentd-async"],
    ["awslogs", {}, "must specify a value for log opt 'awslogs-group'"],
    ["awslogs", { "awslogs-group": "g", a: "b" }, "unknown log opt 'a' for awslogs log driver"],
    [
      "awslogs",
      { "awslogs-group": "g", "awslogs-create-group": "x" },
      "must specify valid value for log opt 'awslogs-create-group': strconv.ParseBool",
    ],
    [
      "awslogs",
      { "awslogs-group": "g", "awslogs-datetime-format": "x", "awslogs-multiline-pattern": "y" },
      "you cannot configure log opt 'awslogs-datetime-format' and 'awslogs-multiline-pattern' at the same time",
    ],
    ["awslogs", { "awslogs-group": "g", "awslogs-format": "x" }, "unsupported log format 'x'"],
    [
      "awslogs",
      { "awslogs-group": "g", "awslogs-max-buffered-events": "0" },
      "must specify a positive integer for log opt 'awslogs-max-buffered-events': 0",
    ],
    ["splunk", { a: "b" }, "unknown log opt 'a' for splunk log driver"],
    ["gcplogs", { a: "b" }, '"a" is not a valid option for the gcplogs driver'],
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
  ["gelf", { "gelf-address": "tcp://h:1", "gelf-tcp-reconnect-delay": "3" }],
  ["fluentd", { "fluentd-address": "unix:///run/fluent.sock", "fluentd-retry-wait": "2s" }],
  ["fluentd", { "fluentd-address": "log:24224" }],
  ["awslogs", { "awslogs-group": "g", "awslogs-region": "eu-central-1" }],
  ["splunk", {}],
  ["gcplogs", { "gcp-project": "p" }],
] as [string, Record<string, string>][])("%s takes %j", (driver, options) => {
  checkLogOptions(driver, options);
});

test("what is kept and not done is said", () => {
  expect(logWarnings("none", {})).toEqual([]);
  expect(logWarnings("json-file", { "max-size": "1m", "max-file": "2" })).toEqual([]);
  expect(logWarnings("json-file", { compress: "true", tag: "x" })[0]).toStartWith("The log options compress, tag do");
  expect(logWarnings("syslog", {})[0]).toStartWith("The log driver syslog is not built");
});
