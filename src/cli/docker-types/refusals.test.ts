import { describe, expect, test } from "bun:test";
import { dockerValue } from "../docker-types/docker-types.ts";
import { ObjectFormatter } from "../format.ts";

const container = {
  Id: "c",
  State: { Health: {} },
  Config: { Healthcheck: {} },
  HostConfig: { Memory: 1, LogConfig: {} },
  NetworkSettings: { Networks: { n: { IPAMConfig: {} } }, Ports: { "80/tcp": [{}] } },
  Mounts: [{}],
  GraphDriver: {},
};

function render(template: string): string {
  const formatter = new ObjectFormatter(template);
  formatter.add({ json: container, view: dockerValue("container.InspectResponse", container) });
  return formatter.text().replace(/\n$/, "");
}

const words = "template parsing error: template: ";

// What docker 28.2.2 says of the same mistakes.
describe("a template that is wrong in itself is refused as docker refuses it", () => {
  test.each([
    ["{{.", ':1: illegal number syntax: "."'],
    ["{{.Id", ":1: unclosed action"],
    ["{{end}}", ":1: unexpected {{end}}"],
    ["{{if .Id}}", ":1: unexpected EOF"],
    ["{{nosuch .}}", ':1: function "nosuch" not defined'],
    ["{{$x}}", ':1: undefined variable "$x"'],
    ["{{}}", ":1: missing value for command"],
    ['{{"abc', ":1: unterminated quoted string"],
    ["{{1 | .}}", ":1: non executable command in pipeline stage 2"],
    ["{{break}}", ":1: {{break}} outside {{range}}"],
    ["{{if}}x{{end}}", ":1: missing value for if"],
    ["{{else}}", ":1: unexpected {{else}}"],
    ["{{if 1}}{{else}}{{else}}{{end}}", ":1: expected end; found {{else}}"],
    ["{{range $a, $b, $c := .Mounts}}{{end}}", ":1: too many declarations in range"],
    ['{{"a" | "b"}}', ":1: non executable command in pipeline stage 2"],
    ["{{)}}", ":1: unexpected right paren"],
    ["{{(1}}", ":1: unclosed left paren"],
    ["{{#}}", ':1: unexpected "#" in command'],
    ["{{.Id}", ":1: bad character U+007D '}'"],
    ['{{"\\q"}}', ":1: invalid syntax"],
    ["{{08}}", ':1: integer overflow: "08"'],
    ["{{1x}}", ':1: bad number syntax: "1x"'],
    ["{{continue}}", ":1: {{continue}} outside {{range}}"],
    ["{{range .Mounts}}{{break 1}}{{end}}", ':1: unexpected "1" in {{break}}'],
    ["{{é}}", ':1: function "é" not defined'],
    ["{{a:b}}", ':1: function "a" not defined'],
    ["{{.Id.}}", ":1: unexpected <.> in operand"],
    ["{{..}}", ":1: unexpected <.> in operand"],
    ["{{.Id=1}}", ":1: bad character U+003D '='"],
    ["{{$x=1}}", ":1: bad character U+003D '='"],
    ['{{"a\\"b\\"}}', ":1: unterminated quoted string"],
    ["{{.Id-1}}", ":1: bad character U+002D '-'"],
    ["{{1+2}}", ':1: bad number syntax: "1+2"'],
    ["{{0x}}", ':1: illegal number syntax: "0x"'],
    ["{{1_}}", ':1: illegal number syntax: "1_"'],
    ["{{é", ':1: function "é" not defined'],
    ["{{€}}", ":1: unrecognized character in action: U+20AC '€'"],
    ["{{range .Id", ":1: unclosed action"],
    ["{{range}}", ":1: missing value for range"],
    ["{{template}}", ':1: unexpected "}}" in template clause'],
    [
      '{{define "a"}}{{end}}{{define "a"}}x{{end}}{{define "a"}}y{{end}}',
      ':1: template: multiple definition of template "a"',
    ],
    ["{{define x}}", ':1: unexpected "x" in define clause'],
    ['{{define "a"}}{{$x}}{{end}}', ':1: undefined variable "$x"'],
    ['{{block "b"}}{{end}}', ":1: missing value for block clause"],
    ['{{define "a"}}{{break}}{{end}}', ":1: {{break}} outside {{range}}"],
    ["{{with .Id}}{{else if .Id}}{{end}}", ":1: unexpected <if> in input"],
    ["{{end .Id}}", ':1: unexpected ".Id" in end'],
    ["{{if .Id}}{{end", ":1: unclosed action"],
    ["{{/* a", ":1: unclosed comment"],
    ["{{/* a */ }}", ":1: comment ends before closing delimiter"],
    ["{{.Id}}{{else}}", ":1: unexpected {{else}}"],
    ['{{"abc".X}}', ':1: unexpected . after term "\\"abc\\""'],
    ["{{1.X}}", ':1: bad number syntax: "1.X"'],
    ["{{nil.X}}", ':1: unexpected . after term "nil"'],
    ["{{()}}", ":1: missing value for parenthesized pipeline"],
    ["{{|}}", ':1: unexpected "|" in command'],
    ["{{,}}", ':1: unexpected "," in command'],
    ["{{.Id,}}", ':1: unexpected "," in operand'],
    ["{{$x, $y := .Id}}", ":1: too many declarations in command"],
    ["{{if $x := .Id}}{{$x}}{{end}}{{$x}}", ':1: undefined variable "$x"'],
    ["{{range $i, 1 := .Id}}{{end}}", ":1: range can only initialize variables"],
    [
      '{{html "<a href=\'x\'>&\\"</a>"}} {{js "it\'s <b> \\"x\\" & = \\ \\n é"}} {{urlquery "a b&c=d/é?!\'()*~-_."}}',
      ":1: invalid syntax",
    ],
    ["{{.Id}}\n{{.Id", ":2: unclosed action"],
    ["{{if eq 1 1}}\n{{else}}\n{{.Foo", ":3: unclosed action"],
    ['{{\n"a', ":2: unterminated quoted string in action started at :1"],
    ["{{\n.Id\n", ":3: unclosed action started at :1"],
    ["{{08-2js}}", ':1: bad number syntax: "08-2j"'],
  ])("%j", (template, error) => {
    expect(() => new ObjectFormatter(template)).toThrow(new RegExp(`^${RegExp.escape(words + error)}$`));
  });
});

describe("a template that the object does not fit is refused as docker refuses it", () => {
  test.each([
    ["{{.Id 1}}", ':1:2: executing "" at <.Id>: Id is not a method but has arguments'],
    ["{{index .Mounts 7}}", ':1:2: executing "" at <index .Mounts 7>: error calling index: index out of range: 7'],
    ["{{.Nope}}", ':1:2: executing "" at <.Nope>: map has no entry for key "Nope"'],
    ["{{.State.Nope}}", ':1:8: executing "" at <.State.Nope>: map has no entry for key "Nope"'],
    ["{{.Name.X}}", ':1:7: executing "" at <.Name.X>: map has no entry for key "Name"'],
    ["{{lower .State.Pid}}", ':1:14: executing "" at <.State.Pid>: map has no entry for key "Pid"'],
    [
      '{{join .Mounts ","}}',
      ':1:7: executing "" at <.Mounts>: wrong type for value; expected []string; got []interface {}',
    ],
    ['{{eq .State.Pid "1"}}', ':1:11: executing "" at <.State.Pid>: map has no entry for key "Pid"'],
    ["{{lt 1}}", ':1:2: executing "" at <lt>: wrong number of args for lt: want 2 got 1'],
    ['{{template "x"}}', ':1:11: executing "" at <{{template "x"}}>: template "x" not defined'],
    ["{{range .Name}}x{{end}}", ':1:8: executing "" at <.Name>: map has no entry for key "Name"'],
    ["{{range .State.Running}}x{{end}}", ':1:14: executing "" at <.State.Running>: map has no entry for key "Running"'],
    ["{{nil}}", ':1:2: executing "" at <nil>: nil is not a command'],
    ["{{nil | print}}", ':1:2: executing "" at <nil>: nil is not a command'],
    ["{{len 3}}", ':1:2: executing "" at <len 3>: error calling len: len of type int'],
    [
      "{{len nil}}",
      ':1:2: executing "" at <len nil>: error calling len: reflect: call of reflect.Value.Type on zero Value',
    ],
    ["{{slice .Id 0 9}}", ':1:2: executing "" at <slice .Id 0 9>: error calling slice: index out of range: 9'],
    ["{{call .Id}}", ':1:2: executing "" at <call .Id>: error calling call: non-function .Id of type string'],
    ["{{call nil}}", ':1:2: executing "" at <call nil>: error calling call: call of nil'],
    ["{{.State.Foo.Bar}}", ':1:8: executing "" at <.State.Foo.Bar>: map has no entry for key "Foo"'],
    ["{{1 2}}", ':1:2: executing "" at <1>: can\'t give argument to non-function 1'],
    ["{{.Id | .Name}}", ':1:8: executing "" at <.Name>: Name is not a method but has arguments'],
    ["{{printf}}", ':1:2: executing "" at <printf>: wrong number of args for printf: want at least 1 got 0'],
    ["{{printf 1}}", ':1:9: executing "" at <1>: expected string; found 1'],
    ["{{index}}", ':1:2: executing "" at <index>: wrong number of args for index: want at least 1 got 0'],
    ["{{not}}", ':1:2: executing "" at <not>: wrong number of args for not: want 1 got 0'],
    ['{{truncate "abc"}}', ':1:2: executing "" at <truncate>: wrong number of args for truncate: want 2 got 1'],
    ['{{truncate "abc" "x"}}', ':1:17: executing "" at <"x">: expected integer; found "x"'],
    ['{{pad "a" 1}}', ':1:2: executing "" at <pad>: wrong number of args for pad: want 3 got 2'],
    [
      '{{truncate "abc" -1}}',
      ':1:2: executing "" at <truncate "abc" -1>: error calling truncate: runtime error: slice bounds out of range [:-1]',
    ],
    ["{{$x = 1}}", ':1:7: executing "" at <1>: undefined variable: $x'],
    ["{{.é}}", ':1:2: executing "" at <.é>: map has no entry for key "é"'],
    ["{{true false}}", ':1:2: executing "" at <true>: can\'t give argument to non-function true'],
    ["{{.Id .}}", ':1:2: executing "" at <.Id>: Id is not a method but has arguments'],
    ["{{ 9999999999999999999 }}", ':1:3: executing "" at <9999999999999999999>: 9999999999999999999 overflows int'],
    [
      "{{index .Mounts 0.0}}",
      ':1:2: executing "" at <index .Mounts 0.0>: error calling index: cannot index slice/array with type float64',
    ],
    ['{{"a" "b"}}', ':1:2: executing "" at <"a">: can\'t give argument to non-function "a"'],
    ["{{(.Id).X}}", ':1:3: executing "" at <.Id>: can\'t evaluate field X in type string'],
    ["{{(1).X}}", ':1:3: executing "" at <1>: can\'t evaluate field X in type int'],
    [
      "{{range $i, $j := 3}}{{.}}{{end}}",
      ':1:18: executing "" at <3>: can\'t use 3 to iterate over more than one variable',
    ],
    [
      '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}',
      ':1:49: executing "" at <0>: map has no entry for key "HostPort"',
    ],
    [
      '{{and 1 0 2}} {{or 0 "" "x" .Nope}} {{not ""}} {{and true}} {{or nil 1}} {{and}}',
      ':1:75: executing "" at <and>: wrong number of args for and: want at least 1 got 0',
    ],
    ["{{eq 1 1.0}}", ':1:2: executing "" at <eq 1 1.0>: error calling eq: incompatible types for comparison'],
    ["{{lt true false}}", ':1:2: executing "" at <lt true false>: error calling lt: invalid type for comparison'],
    ["{{eq 1}}", ':1:2: executing "" at <eq 1>: error calling eq: missing argument for comparison'],
    [
      "{{eq .Mounts .Mounts}}",
      ':1:2: executing "" at <eq .Mounts .Mounts>: error calling eq: non-comparable type [map[]]: []interface {}',
    ],
    ['{{lt "a" 1}}', ':1:2: executing "" at <lt "a" 1>: error calling lt: incompatible types for comparison'],
    ["{{lt nil 1}}", ':1:2: executing "" at <lt nil 1>: error calling lt: invalid type for comparison'],
    [
      '{{index "abc" 1}} {{index .Config.Labels "a"}} {{index .Id}}',
      ':1:33: executing "" at <.Config.Labels>: map has no entry for key "Labels"',
    ],
    ["{{index nil 1}}", ':1:2: executing "" at <index nil 1>: error calling index: index of untyped nil'],
    [
      '{{index .Mounts "a"}}',
      ':1:2: executing "" at <index .Mounts "a">: error calling index: cannot index slice/array with type string',
    ],
    ["{{index .Mounts -1}}", ':1:2: executing "" at <index .Mounts -1>: error calling index: index out of range: -1'],
    [
      "{{index .Mounts 1}}",
      ':1:2: executing "" at <index .Mounts 1>: error calling index: reflect: slice index out of range',
    ],
    ["{{index 1 1}}", ':1:2: executing "" at <index 1 1>: error calling index: can\'t index item of type int'],
    ["{{index .Config.Labels 1}}", ':1:15: executing "" at <.Config.Labels>: map has no entry for key "Labels"'],
    ['{{slice "abc" 2 1}}', ':1:2: executing "" at <slice "abc" 2 1>: error calling slice: invalid slice index: 2 > 1'],
    [
      '{{slice "abc" 1 2 3}}',
      ':1:2: executing "" at <slice "abc" 1 2 3>: error calling slice: cannot 3-index slice a string',
    ],
    ["{{slice nil}}", ':1:2: executing "" at <slice nil>: error calling slice: slice of untyped nil'],
    ["{{slice 1}}", ':1:2: executing "" at <slice 1>: error calling slice: can\'t slice item of type int'],
    [
      "{{len .HostConfig.PidsLimit}}",
      ':1:17: executing "" at <.HostConfig.PidsLimit>: map has no entry for key "PidsLimit"',
    ],
    ['{{pad "a" -1 0}}', ':1:2: executing "" at <pad "a" -1 0>: error calling pad: strings: negative Repeat count'],
    ["{{upper nil}}", ':1:8: executing "" at <nil>: cannot assign nil to string'],
    ["{{upper 1}}", ':1:8: executing "" at <1>: expected string; found 1'],
    ["{{upper .Nope}}", ':1:8: executing "" at <.Nope>: map has no entry for key "Nope"'],
    [
      '{{with .State}}{{.Status}}{{$.Id}}{{else}}no{{end}}{{with ""}}x{{else}}e{{end}}',
      ':1:17: executing "" at <.Status>: map has no entry for key "Status"',
    ],
    [
      "{{if .HostConfig.PidsLimit}}a{{else if .Id}}b{{else}}c{{end}}",
      ':1:16: executing "" at <.HostConfig.PidsLimit>: map has no entry for key "PidsLimit"',
    ],
    [
      '{{template "t" 1}}{{define "t"}}{{.Foo}}{{end}}',
      ':1:34: executing "t" at <.Foo>: can\'t evaluate field Foo in type int',
    ],
    [
      '{{template "t" .}}{{define "t"}}{{.Nope}}{{end}}',
      ':1:34: executing "t" at <.Nope>: map has no entry for key "Nope"',
    ],
    [
      '{{(index .Mounts 0).Type}} {{(printf "%s" "x") | upper}} {{.Id | printf "%s %s" "a" | len}}',
      ':1:17: executing "" at <0>: map has no entry for key "Type"',
    ],
    ['{{(lower "X").Y}}', ':1:9: executing "" at <"X">: can\'t evaluate field Y in type string'],
    ['{{lower "X" "Y"}}', ':1:2: executing "" at <lower>: wrong number of args for lower: want 1 got 2'],
    [
      "{{.ImageManifestDescriptor.Digest}}",
      ':1:26: executing "" at <.ImageManifestDescriptor.Digest>: map has no entry for key "ImageManifestDescriptor"',
    ],
    [
      "{{.ContainerJSONBase.ID}} {{.ID}} {{.HostConfig.Resources.Memory}} {{.HostConfig.CPUShares}} {{.HostConfig.CpuShares}}",
      ':1:20: executing "" at <.ContainerJSONBase.ID>: map has no entry for key "ContainerJSONBase"',
    ],
    [
      "{{.HostConfig.DNS}} {{.HostConfig.Dns}}",
      ':1:13: executing "" at <.HostConfig.DNS>: map has no entry for key "DNS"',
    ],
    ["{{.ID}} {{.Id}}", ':1:2: executing "" at <.ID>: map has no entry for key "ID"'],
    [
      '{{printf "%T %T %T %T" . .State .Id .HostConfig.NetworkMode}}',
      ':1:47: executing "" at <.HostConfig.NetworkMode>: map has no entry for key "NetworkMode"',
    ],
    [
      '{{printf "%T" .Id}} {{printf "%T" .Mounts}} {{printf "%T %T" .HostConfig.Memory .State.Running}}',
      ':1:86: executing "" at <.State.Running>: map has no entry for key "Running"',
    ],
    ["{{json 1i}}", ':1:2: executing "" at <json 1i>: error calling json: json: unsupported type: complex128'],
    ["a\nb {{.Nope.X}}", ':2:9: executing "" at <.Nope.X>: map has no entry for key "Nope"'],
    ["{{title 1e6}}", ':1:8: executing "" at <1e6>: expected string; found 1e6'],
    ["{{printf 1e6 1}}", ':1:9: executing "" at <1e6>: expected string; found 1e6'],
    ['{{truncate "abc" 1.5}}', ':1:17: executing "" at <1.5>: expected integer; found 1.5'],
    ['{{truncate "abc" 1i}}', ':1:17: executing "" at <1i>: expected integer; found 1i'],
    ['{{"f" | call}}', ':1:8: executing "" at <call>: error calling call: non-function f of type string'],
    ["{{1 | call}}", ':1:6: executing "" at <call>: error calling call: non-function <int Value> of type int'],
    ["{{.Nope | call}}", ':1:2: executing "" at <.Nope>: map has no entry for key "Nope"'],
    [
      '{{.Id}}{{eq .NetworkSettings.Networks (split "a,b" ",")}}',
      ':1:9: executing "" at <eq .NetworkSettings.Networks (split "a,b" ",")>: error calling eq: non-comparable types map[n:map[IPAMConfig:map[]]]: map[string]interface {}, []string: [a b]',
    ],
    [
      "{{.Id}}{{eq .State . }}",
      ':1:9: executing "" at <eq .State .>: error calling eq: non-comparable type map[Config:map[Healthcheck:map[]] GraphDriver:map[] HostConfig:map[LogConfig:map[] Memory:1] Id:c Mounts:[map[]] NetworkSettings:map[Networks:map[n:map[IPAMConfig:map[]]] Ports:map[80/tcp:[map[]]]] State:map[Health:map[]]]: map[string]interface {}',
    ],
    ["{{.Id}}{{eq .Nope .Mounts}}", ':1:12: executing "" at <.Nope>: map has no entry for key "Nope"'],
    [
      "{{.Id}}{{eq .Mounts .Mounts}}",
      ':1:9: executing "" at <eq .Mounts .Mounts>: error calling eq: non-comparable type [map[]]: []interface {}',
    ],
  ])("%j", (template, error) => {
    expect(() => render(template)).toThrow(new RegExp(`^${RegExp.escape(words + error)}$`));
  });
});
