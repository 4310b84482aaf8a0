/** tsd's own: what the `manifest` commands ask of a registry goes through the daemon, which has the only client of one. */
import type { Hono } from "hono";
import type { RegistryManifestBackend } from "../backend/registry-manifests.ts";
import { readJsonBody } from "../body.ts";
import { invalid } from "../errors.ts";
import { queryFlag } from "../query.ts";
import { readRegistryAuth } from "../registry-auth.ts";
import { readManifestPush } from "../schema/registry-manifest.ts";
import type { ApiContext, ApiEnv } from "../transport.ts";

export function registryManifestRoutes(app: Hono<ApiEnv>, manifests: RegistryManifestBackend): void {
  app.get("/tsd/registry/manifest", async (c) => {
    return c.json(await manifests.read(referenceOf(c), optionsOf(c), c.req.raw.signal));
  });
  app.put("/tsd/registry/manifest", async (c) => {
    const request = readManifestPush(await readJsonBody(c));
    return c.json(await manifests.push(referenceOf(c), request, optionsOf(c), c.req.raw.signal), 201);
  });
}

function referenceOf(c: ApiContext): string {
  const reference = c.req.query("reference");
  if (!reference) throw invalid("reference: no manifest named");
  return reference;
}

function optionsOf(c: ApiContext) {
  const auth = readRegistryAuth(c);
  return { insecure: queryFlag(c, "insecure"), ...(auth && { auth }) };
}
