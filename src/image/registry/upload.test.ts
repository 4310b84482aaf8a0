import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { digestOf } from "../../core/digest.ts";
import { mediaTypes } from "../../oci/image.ts";
import { parseReference, type Reference } from "../reference.ts";
import { failure } from "../store-fixture.ts";
import { RegistryClient } from "./client.ts";
import { registryError, TestRegistry } from "./hostile-registry.ts";
import { referrersTag } from "./listing.ts";
import { uploadManifest } from "./manifest-upload.ts";
import { type UploadBlob, type UploadOptions, uploadBlob } from "./upload.ts";

let registry: TestRegistry;
let client: RegistryClient;
let reference: Reference;

beforeEach(() => {
  registry = new TestRegistry();
  client = new RegistryClient({ stallTimeoutMs: 5000, retryDelayMs: 1 });
  reference = parseReference(`${registry.host}/some/image:tag`);
});
afterEach(() => registry.stop());

/** Larger than what goes in one request. */
const large = new Uint8Array(3 * 2 ** 20).map((_, at) => (at * 7 + (at >> 8)) % 251);

function blobOf(bytes: Uint8Array, digest = digestOf(bytes)): UploadBlob {
  return {
    digest,
    size: bytes.length,
    async *open(start, end) {
      for (let at = start; at < end; at += 65_536) yield bytes.subarray(at, Math.min(end, at + 65_536));
    },
  };
}

function upload(bytes: Uint8Array, options: UploadOptions = {}) {
  return uploadBlob(client.requests, reference, blobOf(bytes), options);
}

/** Methods and the last word of paths. */
function seen(): string[] {
  return registry.seen.map(({ method, path }) => `${method} ${path.split("/").slice(-2, -1)}`);
}

function expectStored(bytes: Uint8Array): void {
  expect(Buffer.compare(registry.blobs.get(digestOf(bytes)) ?? new Uint8Array(0), bytes)).toBe(0);
}

describe("a blob", () => {
  test("that is there is not sent", async () => {
    registry.addBlob(large);
    expect(await upload(large)).toEqual({ how: "existed" });
    expect(seen()).toEqual(["HEAD blobs"]);
  });

  test("that is small goes in one request, and the empty one too", async () => {
    for (const bytes of [Buffer.from("small"), new Uint8Array(0)]) {
      registry.seen.length = 0;
      expect(await upload(bytes)).toEqual({ how: "pushed" });
      expectStored(bytes);
      expect(seen()).toEqual(["HEAD blobs", "POST uploads", "PUT uploads"]);
    }
  });

  test("that is large goes in one stream, whose end is told", async () => {
    const progress: number[] = [];
    expect(await upload(large, { onProgress: (bytes) => progress.push(bytes) })).toEqual({ how: "pushed" });
    expectStored(large);
    expect(seen()).toEqual(["HEAD blobs", "POST uploads", "PATCH uploads", "PUT uploads"]);
    expect(registry.uploads.patches).toEqual([`- ${large.length}`]);
    expect(progress.at(-1)).toBe(large.length);
    expect(progress.length).toBeGreaterThan(10);
  });

  test("is mounted from a repository that has it, else sent in the upload that was begun", async () => {
    const digest = digestOf(large);
    registry.uploads.mountable.add(`other/two ${digest}`);
    expect(await upload(large, { sources: ["other/one", "other/two"] })).toEqual({ how: "mounted", from: "other/two" });
    registry.blobs.clear();
    registry.uploads.mountable.clear();
    registry.seen.length = 0;
    expect(await upload(large, { sources: ["other/one"] })).toEqual({ how: "pushed" });
    const sent = seen().filter((line) => line !== "DELETE uploads"); // of the upload before, in its own time
    expect(sent).toEqual(["HEAD blobs", "POST uploads", "PATCH uploads", "PUT uploads"]);
    expectStored(large);
  });

  test("is sent where mounting it is refused", async () => {
    registry.misbehave = (_request, url) =>
      url.searchParams.has("mount") ? registryError(403, "DENIED", "not yours") : undefined;
    expect(await upload(large, { sources: ["other/one"] })).toEqual({ how: "pushed" });
    expectStored(large);
  });

  test("asks for leave to pull from where it is mounted", async () => {
    const scopes: string[][] = [];
    registry.misbehave = (request, url) => {
      if (url.pathname === "/token") {
        scopes.push(url.searchParams.getAll("scope"));
        return Response.json({ token: "t" });
      }
      if (request.headers.get("authorization") !== null) return undefined;
      return registryError(401, "UNAUTHORIZED", "no", {
        "www-authenticate": `Bearer realm="http://${registry.host}/token"`,
      });
    };
    registry.uploads.mountable.add(`other/one ${digestOf(large)}`);
    await upload(large, { sources: ["other/one"] });
    expect(scopes).toEqual([
      ["repository:some/image:pull,push"],
      ["repository:some/image:pull,push", "repository:other/one:pull"],
    ]);
  });
});

describe("an upload", () => {
  test("begins with a registry that is being restarted when it is back", async () => {
    let failures = 3;
    registry.misbehave = () => (failures-- > 0 ? new Response("<html>", { status: 502 }) : undefined);
    expect(await upload(large)).toEqual({ how: "pushed" });
    expectStored(large);
  });

  test("that breaks off goes on where the registry has got to", async () => {
    registry.uploads.cutAfter = 2 ** 20;
    expect(await upload(large)).toEqual({ how: "pushed" });
    expectStored(large);
    const rest = large.length - 2 ** 20;
    expect(registry.uploads.patches).toEqual([`- ${large.length}`, `${2 ** 20}-${large.length - 1} ${rest}`]);
  });

  test("that the registry has forgotten begins anew", async () => {
    let isFirst = true;
    registry.misbehave = (request) => {
      if (request.method !== "PATCH" || !isFirst) return undefined;
      isFirst = false;
      return registryError(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
    };
    const forget = registry.misbehave;
    registry.misbehave = (request, url) =>
      request.method === "GET" ? registryError(404, "BLOB_UPLOAD_UNKNOWN", "unknown") : forget(request, url);
    expect(await upload(large)).toEqual({ how: "pushed" });
    expectStored(large);
    expect(seen().filter((line) => line === "POST uploads")).toHaveLength(2);
  });

  test("whose token ends in the middle gets another", async () => {
    let serial = 0;
    let uses = 0;
    registry.misbehave = async (request, url) => {
      if (url.pathname === "/token") {
        uses = 0;
        return Response.json({ token: `t${++serial}` });
      }
      if (request.headers.get("authorization") === `Bearer t${serial}` && uses++ < 2) return undefined;
      return registryError(401, "UNAUTHORIZED", "expired", {
        "www-authenticate": `Bearer realm="http://${registry.host}/token"`,
      });
    };
    expect(await upload(large)).toEqual({ how: "pushed" });
    expectStored(large);
    expect(serial).toBe(2);
  });

  test("that is too large for the registry goes in pieces, of the size that it wants at least", async () => {
    registry.uploads.bodyMax = 2 ** 20 + 10;
    registry.uploads.chunkMin = 2 ** 20 + 5;
    expect(await upload(large)).toEqual({ how: "pushed" });
    expectStored(large);
    const size = 2 ** 20 + 5;
    expect(registry.uploads.patches).toEqual([
      `0-${size - 1} ${size}`,
      `${size}-${2 * size - 1} ${size}`,
      `${2 * size}-${large.length - 1} ${large.length - 2 * size}`,
    ]);
  });

  test("that no size of pieces is small enough for is given up", async () => {
    registry.uploads.bodyMax = 1000;
    const failed = await failure(upload(large));
    expect(failed).toMatchObject({ code: "unavailable" });
    expect(failed.message).toContain("413");
  });

  test("whose end comes through without an answer has ended", async () => {
    let isFirst = true;
    registry.misbehave = async (request, url) => {
      if (request.method !== "PUT" || !isFirst) return undefined;
      isFirst = false;
      await registry.uploads.answer(request, url);
      return new Response("<html>", { status: 502 });
    };
    expect(await upload(large)).toEqual({ how: "pushed" });
    expect(seen().filter((line) => line.startsWith("PUT"))).toHaveLength(1);
    expectStored(large);
  });

  test.each([
    [
      "breaks always",
      (request: Request) => (request.method === "PATCH" ? new Response("", { status: 500 }) : undefined),
      /^Patch ".*": 500 Internal Server Error$/,
    ],
    [
      "says not where to upload",
      (request: Request) =>
        request.method === "POST"
          ? new Response("<html>", { status: 202, headers: { "content-type": "text/html" } })
          : undefined,
      /does not say where to upload to, it is a web page: is it a registry\?$/,
    ],
    [
      "claims to have more than there is",
      (request: Request) =>
        request.method === "PATCH" ? new Response(null, { status: 202, headers: { range: "0-99999999" } }) : undefined,
      /says it has 100000000 of 3145728 bytes$/,
    ],
    [
      "does not get further",
      (request: Request) =>
        request.method === "PATCH" ? new Response(null, { status: 202, headers: { range: "0-99" } }) : undefined,
      /^Patch ".*": the registry stays at 100 of 3145728 bytes, and answers 202 Accepted$/,
    ],
    [
      "never ends an upload",
      (request: Request) => (request.method === "PUT" ? new Response(null, { status: 202 }) : undefined),
      /^Put ".*": the registry stays at 3145728 of 3145728 bytes, and answers 202 Accepted$/,
    ],
    [
      "sends uploads elsewhere insecurely",
      (request: Request) =>
        request.method === "POST"
          ? new Response(null, { status: 202, headers: { location: "file:///etc/passwd" } })
          : undefined,
      /which is not secure$/,
    ],
    [
      "stalls",
      (request: Request) => (request.method === "POST" ? new Promise<never>(() => undefined) : undefined),
      /no data for 0.3 seconds$/,
    ],
  ] as [string, (request: Request) => Response | Promise<Response> | undefined, RegExp][])(
    "to a registry that %s is given up",
    async (name, answer, message) => {
      registry.misbehave = answer;
      // Patience is for a busy machine; the one that stalls is not waited for as long.
      if (name === "stalls") client = new RegistryClient({ stallTimeoutMs: 300, retryDelayMs: 1 });
      expect((await failure(upload(large))).message).toMatch(message);
    },
  );

  test("of other bytes than the digest says is refused by the registry, in its words", async () => {
    const failed = await failure(uploadBlob(client.requests, reference, blobOf(large, digestOf("something else")), {}));
    expect(failed.message).toContain("digest invalid: provided digest did not match (400 Bad Request)");
    expect(seen().filter((line) => line.startsWith("PUT"))).toHaveLength(1);
  });

  test("that is denied says so in docker's words", async () => {
    registry.misbehave = () => registryError(403, "DENIED", "requested access to the resource is denied");
    expect((await failure(upload(large))).message).toBe(
      `push access denied for ${registry.host}/some/image, repository does not exist or may require 'docker login': denied: requested access to the resource is denied`,
    );
  });

  test("stops at once when it is told to, and tells the registry", async () => {
    const controller = new AbortController();
    const options = { signal: controller.signal, onProgress: () => controller.abort() };
    expect((await failure(upload(large, options))).code).toBe("cancelled");
    while (!seen().includes("DELETE uploads")) await Bun.sleep(5);
    expect(registry.blobs.size).toBe(0);
  });

  test("goes to another host without the password", async () => {
    const other = new TestRegistry();
    registry.misbehave = (request) => {
      if (request.headers.get("authorization") === null) {
        return new Response(null, { status: 401, headers: { "www-authenticate": "Basic" } });
      }
      if (request.method !== "POST") return undefined;
      return new Response(null, { status: 202, headers: { location: `http://${other.host}/v2/x/blobs/uploads/here` } });
    };
    other.misbehave = () => new Response(null, { status: 201 });
    const credentials = { username: "me", password: "secret" };
    expect(await upload(large, { credentials })).toEqual({ how: "pushed" });
    expect(other.seen.every(({ authorization }) => authorization === null)).toBe(true);
    expect(other.seen.length).toBeGreaterThan(0);
    await other.stop();
  });
});

describe("a manifest", () => {
  const subject = { mediaType: mediaTypes.ociManifest, digest: digestOf("subject"), size: 7 };
  const manifest = (document: object) => {
    const bytes = new TextEncoder().encode(JSON.stringify(document));
    return { bytes, digest: digestOf(bytes), mediaType: mediaTypes.ociManifest };
  };
  const signature = (type: string) =>
    manifest({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      artifactType: type,
      config: { mediaType: mediaTypes.ociEmpty, digest: digestOf("{}"), size: 2 },
      layers: [],
      subject,
      annotations: { a: "b" },
    });

  test("is stored as it is", async () => {
    const one = signature("a/b");
    await uploadManifest(client.requests, reference, "tag", one, {});
    expect(registry.manifests.get("tag")).toEqual({ bytes: one.bytes, mediaType: mediaTypes.ociManifest });
    expect(seen()).toEqual(["PUT manifests"]);
  });

  test("that refers to another is listed under its tag where the registry keeps no list", async () => {
    registry.supportsReferrers = false;
    for (const type of ["a/b", "c/d", "a/b"]) {
      const one = signature(type);
      await uploadManifest(client.requests, reference, one.digest, one, {});
    }
    const index = JSON.parse(Buffer.from(registry.manifests.get(referrersTag(subject.digest))!.bytes).toString());
    expect(index).toEqual({
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: ["a/b", "c/d"].map((artifactType) => {
        const { digest, bytes } = signature(artifactType);
        return { mediaType: mediaTypes.ociManifest, digest, size: bytes.length, annotations: { a: "b" }, artifactType };
      }),
    });
  });

  test("that the registry refuses is refused once, in its words", async () => {
    registry.misbehave = () => registryError(400, "MANIFEST_INVALID", "manifest invalid");
    const failed = await failure(uploadManifest(client.requests, reference, "tag", signature("a/b"), {}));
    expect(failed.message).toEndWith(": manifest invalid: manifest invalid (400 Bad Request)");
    expect(registry.seen).toHaveLength(1);
  });

  test("that the registry stores as another is an error", async () => {
    registry.misbehave = () => new Response(null, { status: 201, headers: { "docker-content-digest": digestOf("x") } });
    const failed = await failure(uploadManifest(client.requests, reference, "tag", signature("a/b"), {}));
    expect(failed.code).toBe("corrupt");
    expect(failed.message).toContain(`stored ${digestOf("x")} in place of`);
  });
});
