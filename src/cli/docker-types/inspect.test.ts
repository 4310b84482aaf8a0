import { describe, expect, test } from "bun:test";
import { encodeJson } from "../template/encode-json.ts";
import { dockerValue } from "./docker-types.ts";
import { render } from "./render-fixture.ts";

// What docker 28.2.2 prints of the same container.
describe("a template prints what docker's does", () => {
  test.each([
    ['{{join .HostConfig.Binds ","}}', ""],
    ["{{eq .State .State}}", "true"],
    ["{{range .State.Pid}}x{{end}}", ""],
    ['{{define "a"}}x{{end}}{{template "a" .}}', "x"],
    ['{{block "b" .Id}}[{{.}}]{{end}}', "[c]"],
    ["{{print nil}}", "<nil>"],
    ["{{len .HostConfig}}", "2"],
    ["{{1.5e3}} {{0x1F}} {{0b11}} {{0o17}} {{1_000}} {{'a'}} {{1i}}", "1500 31 3 15 1000 97 (0+1i)"],
    ["{{/* c */}}x", "x"],
    ["{{- /* c */ -}} x", "x"],
    ["{{(.State).Pid}} {{($.State.Pid)}}", "0 0"],
    ["{{.State.Health.Status}}", ""],
    ["{{.HostConfig.PidsLimit}} {{.HostConfig.OomKillDisable}}", "<nil> <nil>"],
    ["{{.Config.Labels.foo}}|{{.Config.Labels.foo.bar}}", "<no value>|<no value>"],
    ['{{split "a,b" ","}}', "[a b]"],
    ['{{title "hello wORLD a-b x_y 1a"}}', "Hello WORLD A-B X_y 1a"],
    ["{{$x := 1}}{{$x = 2}}{{$x}}", "2"],
    ["{{with $x := .Id}}{{$x}}{{else with .Name}}{{.}}{{end}}", "c"],
    ["{{$x:=1}}{{$x}}", "1"],
    ["{{'\\''}}", "39"],
    ["{{$.Id}}", "c"],
    ["{{1+2i}}", "(1+2i)"],
    ["{{ -1 }}", "-1"],
    ["{{+1}}", "1"],
    ["{{.5}}", "0.5"],
    ["{{5.}}", "5"],
    ["{{1e3}}", "1000"],
    ["{{- 1 -}}", "1"],
    ["{{-1 -}} x", "-1x"],
    ["{{0777}}", "511"],
    ["{{0x1p4}}", "16"],
    ['{{printf "%d" 1.0}}', "%!d(float64=1)"],
    ['{{"a\\nb"}}', "a\nb"],
    ["{{`a\\nb`}}", "a\\nb"],
    ['{{template "a"}}{{define "a"}}q{{end}}', "q"],
    ['{{define "a"}}{{.}}{{end}}{{template "a" 5}}', "5"],
    ["{{(.Id)}}", "c"],
    ["{{1|}}", "1"],
    ["{{range $i := .Mounts}}{{$i.RW}}{{end}}", "false"],
    ["{{range 3}}{{.}}{{end}}", "012"],
    ["{{range $i := 3}}{{$i}}{{else}}x{{end}}", "012"],
    ['{{$x := 1}}{{range $x = .Mounts}}{{end}}{{printf "%T" $x}}', "container.MountPoint"],
    [
      "{{1000000.0}} {{1e21}} {{1e20}} {{123456789.0}} {{0.00001}} {{0.0001}} {{1e6}}",
      "1e+06 1e+21 1e+20 1.23456789e+08 1e-05 0.0001 1e+06",
    ],
    [
      '{{printf "%v %g %f %e %.3g %6.2f|%-8.1f|%08.3f|%+d|% d|%x|%X|%#x|%o|%#o|%O|%b|%c|%q|%U|%#U" 1e6 1e6 1.5 1.5 1234.5678 3.14159 2.5 -3.14159 5 5 255 255 255 8 8 8 5 65 65 8364 8364}}',
      "1e+06 1e+06 1.500000 1.500000e+00 1.23e+03   3.14|2.5     |-003.142|+5| 5|ff|FF|0xff|10|010|0o10|101|A|'A'|U+20AC|U+20AC '€'",
    ],
    [
      '{{printf "%5d|%-5d|%05d|%.3d|%+.2e|%t|%v|%5t|%q|%s|%x|%X|% x|%#x|%+q|%#q|%10s|%-10s|%.2s|%06s|%v|%+v|%#v|%T" 42 42 42 7 12345.678 true true false "a\\"b\\n" "str" "hi" "hi" "hi" "hi" "é" "a`b" "r" "l" "trunc" "ab" .Args .State.Health .State.Health .State}}',
      '   42|42   |00042|007|+1.23e+04|true|true|false|"a\\"b\\n"|str|6869|6869|68 69|0x6869|"\\u00e9"|"a`b"|         r|l         |tr|0000ab|[]|&{Status: FailingStreak:0 Log:[]}|&container.Health{Status:"", FailingStreak:0, Log:[]*container.HealthcheckResult(nil)}|*container.State',
    ],
    [
      '{{printf "%d %s %z %!" "x" 5 1}} {{printf "%d"}} {{printf "x" 1 "a"}} {{printf "%[2]d %[1]d" 1 2}} {{printf "%*d" 5 42}} {{printf "%-*d|" 5 42}} {{printf "%.*f" 2 3.14159}} {{printf "%[3]d" 1}} {{printf "%"}} {{printf "%%"}} {{printf "%5%"}} {{printf "%v" nil}} {{printf "%s" nil}} {{printf "%d" nil}} {{printf "%s" .Args}} {{printf "%q" .Mounts}} {{printf "%d" .State.Health}} {{printf "%x" .Config.Env}} {{printf "%t" 1}} {{printf "%w" 1}} {{printf "%6.2f%%" 12.345}} {{printf "%v" 1i}} {{printf "%03d|%-03d|%+03d" 7 7 7}} {{printf "%s %v" true 1.0}} {{printf "%08b" 5}} {{printf "%x" -255}} {{printf "%e" 0.0}} {{printf "%g" 100000.0}} {{printf "%g" 1e21}} {{printf "%G" 1e-7}} {{printf "%.10g" 1.5}} {{printf "%#v %#v %#v %#v %#v" 1 "a" true 1.5 nil}} {{printf "%v" 100000000000000000000.0}}',
      '%!d(string=x) %!s(int=5) %!z(int=1) %!!(MISSING) %!d(MISSING) x%!(EXTRA int=1, string=a) 2 1    42 42   | 3.14 %!d(BADINDEX) %!(NOVERB) % % <nil> %!s(<nil>) %!d(<nil>) [] [{"" "" "" "" "" "" %!q(bool=false) ""}] &{%!d(string=) 0 []} [] %!t(int=1) %!w(int=1)  12.35% (0+1i) 007|7  |+07 %!s(bool=true) 1 00000101 -ff 0.000000e+00 100000 1e+21 1E-07 1.5 1 "a" true 1.5 <nil> 1e+20',
    ],
    [
      '{{printf "%!|%z|%[x]d|%[1]|%[1]z|%*d|%.*d" 1}}',
      "%!!(int=1)|%!z(MISSING)|%!d(BADINDEX)|%!|(int=1)%!z(int=1)|%!(BADWIDTH)%!d(MISSING)|%!(BADPREC)%!d(MISSING)",
    ],
    [
      '{{printf "%6v|%-6v|%06d" .HostConfig.ConsoleSize .HostConfig.ConsoleSize .HostConfig.ConsoleSize}}',
      "[     0      0]|[0      0     ]|[000000 000000]",
    ],
    [
      "{{.HostConfig}}",
      "{[]  { map[]}  map[] { 0} false  [] [0 0] map[] [] []  [] [] [] [] []   [] 0  false false false [] map[] map[]   0 map[]   {0 1 0  0 [] [] [] [] [] 0 0 0 0   [] [] [] 0 0 0 0 <nil> <nil> <nil> [] 0 0 0 0} [] [] [] <nil>}",
    ],
    [
      "{{json .}}",
      '{"Id":"c","Created":"","Path":"","Args":null,"State":{"Status":"","Running":false,"Paused":false,"Restarting":false,"OOMKilled":false,"Dead":false,"Pid":0,"ExitCode":0,"Error":"","StartedAt":"","FinishedAt":"","Health":{"Status":"","FailingStreak":0,"Log":null}},"Image":"","ResolvConfPath":"","HostnamePath":"","HostsPath":"","LogPath":"","Name":"","RestartCount":0,"Driver":"","Platform":"","MountLabel":"","ProcessLabel":"","AppArmorProfile":"","ExecIDs":null,"HostConfig":{"Binds":null,"ContainerIDFile":"","LogConfig":{"Type":"","Config":null},"NetworkMode":"","PortBindings":null,"RestartPolicy":{"Name":"","MaximumRetryCount":0},"AutoRemove":false,"VolumeDriver":"","VolumesFrom":null,"ConsoleSize":[0,0],"CapAdd":null,"CapDrop":null,"CgroupnsMode":"","Dns":null,"DnsOptions":null,"DnsSearch":null,"ExtraHosts":null,"GroupAdd":null,"IpcMode":"","Cgroup":"","Links":null,"OomScoreAdj":0,"PidMode":"","Privileged":false,"PublishAllPorts":false,"ReadonlyRootfs":false,"SecurityOpt":null,"UTSMode":"","UsernsMode":"","ShmSize":0,"Isolation":"","CpuShares":0,"Memory":1,"NanoCpus":0,"CgroupParent":"","BlkioWeight":0,"BlkioWeightDevice":null,"BlkioDeviceReadBps":null,"BlkioDeviceWriteBps":null,"BlkioDeviceReadIOps":null,"BlkioDeviceWriteIOps":null,"CpuPeriod":0,"CpuQuota":0,"CpuRealtimePeriod":0,"CpuRealtimeRuntime":0,"CpusetCpus":"","CpusetMems":"","Devices":null,"DeviceCgroupRules":null,"DeviceRequests":null,"MemoryReservation":0,"MemorySwap":0,"MemorySwappiness":null,"OomKillDisable":null,"PidsLimit":null,"Ulimits":null,"CpuCount":0,"CpuPercent":0,"IOMaximumIOps":0,"IOMaximumBandwidth":0,"MaskedPaths":null,"ReadonlyPaths":null},"GraphDriver":{"Data":null,"Name":""},"Mounts":[{"Source":"","Destination":"","Mode":"","RW":false,"Propagation":""}],"Config":{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,"Healthcheck":{},"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null},"NetworkSettings":{"Bridge":"","SandboxID":"","SandboxKey":"","Ports":{"80/tcp":[{"HostIp":"","HostPort":""}]},"HairpinMode":false,"LinkLocalIPv6Address":"","LinkLocalIPv6PrefixLen":0,"SecondaryIPAddresses":null,"SecondaryIPv6Addresses":null,"EndpointID":"","Gateway":"","GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"IPAddress":"","IPPrefixLen":0,"IPv6Gateway":"","MacAddress":"","Networks":{"n":{"IPAMConfig":{},"Links":null,"Aliases":null,"MacAddress":"","DriverOpts":null,"GwPriority":0,"NetworkID":"","EndpointID":"","Gateway":"","IPAddress":"","IPPrefixLen":0,"IPv6Gateway":"","GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"DNSNames":null}}}}',
    ],
    [
      "{{json .Config}} {{json .State}} {{json .Mounts}} {{json .HostConfig.PidsLimit}}",
      '{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,"Healthcheck":{},"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null} {"Status":"","Running":false,"Paused":false,"Restarting":false,"OOMKilled":false,"Dead":false,"Pid":0,"ExitCode":0,"Error":"","StartedAt":"","FinishedAt":"","Health":{"Status":"","FailingStreak":0,"Log":null}} [{"Source":"","Destination":"","Mode":"","RW":false,"Propagation":""}] null',
    ],
    [
      '{{printf "%+v" .Mounts}} {{printf "%#v" .Mounts}}',
      '[{Type: Name: Source: Destination: Driver: Mode: RW:false Propagation:}] []container.MountPoint{container.MountPoint{Type:"", Name:"", Source:"", Destination:"", Driver:"", Mode:"", RW:false, Propagation:""}}',
    ],
    [
      '{{printf "%#v" .NetworkSettings.Ports}} {{.NetworkSettings.Ports}}',
      'nat.PortMap{"80/tcp":[]nat.PortBinding{nat.PortBinding{HostIP:"", HostPort:""}}} map[80/tcp:[{ }]]',
    ],
    [
      "{{range $p, $b := .NetworkSettings.Ports}}{{$p}} {{$p.Port}} {{$p.Proto}} {{$p.Int}} {{$b}}{{end}}",
      "80/tcp 80 tcp 80 [{ }]",
    ],
    ['{{index .NetworkSettings.Ports "80/tcp"}}', "[map[]]"],
    [
      "{{.HostConfig.NetworkMode.IsHost}} {{.HostConfig.RestartPolicy.IsNone}} {{.HostConfig.IpcMode.IsPrivate}}",
      "false true false",
    ],
    ["{{.Config.Healthcheck.Interval}} {{.Config.Healthcheck.Interval.Seconds}}", "0s 0"],
    [
      '{{html 1 2 "a" nil}} {{print 1 2 "a" "b" 3 4}} {{println 1 "a" nil}} {{print}} {{println}}',
      "1 2a&lt;no value&gt; 1 2ab3 4 1 a <nil>\n  \n",
    ],
    [
      '{{eq 1 2 1}} {{ne "a" "b"}} {{lt 1 2}} {{le 2 2}} {{gt "b" "a"}} {{ge 1.5 1.5}} {{eq nil nil}} {{eq .HostConfig.PidsLimit nil}}',
      "true true true true true true true true",
    ],
    ['{{slice "abcdef" 1 3}} {{slice .Mounts 0 1}} {{slice "abc"}} {{slice "abc" 2}}', "bc [{      false }] abc c"],
    ['{{len "äb"}} {{len .Mounts}} {{len .Config.Labels}} {{len .HostConfig.ConsoleSize}}', "3 1 0 2"],
    ["{{len .State}}", "1"],
    ['{{pad "" 2 3}}|{{pad "a" 2 3}}|', "|  a   |"],
    [
      '{{upper "aé"}} {{lower "AÉ"}} {{title "éa b"}} {{split "abc" ""}} {{split "a" "x"}} {{join (split "a,b,c" ",") "-"}}',
      "AÉ aé Éa B [a b c] [a] a-b-c",
    ],
    [
      '{{truncate "abcdef" 3}} {{truncate "ab" 3}} {{"abc" | printf "%s-%s" "x"}} {{truncate "abc" 2.0}}',
      "abc ab x-abc ab",
    ],
    ["{{range $k, $v := .HostConfig.Annotations}}{{$k}}={{$v}}{{else}}none{{end}}", "none"],
    ["{{range $i, $m := .Mounts}}{{if $i}},{{end}}{{$m.Source}}{{break}}{{end}}", ""],
    ["{{range 5}}{{if eq . 2}}{{continue}}{{end}}{{.}}{{if eq . 3}}{{break}}{{end}}{{end}}", "013"],
    ["{{if .State}}{{if .Mounts}}x{{end}}{{end}} a {{- 1 -}} b {{- /* x */ -}} c", "x a1bc"],
    ['{{$a := 1}}{{$b := "x"}}{{if true}}{{$a = 5}}{{$b := "y"}}{{$b}}{{end}}{{$a}}{{$b}}', "y5x"],
    ['{{define "t"}}<{{.}}{{if gt . 0}}{{template "t" 0}}{{end}}>{{end}}{{template "t" 1}}', "<1<0>>"],
    ["{{.SizeRw}} {{.ImageManifestDescriptor}} {{.GraphDriver}} {{.GraphDriver.Data}}", "<nil> <nil> {map[] } map[]"],
    ["{{.Id}} {{.HostConfig.Memory}} {{.Mounts}}", "c 1 [map[]]"],
    ["{{.HostConfig.LogConfig.Type}} {{.HostConfig.LogConfig}}", " { map[]}"],
    ["{{range $k, $v := .}}{{$k}} {{end}}", "Config GraphDriver HostConfig Id Mounts NetworkSettings State "],
    [
      "{{range .}}{{.}}{{end}}",
      "map[Healthcheck:map[]]map[]map[LogConfig:map[] Memory:1]c[map[]]map[Networks:map[n:map[IPAMConfig:map[]]] Ports:map[80/tcp:[map[]]]]map[Health:map[]]",
    ],
    ["{{range $k, $v := .HostConfig}}{{$k}} {{end}}", "LogConfig Memory "],
    [
      '{{.State.Pid | printf "%05d"}} {{printf "%s" .State}} {{printf "%q" .Config.Env}}',
      "00000 &{ %!s(bool=false) %!s(bool=false) %!s(bool=false) %!s(bool=false) %!s(bool=false) %!s(int=0) %!s(int=0)    %!s(*container.Health=&{ 0 []})} []",
    ],
    [
      '{{printf "%-20s|%20s|" .Id .Id}} {{printf "%.3s" "abcdef"}} {{printf "%5.1f" 2.25}} {{printf "%5.1f" 0.05}} {{printf "%.0f" 2.5}} {{printf "%.0f" 3.5}}',
      "c                   |                   c| abc   2.2   0.1 2 4",
    ],
    [
      '{{println .Id}}{{print .Id "a" 1 2 true}} {{.Mounts | json}} {{json nil}} {{json "<&>\\u2028"}} {{json 1.0}} {{json 1e21}} {{json 1e-7}}',
      'c\nca1 2 true [{}] null "<&>\\u2028" 1 1e+21 1e-7',
    ],
    ["{{\n.Id\n|\nlen}}", "1"],
    ['{{truncate "abc" 2e0}} {{truncate "abc" \'a\'}}', "ab abc"],
    ['{{printf "%.2f|%+t|%05s|%5d" -2 5 1 "x"}}', "%!f(int=-02)|%!t(int=+5)|%!s(int=00001)|%!d(string=    x)"],
    ['{{printf "%6.3d|%-6.3d|%+.2d|%x|%X|% x|%#o" 5 5 5 -1 -255 "hi" 8}}', "   005|005   |+05|-1|-FF|68 69|010"],
    ['{{printf "%v %v %.3v %10.2v|" 1.0 1e-7 3.14159 3.14159}}', "1 1e-07 3.14        3.1|"],
    ['{{printf "%08.3f|%+08.3f|%-8.3f|% .2f" 3.14159 3.14159 3.14159 3.14159}}', "0003.142|+003.142|3.142   | 3.14"],
    [
      '{{printf "%.1f %.1f %.2f %.0f %.3e %.2g" 0.25 0.35 1.005 0.5 12345.5 0.000125}}',
      "0.2 0.3 1.00 0 1.235e+04 0.00013",
    ],
    ["{{eq .State .HostConfig}} {{eq .State .State}}", "false true"],
  ])("%j", (template, text) => {
    expect(render(template)).toBe(text);
  });
});

test("what may be left out is written where it leads to a zero, as Go does, and left out where it leads nowhere", () => {
  const config = (StopTimeout?: number) =>
    encodeJson(dockerValue("container.InspectResponse", { Config: { StopTimeout } }));
  expect(config(0)).toContain('"StopTimeout":0');
  expect(config()).not.toContain("StopTimeout");
});
