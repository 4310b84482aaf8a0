import type { Hono } from "hono";
import type { NetworkBackend } from "../backend/networks.ts";
import { readJsonBody } from "../body.ts";
import { invalid } from "../errors.ts";
import { filterFlag, orNull, queryFilters } from "../query.ts";
import {
  readNetworkConnectRequest,
  readNetworkCreateRequest,
  readNetworkDisconnectRequest,
} from "../schema/network-request.ts";
import type { ApiContext, ApiEnv } from "../transport.ts";
import {
  connectedEndpointOf,
  networkCreateRequestOf,
  networkInspectOf,
  networkSummaryOf,
} from "../versions/networks.ts";

const networkFilters = ["dangling", "driver", "id", "label", "name", "scope", "type"];

export function networkRoutes(app: Hono<ApiEnv>, networks: NetworkBackend): void {
  app.get("/networks", async (c) => {
    const filters = queryFilters(c, networkFilters);
    filterFlag(filters, "dangling");
    const list = await networks.list(filters);
    return c.json(list.map((network) => networkSummaryOf(network, c.get("api"))));
  });
  app.get("/networks/:id", async (c) => {
    checkVerbose(c);
    const scope = c.req.query("scope");
    const network = await networks.inspect(c.req.param("id"), { ...(scope && { scope }) });
    return c.json(networkInspectOf(network, c.get("api")));
  });
  app.post("/networks/create", async (c) => {
    const request = readNetworkCreateRequest(await readJsonBody(c));
    return c.json(await networks.create(networkCreateRequestOf(request, c.get("api"))), 201);
  });
  app.post("/networks/prune", async (c) => {
    const { NetworksDeleted } = await networks.prune(queryFilters(c, ["label", "label!", "until"]));
    return c.json({ NetworksDeleted: orNull(NetworksDeleted) });
  });
  app.delete("/networks/:id", async (c) => {
    await networks.remove(c.req.param("id"));
    return c.body(null, 204);
  });
  membershipRoutes(app, networks);
}

function membershipRoutes(app: Hono<ApiEnv>, networks: NetworkBackend): void {
  app.post("/networks/:id/connect", async (c) => {
    const { Container, EndpointConfig = {} } = readNetworkConnectRequest(await readJsonBody(c));
    const endpoint = connectedEndpointOf(EndpointConfig, c.get("api"));
    await networks.connect(c.req.param("id"), checkContainer(Container), endpoint);
    return c.body(null, 200);
  });
  app.post("/networks/:id/disconnect", async (c) => {
    const { Container, Force = false } = readNetworkDisconnectRequest(await readJsonBody(c));
    await networks.disconnect(c.req.param("id"), checkContainer(Container), { force: Force });
    return c.body(null, 200);
  });
}

/** `verbose` shows tasks of a swarm's services, of which there are none; Docker refuses what is no boolean. */
function checkVerbose(c: ApiContext): void {
  const value = c.req.query("verbose");
  if (value === undefined || /^(|0|1|[tf]|TRUE|True|true|FALSE|False|false|[TF])$/.test(value)) return;
  throw invalid(`invalid value for verbose: ${value}`);
}

function checkContainer(reference: string): string {
  if (reference !== "") return reference;
  throw invalid("Container: no container named");
}
