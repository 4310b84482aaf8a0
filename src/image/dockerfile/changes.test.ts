/** Changes of a configuration as `--change` has them: docker's results and docker's words. */
import { describe, expect, test } from "bun:test";
import type { ImageConfigDefaults } from "../../oci/image.ts";
import { applyChanges } from "./changes.ts";
import { expandWord, splitWords } from "./words.ts";

const base: ImageConfigDefaults = {
  Env: ["PATH=/bin", "A=1"],
  Cmd: ["sh"],
  Entrypoint: ["/init"],
  WorkingDir: "/srv",
  Labels: { kept: "yes" },
  ExposedPorts: { "80/tcp": {} },
};

describe("a change sets", () => {
  const cases: [string[], ImageConfigDefaults][] = [
    [['CMD ["a", "b c"]'], { Cmd: ["a", "b c"] }],
    [["cmd echo $HOME 'x'"], { Cmd: ["/bin/sh", "-c", "echo $HOME 'x'"] }],
    [["CMD []"], { Cmd: [] }],
    [["CMD [not json"], { Cmd: ["/bin/sh", "-c", "[not json"] }],
    [['ENTRYPOINT ["/e"]'], { Entrypoint: ["/e"], Cmd: undefined }],
    [["CMD one", "ENTRYPOINT two"], { Cmd: ["/bin/sh", "-c", "one"], Entrypoint: ["/bin/sh", "-c", "two"] }],
    [["ENTRYPOINT two", "CMD one"], { Cmd: ["/bin/sh", "-c", "one"], Entrypoint: ["/bin/sh", "-c", "two"] }],
    [["ENV A=2 B='x y' C=\"$A $PATH\" D=\\$A"], { Env: ["PATH=/bin", "A=2", "B=x y", "C=1 /bin", "D=$A"] }],
    [["ENV A two words"], { Env: ["PATH=/bin", "A=two words"] }],
    [
      ["ENV A=2", `ENV B=\${A}3 C=\${NONE:-none} D=\${A:+set} E=\${NONE-}`],
      { Env: ["PATH=/bin", "A=2", "B=23", "C=none", "D=set", "E="] },
    ],
    [
      ["EXPOSE 443 53/udp 8000-8002"],
      { ExposedPorts: { "80/tcp": {}, "443/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {}, "8002/tcp": {} } },
    ],
    [
      ['LABEL a=b "with space"="x y" version=$A'],
      { Labels: { kept: "yes", a: "b", "with space": "x y", version: "1" } },
    ],
    [["ONBUILD RUN make $X"], { OnBuild: ["RUN make $X"] }],
    [["ONBUILD COPY a b", "ONBUILD RUN c"], { OnBuild: ["COPY a b", "RUN c"] }],
    [["STOPSIGNAL SIGQUIT"], { StopSignal: "SIGQUIT" }],
    [["STOPSIGNAL 9"], { StopSignal: "9" }],
    [["USER me:us"], { User: "me:us" }],
    [[`USER \${A}`], { User: "1" }],
    [['VOLUME ["/a", "/b c"]'], { Volumes: { "/a": {}, "/b c": {} } }],
    [["VOLUME /a $PATH"], { Volumes: { "/a": {}, "/bin": {} } }],
    [["WORKDIR sub/../dir"], { WorkingDir: "/srv/dir" }],
    [["WORKDIR /x", "WORKDIR y"], { WorkingDir: "/x/y" }],
    [["HEALTHCHECK NONE"], { Healthcheck: { Test: ["NONE"] } }],
    [
      [
        "HEALTHCHECK --interval=5s --timeout=1m --start-period=1.5h --start-interval=2ms --retries=4 CMD curl -f x || exit 1",
      ],
      {
        Healthcheck: {
          Test: ["CMD-SHELL", "curl -f x || exit 1"],
          Interval: 5e9,
          Timeout: 60e9,
          StartPeriod: 5400e9,
          StartInterval: 2e6,
          Retries: 4,
        },
      },
    ],
    [['HEALTHCHECK CMD ["a", "b"]'], { Healthcheck: { Test: ["CMD", "a", "b"] } }],
    [["# a comment", "", "ENV \\\n# within\n  A=9 \\\n\n  Z=8"], { Env: ["PATH=/bin", "A=9", "Z=8"] }],
    [[], {}],
  ];
  for (const [changes, expected] of cases) {
    test(changes.join(" | ") || "nothing", () => {
      expect(applyChanges(base, changes)).toEqual({ ...base, ...expected });
    });
  }

  test("a command for the shell of the configuration", () => {
    expect(applyChanges({ Shell: ["/bin/bash", "-ec"] }, ["CMD x"]).Cmd).toEqual(["/bin/bash", "-ec", "x"]);
  });

  test("nothing in the configuration that it was given", () => {
    const before = structuredClone(base);
    applyChanges(base, ["ENV A=5", "LABEL x=y", "EXPOSE 1", "VOLUME /v", "ONBUILD RUN x"]);
    expect(base).toEqual(before);
  });
});

describe("a change is refused", () => {
  const cases: [string, RegExp][] = [
    ["RUN make", /^run is not a valid change command$/],
    ["FROM scratch", /^from is not a valid change command$/],
    ['SHELL ["x"]', /^shell is not a valid change command$/],
    ["constructor", /^constructor is not a valid change command$/],
    ["ENV", /^ENV requires at least one argument$/],
    ["ENV A", /^ENV must have two arguments$/],
    ["ENV A=1 B", /^Syntax error - can't find = in "B"\. Must be of the form: name=value$/],
    ["ENV =x", /^ENV names can not be blank$/],
    ["LABEL a='x", /matching single-quote/],
    ['LABEL a="x', /matching double-quote/],
    [`LABEL a=\${x`, /missing }|unsupported modifier/],
    [`LABEL a=\${x^^}`, /unsupported modifier \(\^\) in substitution/],
    [`LABEL a="\${NO:?is needed}"`, /^NO: is needed$/],
    ["EXPOSE x", /^invalid containerPort: x$/],
    ["EXPOSE 99999", /^invalid containerPort: 99999$/],
    ["EXPOSE 20-10", /^invalid containerPort: 20-10$/],
    ["EXPOSE 80/icmp", /^invalid proto: icmp$/],
    ["ONBUILD", /^ONBUILD requires at least one argument$/],
    ["ONBUILD ONBUILD RUN x", /^Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed$/],
    ["ONBUILD FROM x", /^FROM isn't allowed as an ONBUILD trigger$/],
    ["STOPSIGNAL NONSENSE", /^Invalid signal: NONSENSE$/],
    ["USER a b", /^USER requires exactly one argument$/],
    ["WORKDIR $NONE", /^WORKDIR: empty/],
    ['VOLUME [""]', /^VOLUME specified can not be an empty string$/],
    ["HEALTHCHECK", /^HEALTHCHECK requires at least one argument$/],
    ["HEALTHCHECK NONE x", /^HEALTHCHECK NONE takes no arguments$/],
    ["HEALTHCHECK SHELL x", /^Unknown type "SHELL" in HEALTHCHECK \(try CMD\)$/],
    ["HEALTHCHECK CMD", /^Missing command after HEALTHCHECK CMD$/],
    ["HEALTHCHECK --interval=1us CMD x", /cannot be less than 1ms$/],
    ["HEALTHCHECK --interval=soon CMD x", /^time: invalid duration "soon"$/],
    ["HEALTHCHECK --retries=0 CMD x", /^--retries must be at least 1 \(not 0\)$/],
    ["HEALTHCHECK --often=1 CMD x", /^Unknown flag: often$/],
  ];
  for (const [change, message] of cases) {
    test(change, () => expect(() => applyChanges(base, [change])).toThrow(message));
  }
});

test("words keep their quotes until they are expanded", () => {
  expect(splitWords(`a 'b c'  "d \\" e" f\\ g`)).toEqual(["a", "'b c'", '"d \\" e"', "f\\ g"]);
  const variables = new Map([
    ["x", "1 2"],
    ["empty", ""],
  ]);
  const cases: [string, string][] = [
    ["'$x'", "$x"],
    ['"$x"y', "1 2y"],
    ["$x$y", "1 2"],
    [`\${empty:-d}\${empty-d}`, "d"],
    ["\\'a", "'a"],
    ['"\\n"', "\\n"],
    [`\${none:-\${x}}`, "1 2"],
    ["a$", "a$"],
  ];
  for (const [word, expected] of cases) expect(expandWord(word, variables)).toBe(expected);
});
