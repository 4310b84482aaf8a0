/**
 * A token server as docker-registry believes it (Docker's token specification, and OAuth 2's POST); run in a test's
 * network namespace.
 *
 * `bun token-server.ts PORT DIRECTORY CERTIFICATE KEY`. Everybody may pull, the user `writer` with the password `secret`
 * may push too. What was asked is in DIRECTORY/asked, a line each; DIRECTORY/life has the tokens' seconds.
 */
import { createPrivateKey, randomUUID, sign, X509Certificate } from "node:crypto";
import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const tokenService = "registry of a test";
export const tokenIssuer = "token server of a test";
const identityToken = "identity of writer";

interface Grant {
  type: string;
  name: string;
  actions: string[];
}

function serve(port: number, directory: string, certificate: string, key: string): void {
  Bun.serve({
    port,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { searchParams } = new URL(request.url);
      const form = request.method === "POST" ? new URLSearchParams(await request.text()) : undefined;
      const scopes = form ? (form.get("scope") ?? "").split(" ").filter(Boolean) : searchParams.getAll("scope");
      const user = form ? userOfForm(form) : userOfHeader(request.headers.get("authorization"));
      appendFileSync(join(directory, "asked"), `${request.method} ${user ?? "nobody"} ${scopes.join(" ")}\n`);
      if (user === undefined) return Response.json({ details: "wrong" }, { status: 401 });
      const life = Number(readFileSync(join(directory, "life"), "utf8"));
      const access = scopes.map((scope) => granted(scope, user));
      const token = jwt(access, life, readFileSync(certificate, "utf8"), readFileSync(key, "utf8"));
      const isOffline = searchParams.get("offline_token") === "true" && user === "writer";
      // It says that they live longer than they do: the client has to notice by itself.
      return Response.json({ token, expires_in: 300, ...(isOffline && { refresh_token: identityToken }) });
    },
  });
}

function userOfHeader(header: string | null): string | undefined {
  if (header === null) return "anonymous";
  return header === `Basic ${btoa("writer:secret")}` ? "writer" : undefined;
}

function userOfForm(form: URLSearchParams): string | undefined {
  return form.get("grant_type") === "refresh_token" && form.get("refresh_token") === identityToken
    ? "writer"
    : undefined;
}

function granted(scope: string, user: string): Grant {
  const [type = "", name = "", actions = ""] = scope.split(":");
  const allowed = user === "writer" ? ["pull", "push"] : ["pull"];
  return { type, name, actions: actions.split(",").filter((action) => allowed.includes(action)) };
}

function jwt(access: Grant[], lifeSeconds: number, certificate: string, key: string): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1000);
  const header = { typ: "JWT", alg: "ES256", x5c: [new X509Certificate(certificate).raw.toString("base64")] };
  const times = { iat: now, nbf: now - 60, exp: now + lifeSeconds };
  const claims = { iss: tokenIssuer, sub: "", aud: tokenService, jti: randomUUID(), ...times, access };
  const signed = `${encode(header)}.${encode(claims)}`;
  const signature = sign("sha256", Buffer.from(signed), { key: createPrivateKey(key), dsaEncoding: "ieee-p1363" });
  return `${signed}.${signature.toString("base64url")}`;
}

if (import.meta.main) {
  const [, , port, directory, certificate, key] = process.argv as string[];
  serve(Number(port), directory!, certificate!, key!);
}
