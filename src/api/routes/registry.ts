import type { Hono } from "hono";
import { parseRepository } from "../../oci/reference.ts";
import type { ImagePushOptions, RegistryBackend } from "../backend/registry.ts";
import { readJsonBody } from "../body.ts";
import { invalid } from "../errors.ts";
import { platformOfJson } from "../platform.ts";
import { progressStream } from "../progress.ts";
import { readRegistryAuth } from "../registry-auth.ts";
import { readAuthConfig } from "../schema/registry.ts";
import type { ApiContext, ApiEnv } from "../transport.ts";
import { withTag } from "./reference.ts";

/** Since when a single platform can be pushed. */
const platformSince = 46;

export function registryRoutes(app: Hono<ApiEnv>, registry: RegistryBackend): void {
  app.post("/auth", async (c) => c.json(await registry.login(readAuthConfig(await readJsonBody(c)), c.req.raw.signal)));
  app.get("/distribution/:name{.+}/json", async (c) => {
    const reference = c.req.param("name");
    return c.json(await registry.distribution(reference, readRegistryAuth(c, reference), c.req.raw.signal));
  });
  app.post("/images/:name{.+}/push", (c) => push(c, registry));
}

function push(c: ApiContext, registry: RegistryBackend): Promise<Response> {
  const reference = target(c.req.param("name")!, c.req.query("tag") ?? "");
  const asked = c.get("api") >= platformSince ? c.req.query("platform") : undefined;
  const auth = readRegistryAuth(c, reference);
  const options: ImagePushOptions = { ...(asked && { platform: platformOfJson(asked) }), ...(auth && { auth }) };
  return progressStream(c, registry.push(reference, options, c.req.raw.signal));
}

/** The parameter takes the place of the name's own tag. @throws EngineError invalid_argument. */
function target(name: string, tag: string): string {
  const { digest } = parseRepository(name);
  if (tag === "") return name;
  if (digest !== undefined) throw invalid("cannot push a digest reference under a tag");
  const own = name.slice(name.lastIndexOf("/") + 1).indexOf(":");
  const bare = own < 0 ? name : name.slice(0, name.lastIndexOf("/") + 1 + own);
  return withTag(bare, tag);
}
