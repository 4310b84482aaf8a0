import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Served, serve } from "./testing/serve.ts";

let served: Served;
beforeAll(async () => {
  served = await serve();
});
afterAll(() => served[Symbol.asyncDispose]());

async function message(response: Response): Promise<[number, string]> {
  return [response.status, ((await response.json()) as { message: string }).message];
}

async function created(json: object, query = ""): Promise<string> {
  const response = await served.fetch(`/containers/create${query}`, { json });
  expect(response.status).toBe(201);
  return ((await response.json()) as { Id: string }).Id;
}

describe("_ping", () => {
  test("says by its headers what the daemon is, to GET and to HEAD", async () => {
    for (const method of ["GET", "HEAD"]) {
      const response = await served.fetch("/_ping", { method });
      expect(response.status).toBe(200);
      expect(await response.text()).toBe(method === "GET" ? "OK" : "");
      expect(Object.fromEntries(response.headers)).toMatchObject({
        "api-version": "1.55",
        "builder-version": "2",
        "docker-experimental": "false",
        ostype: "linux",
        server: expect.stringMatching(/^tsd\//),
        swarm: "inactive",
        "cache-control": "no-cache, no-store, must-revalidate",
        pragma: "no-cache",
      });
    }
  });
});

test("JSON ends with its line, an answer as an error, and says how long it is", async () => {
  const answers = [
    await served.fetch("/version"),
    await served.fetch("/containers/create", { json: { Image: "busybox", Cmd: ["true"] } }),
    await served.fetch("/containers/nobody/json"),
  ];
  expect(answers.map(({ status }) => status)).toEqual([200, 201, 404]);
  for (const answer of answers) {
    const text = await answer.text();
    expect(text).toEndWith("}\n");
    expect(answer.headers.get("content-type")).toBe("application/json");
    expect(Number(answer.headers.get("content-length"))).toBe(Buffer.byteLength(text));
  }
});

describe("versions", () => {
  test("from 1.24 to 1.55 are served, and the newest without one", async () => {
    for (const prefix of ["", "/v1.24", "/v1.40", "/v1.55"]) {
      expect((await served.fetch(`${prefix}/version`)).status).toBe(200);
    }
  });
  test("beyond are refused in Docker's words, with the headers that let a client negotiate", async () => {
    const tooNew = await served.fetch("/v1.99/version");
    expect(tooNew.headers.get("api-version")).toBe("1.55");
    expect(await message(tooNew)).toEqual([
      400,
      "client version 1.99 is too new. Maximum supported API version is 1.55",
    ]);
    expect(await message(await served.fetch("/v2.0/version"))).toEqual([
      400,
      "client version 2.0 is too new. Maximum supported API version is 1.55",
    ]);
    expect(await message(await served.fetch("/v1.23/_ping"))).toEqual([
      400,
      "client version 1.23 is too old. Minimum supported API version is 1.24, " +
        "please upgrade your client to a newer version",
    ]);
  });
});

describe("unknown and unbuilt routes", () => {
  test("are 404, 501 that names what is missing, and Docker's 503 for swarm", async () => {
    expect(await message(await served.fetch("/nothing"))).toEqual([404, "page not found"]);
    expect(await message(await served.fetch("/v1.40/nothing/at/all"))).toEqual([404, "page not found"]);
    expect(await message(await served.fetch("/info", { method: "PUT" }))).toEqual([404, "page not found"]);
    expect(await message(await served.fetch("/v1.50/build", { method: "POST" }))).toEqual([
      501,
      "building images is not built into this version of tsd",
    ]);
    for (const path of ["/swarm", "/nodes", "/nodes/x", "/services/x/logs", "/secrets", "/configs/x"]) {
      expect(await message(await served.fetch(path))).toEqual([
        503,
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to ' +
          "swarm and try again.",
      ]);
    }
    expect(await message(await served.fetch("/swarm/leave", { method: "POST" }))).toEqual([
      503,
      "This node is not part of a swarm",
    ]);
    expect(await (await served.fetch("/plugins")).json()).toEqual([]);
    expect(await message(await served.fetch("/plugins/a/b/json"))).toEqual([404, 'plugin "a/b" not found']);
  });
});

describe("request bodies", () => {
  test("that are no JSON, empty, or of another type are refused", async () => {
    const post = (body: string, type?: string) =>
      served.fetch("/containers/create", { method: "POST", body, headers: type ? { "content-type": type } : {} });
    expect((await message(await post("{", "application/json")))[1]).toStartWith("invalid JSON: ");
    expect(await message(await post("", "application/json"))).toEqual([
      400,
      "invalid JSON: got EOF while reading request body",
    ]);
    expect(await message(await post("{}", "text/plain"))).toEqual([
      400,
      "unsupported Content-Type header (text/plain): must be 'application/json'",
    ]);
    expect((await post('{"Image":"busybox"}', "application/json; charset=utf-8")).status).toBe(201);
  });
  test("with a wrong field are refused with its path, and tsd's own fields beside the message", async () => {
    const response = await served.fetch("/containers/create", { json: { HostConfig: { Memory: "lots" } } });
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      message: "invalid JSON: HostConfig.Memory: string where int64 is wanted",
      code: "invalid_argument",
      stage: "request",
    });
  });
});

describe("containers", () => {
  test("are created, listed, inspected, started, waited for and removed", async () => {
    const id = await created({ Image: "busybox", Cmd: ["exit", "7"] }, "?name=/life&platform=linux/amd64");
    expect(served.engine.calls).toContain("create life linux/amd64");
    const wait = await served.fetch(`/containers/life/wait?condition=next-exit`, { method: "POST" });
    expect((await served.fetch("/containers/life/start", { method: "POST" })).status).toBe(204);
    expect(await wait.json()).toEqual({ StatusCode: 7 });
    expect(await (await served.fetch(`/containers/json?all=1`)).json()).toContainEqual(
      expect.objectContaining({ Id: id, Names: ["/life"] }),
    );
    expect(await (await served.fetch(`/containers/${id.slice(0, 12)}/json`)).json()).toMatchObject({
      Id: id,
      State: { ExitCode: 7 },
      HostConfig: { PidsLimit: null, RestartPolicy: { Name: "no", MaximumRetryCount: 0 }, ShmSize: 0 },
      Config: { Image: "busybox", Tty: false },
    });
    expect((await served.fetch(`/containers/life`, { method: "DELETE" })).status).toBe(204);
    expect(await message(await served.fetch("/containers/life/json"))).toEqual([404, "No such container: life"]);
  });

  test("that are already so are answered 304 without a body, name clashes 409", async () => {
    await created({ Image: "busybox", Cmd: ["sleep"] }, "?name=twice");
    await served.fetch("/containers/twice/start", { method: "POST" });
    const again = await served.fetch("/containers/twice/start", { method: "POST" });
    expect([again.status, await again.text()]).toEqual([304, ""]);
    const taken = await served.fetch("/containers/create?name=twice", { json: { Image: "busybox" } });
    expect((await message(taken))[0]).toBe(409);
    expect((await message(await served.fetch("/containers/twice", { method: "DELETE" })))[0]).toBe(409);
    expect((await served.fetch("/containers/twice/stop?t=3&signal=INT", { method: "POST" })).status).toBe(204);
    expect(served.engine.calls).toContain("stop INT 3");
  });

  test("before API 1.30 a wait is answered when it is over, and knows no condition", async () => {
    await created({ Image: "busybox", Cmd: ["sleep"] }, "?name=old");
    await served.fetch("/containers/old/start", { method: "POST" });
    let isAnswered = false;
    const wait = served.fetch("/v1.29/containers/old/wait?condition=never", { method: "POST" }).finally(() => {
      isAnswered = true;
    });
    await served.fetch("/containers/old/json");
    expect(isAnswered).toBe(false);
    await served.fetch("/containers/old/kill", { method: "POST" });
    expect(await (await wait).json()).toEqual({ StatusCode: 137 });
  });

  test("whose command is not there are refused with 400, from which clients make 127", async () => {
    await created({ Image: "busybox", Cmd: ["nope"] }, "?name=nope");
    expect(await message(await served.fetch("/containers/nope/start", { method: "POST" }))).toEqual([
      400,
      'exec: "nope": executable file not found in $PATH',
    ]);
  });

  test("refuse parameters that are wrong", async () => {
    await created({ Image: "busybox" }, "?name=params");
    const cases: [method: string, path: string, text: string][] = [
      ["POST", "/containers/params/wait?condition=never", 'invalid condition: "never"'],
      ["POST", "/containers/params/resize?h=1&w=x", 'invalid resize width "x": invalid syntax'],
      ["POST", "/containers/params/resize?h=1", 'invalid resize width "": invalid syntax'],
      ["POST", "/containers/params/resize?h=-1&w=1", 'invalid resize height "-1": value out of range'],
      ["POST", "/containers/params/resize?h=4294967296&w=1", 'invalid resize height "4294967296": value out of range'],
      ["POST", "/containers/params/stop?t=soon", 'invalid t "soon"'],
      ["POST", "/containers/params/kill?signal=NOPE", "invalid signal: NOPE"],
      ["GET", "/containers/params/logs", "Bad parameters: you must choose at least one stream"],
      ["GET", "/containers/params/logs?stdout=1&since=yesterday", "invalid since"],
      ["POST", "/containers/params/attach?detachKeys=ctrl-1", "Invalid detach keys (ctrl-1) provided"],
      ["GET", "/containers/json?limit=x", 'invalid limit "x"'],
      ["GET", "/containers/json?filters={", "invalid filters: "],
      ["GET", `/containers/json?filters=${encodeURIComponent('{"color":["red"]}')}`, "invalid filter 'color'"],
      ["GET", `/containers/json?filters=${encodeURIComponent('{"name":"x"}')}`, "invalid filter 'name'"],
      [
        "GET",
        `/images/json?filters=${encodeURIComponent('{"dangling":["maybe"]}')}`,
        "invalid filter 'dangling=[maybe]'",
      ],
      ["GET", "/events?since=5&until=4", "since (5) is after until (4)"],
      ["POST", "/images/create", "fromImage: no image named"],
      ["POST", "/images/create?fromImage=x&platform=a/b/c/d", 'invalid platform "a/b/c/d"'],
      ["POST", "/tsd/run", "POST /tsd/run: send Connection: Upgrade"],
    ];
    for (const [method, path, text] of cases) {
      const [status, words] = await message(await served.fetch(path, { method }));
      expect(words, path).toStartWith(text);
      expect(status, path).toBe(400);
    }
  });

  test("are resized, and signalled with what is no KILL", async () => {
    await created({ Image: "busybox", Cmd: ["sleep"] }, "?name=tty");
    await served.fetch("/containers/tty/start", { method: "POST" });
    expect((await served.fetch("/containers/tty/resize?h=24&w=80", { method: "POST" })).status).toBe(200);
    expect(served.engine.calls).toContain("resize tty 24x80");
    await served.fetch("/containers/tty/kill?signal=WINCH", { method: "POST" });
    expect(served.engine.calls).toContain("kill 28");
    await served.fetch("/containers/tty/kill", { method: "POST" });
    expect(served.engine.calls).toContain("kill 9");
  });

  test("are filtered by old clients' sets and new clients' lists alike", async () => {
    for (const filters of ['{"name":["a"],"status":["running"]}', '{"name":{"a":true},"status":{"running":true}}']) {
      served.engine.calls.length = 0;
      await served.fetch(`/containers/json?filters=${encodeURIComponent(filters)}`);
      expect(served.engine.calls).toEqual(['list {"name":["a"],"status":["running"]}']);
    }
  });
});

describe("logs", () => {
  test("are framed, raw with a terminal, stamped with nine digits, and cut by tail", async () => {
    for (const [name, Tty] of [
      ["plain", false],
      ["term", true],
    ] as const) {
      await created({ Image: "busybox", Cmd: ["both"], Tty }, `?name=${name}`);
      await served.fetch(`/containers/${name}/start`, { method: "POST" });
      await (await served.fetch(`/containers/${name}/wait`, { method: "POST" })).text();
    }
    const framed = await served.fetch("/containers/plain/logs?stdout=1&stderr=1");
    expect(framed.headers.get("content-type")).toBe("application/vnd.docker.multiplexed-stream");
    expect(Buffer.from(await framed.arrayBuffer()).toString("latin1")).toBe(
      "\x01\0\0\0\0\0\0\x0ato stdout\n\x02\0\0\0\0\0\0\x0ato stderr\n",
    );
    expect((await served.fetch("/v1.41/containers/plain/logs?stdout=1")).headers.get("content-type")).toBe(
      "application/vnd.docker.raw-stream",
    );
    const raw = await served.fetch("/containers/term/logs?stdout=1&stderr=1&timestamps=1&tail=1");
    expect(raw.headers.get("content-type")).toBe("application/vnd.docker.raw-stream");
    expect(await raw.text()).toBe("2026-01-02T03:04:05.500000000Z to stderr\n");
  });
});

describe("images", () => {
  test("are pulled with progress, by tag, digest and platform, with the credentials of the header", async () => {
    const auth = Buffer.from('{"username":"me","password":"secret"}').toString("base64url");
    const response = await served.fetch("/images/create?fromImage=alpine&tag=3&platform=linux/arm64", {
      method: "POST",
      headers: { "x-registry-auth": auth },
    });
    expect(response.headers.get("content-type")).toBe("application/json");
    const lines = (await response.text()).trim().split("\r\n");
    expect(lines.map((line) => JSON.parse(line).status)).toEqual([
      "Pulling from library/alpine:3",
      "Downloading",
      "Status: Downloaded newer image for alpine:3",
    ]);
    expect(served.engine.calls).toContain("pull alpine:3 linux/arm64 me");
    const digest = `sha256:${"a".repeat(64)}`;
    await served.fetch(`/images/create?fromImage=alpine&tag=${digest}`, {
      method: "POST",
      headers: { "x-registry-auth": "rubbish" },
    });
    expect(served.engine.calls).toContain(`pull alpine@${digest} - -`);
  });
  test("that cannot be pulled fail with a status before, and with a last line after the first message", async () => {
    expect(await message(await served.fetch("/images/create?fromImage=missing", { method: "POST" }))).toEqual([
      404,
      "pull access denied for missing",
    ]);
    const broken = await served.fetch("/images/create?fromImage=broken", { method: "POST" });
    expect(broken.status).toBe(200);
    expect(
      (await broken.text())
        .trim()
        .split("\r\n")
        .map((line) => JSON.parse(line))[1],
    ).toEqual({
      errorDetail: { message: "layer abc: wrong digest" },
      error: "layer abc: wrong digest",
      details: { code: "corrupt" },
    });
  });
  test("have names with slashes, ports and percent signs", async () => {
    served.engine.pulled.add("reg.io:5000/a/b");
    for (const name of ["reg.io:5000/a/b", encodeURIComponent("reg.io:5000/a/b")]) {
      expect(await (await served.fetch(`/v1.50/images/${name}/json`)).json()).toMatchObject({
        RepoTags: ["reg.io:5000/a/b:latest"],
      });
    }
    const removed = await served.fetch("/images/reg.io:5000/a/b?force=1", { method: "DELETE" });
    expect(await removed.json()).toEqual([{ Untagged: "reg.io:5000/a/b" }, { Deleted: `sha256:${"0".repeat(64)}` }]);
    expect(served.engine.calls).toContain("remove image reg.io:5000/a/b true");
  });
  test("are inspected for a platform that is written in JSON", async () => {
    const inspect = (platform: string) =>
      served.fetch(`/v1.49/images/busybox/json?platform=${encodeURIComponent(platform)}`);
    expect((await inspect('{"os":"linux","architecture":"arm","variant":"v7"}')).status).toBe(200);
    for (const bad of ["linux/arm", "{}", "[]", "null", '{"os":"linux","architecture":"a/b/c"}']) {
      expect((await message(await inspect(bad)))[1], bad).toStartWith("invalid platform ");
    }
    expect((await served.fetch("/images/busybox?platforms=%5B%5D", { method: "DELETE" })).status).toBe(400);
  });
  test("are removed by platform, and have a history of one, since the versions that have these", async () => {
    const query = `platform=${encodeURIComponent('{"os":"linux","architecture":"arm"}')}`;
    await served.fetch(`/v1.47/images/busybox/history?${query}`);
    await served.fetch(`/v1.48/images/busybox/history?${query}`);
    expect(served.engine.calls.slice(-2)).toEqual(["history busybox -", "history busybox linux/arm"]);
    const removal = query.replace("platform", "platforms");
    await served.fetch(`/v1.50/images/a/busybox?force=1&${removal}&${removal.replace("arm", "amd64")}`, {
      method: "DELETE",
    });
    await served.fetch(`/v1.49/images/a/busybox?${removal}`, { method: "DELETE" });
    expect(served.engine.calls.slice(-2)).toEqual([
      "remove image a/busybox true linux/arm linux/amd64",
      "remove image a/busybox false",
    ]);
    expect((await message(await served.fetch("/images/json?identity=1")))[1]).toContain("identity requires manifests");
    expect((await served.fetch("/v1.53/images/json?identity=1")).status).toBe(200);
  });
  test("tell what is attached to them, since the version that has that", async () => {
    const path = "/images/reg:5000/a/b/attestations";
    await served.fetch(`${path}?type=https://slsa.dev/x&type=y&statement=1`);
    expect(served.engine.calls.at(-1)).toBe("attestations reg:5000/a/b https://slsa.dev/x,y true");
    expect((await served.fetch(`/v1.54${path}`)).status).toBe(404);
    const platform = `platform=${encodeURIComponent('{"os":"linux","architecture":"arm"}')}`;
    expect(await message(await served.fetch(`${path}?${platform}&${platform}`))).toEqual([
      400,
      "only one platform value is currently supported",
    ]);
    expect((await message(await served.fetch(`${path}?platform=linux`)))[1]).toStartWith("invalid platform");
  });
  test("get names that can be, and no others", async () => {
    const tag = (query: string) => served.fetch(`/images/busybox/tag?${query}`, { method: "POST" });
    for (const [query, name] of [
      ["repo=other", "other:latest"],
      ["repo=docker.io/library/other&tag=1", "other:1"],
      ["repo=reg:5000/a/b&tag=v1", "reg:5000/a/b:v1"],
      ["repo=a:1", "a:1"],
    ] as const) {
      expect((await tag(query)).status, query).toBe(201);
      expect(served.engine.calls.at(-1)).toBe(`tag busybox ${name}`);
    }
    for (const [query, reason] of [
      ["", "invalid reference format"],
      ["repo=Upper", "must be lowercase"],
      ["repo=a&tag=-x", "invalid tag format"],
      ["repo=sha256", "ambiguous tag"],
      [`repo=a@sha256:${"0".repeat(64)}`, "digest reference"],
    ] as const) {
      const [status, text] = await message(await tag(query));
      expect([status, text], query).toEqual([400, expect.stringContaining(reason)]);
    }
  });
  test("are written as bundles into absolute directories only", async () => {
    const bundle = (json: object) => served.fetch("/tsd/bundle", { json });
    expect(await (await bundle({ image: "busybox", directory: "/b" })).text()).toBe('{"status":"Writing /b"}\r\n');
    expect((await message(await bundle({ image: "busybox", directory: "b" })))[1]).toContain('directory: "b" is no');
    expect((await message(await bundle({ image: "absent", directory: "/b" })))[0]).toBe(404);
  });
});

test("GET /tsd/ports lists what is published", async () => {
  const ports = (await (await served.fetch("/tsd/ports")).json()) as { HostPort: number }[];
  expect(ports).toEqual(await served.engine.ports.list());
  expect(ports[0]).toMatchObject({ ContainerName: "web", HostPort: 8080, ReachableFrom: "everywhere" });
});

describe("GET /tsd/containers/{id}/why", () => {
  test("asks for the story with ten lines, or as many as are wanted", async () => {
    expect(await (await served.fetch("/tsd/containers/web/why")).json()).toMatchObject({ Name: "web", Cause: "none" });
    await served.fetch("/tsd/containers/web/why?lines=0");
    expect(served.engine.calls).toEqual(expect.arrayContaining(["why web 10", "why web 0"]));
  });

  test("has a limit", async () => {
    const refused = "lines is 1001: it is a number from 0 to 1000";
    expect(await message(await served.fetch("/tsd/containers/web/why?lines=1001"))).toEqual([400, refused]);
  });
});
