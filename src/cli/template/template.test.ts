import { describe, expect, test } from "bun:test";
import { compileTemplate } from "./execute.ts";

const data = {
  Name: "/web",
  Id: "0123456789abcdef",
  State: { Running: true, Pid: 42, ExitCode: 0 },
  Env: ["A=1", "B=2"],
  Labels: { b: "2", a: "1" },
  Ports: { "80/tcp": [{ HostPort: "8080" }], "443/tcp": null },
  Empty: [],
  Nothing: null,
};

const render = (template: string) => compileTemplate(template).execute(data);

describe("templates", () => {
  test.each([
    ["{{.Name}}", "/web"],
    ["{{ .State.Running }} {{.State.Pid}}", "true 42"],
    ["{{json .Env}}", '["A=1","B=2"]'],
    ["{{.Env}}", "[A=1 B=2]"],
    ["{{.Labels}}", "map[a:1 b:2]"],
    ["{{.Nothing}}", "<no value>"],
    ["{{range .Env}}<{{.}}>{{end}}", "<A=1><B=2>"],
    ["{{range $i, $e := .Env}}{{$i}}={{$e}};{{end}}", "0=A=1;1=B=2;"],
    ["{{range $k, $v := .Labels}}{{$k}}{{$v}}{{end}}", "a1b2"],
    ["{{range .Empty}}x{{else}}none{{end}}", "none"],
    ["{{if .State.Running}}up{{else}}down{{end}}", "up"],
    ["{{if .Empty}}a{{else if .Env}}b{{else}}c{{end}}", "b"],
    ["{{with .State}}{{.Pid}}{{end}}", "42"],
    ["{{with $x := .State}}{{$x.Pid}}{{$.Name}}{{end}}", "42/web"],
    ['{{index .Labels "a"}}', "1"],
    ['{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"],
    ['{{index .Labels "zz"}}', "<no value>"],
    ["{{.Nope}} {{.Nope.X}}", "<no value> <no value>"],
    ["{{len .Env}}", "2"],
    ['{{.Name | upper | printf "%s!"}}', "/WEB!"],
    ['{{printf "%-6s|%4d|%q" .Name .State.Pid .Id}}', '/web  |  42|"0123456789abcdef"'],
    ['{{title "hello world"}}{{lower "ABC"}}', "Hello Worldabc"],
    ['{{truncate .Id 4}}{{pad "x" 1 2}}|', "0123 x  |"],
    ['{{split "a:b" ":"}}', "[a b]"],
    ["{{println .Name}}", "/web\n"],
    ["{{eq .State.Pid 42}} {{and true .Empty}} {{or .Empty 3}} {{not .Empty}}", "true [] 3 true"],
    ["a {{- 1 -}} b", "a1b"],
    ["{{/* nothing */}}x", "x"],
    ["{{$x := 1}}{{range .Env}}{{$x = 2}}{{end}}{{$x}}", "2"],
    ['{{"}}"}}', "}}"],
    ['{{range .Env}}{{if eq . "B=2"}}{{break}}{{end}}{{.}}{{end}}', "A=1"],
    ["{{slice .Id 0 3}}", "012"],
  ])("%s", (template, expected) => {
    expect(render(template)).toBe(expected);
  });

  test.each([
    ['{{join .Env ", "}}', "wrong type for value; expected []string; got []interface {}"],
    ["{{.Name.X}}", "can't evaluate field X"],
    ["{{nosuch .}}", 'function "nosuch" not defined'],
    ["{{.Name", "unclosed action"],
    ["{{if .Name}}x", "unexpected EOF"],
    ["{{end}}", "unexpected {{end}}"],
    ["{{$x}}", "undefined variable"],
    ["{{index .Env 7}}", "index out of range"],
    ["{{}}", "missing value for command"],
    ["{{.Name 1}}", "Name is not a method but has arguments"],
  ])("%s is refused", (template, message) => {
    expect(() => render(template)).toThrow(message);
  });

  test("that need more than there can be are mistakes, not crashes", () => {
    const nested = `{{${"(".repeat(20_000)}1${")".repeat(20_000)}}}`;
    expect(() => render(nested)).toThrow("it is nested too deep");
    expect(() => render("{{pad .Name 9000000000 0}}")).toThrow("its text is too long");
  });
});
