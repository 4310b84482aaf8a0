import { describe, expect, test } from "bun:test";
import { O_RDONLY } from "../../ffi/constants/open.ts";
import { open } from "../../ffi/files.ts";
import { newId } from "../core/id.ts";
import type { NetworkSubnet } from "./network.ts";
import type { Networks } from "./networks.ts";
import type { PortRequest } from "./ports/port.ts";
import { Rig } from "./rig.ts";
import type { Sandbox, SandboxRequest } from "./sandbox.ts";
import { ask, hostAddress, outsideAddress, serve, within } from "./testbed.ts";
import { endpointRequest, networkRequest, networksRequest } from "./testing.ts";

describe.skipIf(process.getuid?.() !== 0)("whom a container sees as the client of a port of mode socket", () => {
  let networks: Networks;
  const rig = new Rig(
    () => {
      networks = rig.make();
    },
    { onDisk: true },
  );

  const create = (name: string, subnet: string, more: Partial<NetworkSubnet> = {}, options = {}): Promise<unknown> =>
    networks.create(networkRequest(name, { subnets: [{ subnet, ...more }], enableIpv6: false, options }));
  const start = (id: string, ...names: string[]): Promise<Sandbox> => {
    const request = networksRequest(...names.map((name) => endpointRequest(networks.find(name).id)));
    const hostPorts = { first: 8080, last: 8080 };
    const ports: PortRequest[] = [{ transport: "tcp", containerPort: 80, hostPorts, mode: "socket" }];
    return networks.attach(id, { ...request, ports } as SandboxRequest);
  };
  /** A connection that the container has accepted, and what comes by it. */
  const talk = async (): Promise<{ say(text: string): Promise<string> } & Disposable> => {
    let heard = Promise.withResolvers<string>();
    const socket = await within(rig.bed.outside, () =>
      Bun.connect({
        hostname: hostAddress,
        port: 8080,
        socket: { data: (_, data) => heard.resolve(data.toString()), close: () => heard.resolve("closed") },
      }),
    );
    const say = (text: string): Promise<string> => {
      heard = Promise.withResolvers<string>();
      socket.write(text);
      return heard.promise;
    };
    return { say, [Symbol.dispose]: () => void socket.terminate() };
  };
  const echo = (path: string): Disposable => {
    const socket = { data: (to: Bun.Socket, data: Buffer) => void to.write(data) };
    const server = within(path, () => Bun.listen({ hostname: "0.0.0.0", port: 80, socket }));
    return { [Symbol.dispose]: () => server.stop(true) };
  };

  test("is the client itself, and not where the container is beside the client, from when it came there", async () => {
    await create("alpha", "10.1.0.0/24");
    await create("beta", "10.2.0.0/24");
    const [web, other] = [newId(), newId()];
    const { namespacePath } = await start(web, "alpha");
    const client = await networks.attach(other, networksRequest(endpointRequest(networks.find("beta").id)));
    using _server = serve(namespacePath!, 80);
    const seen = (): Promise<string[]> =>
      Promise.all([ask(rig.bed.outside, hostAddress, 8080), ask(client.namespacePath!, hostAddress, 8080)]);
    expect(await seen()).toEqual([outsideAddress, "10.2.0.2"]);
    await networks.connect(web, endpointRequest(networks.find("beta").id));
    expect(await seen()).toEqual([outsideAddress, "10.1.0.1"]);
    await networks.disconnect(web, networks.find("beta").id);
    expect(await seen()).toEqual([outsideAddress, "10.2.0.2"]);
    for (const id of [web, other]) await networks.detach(id);
  });

  test("changes for nobody who is connected when the container comes on another network", async () => {
    await create("alpha", "10.1.0.0/24");
    await create("beta", "10.2.0.0/24");
    const web = newId();
    const { namespacePath } = await start(web, "alpha");
    using _server = echo(namespacePath!);
    using conversation = await talk();
    expect(await conversation.say("one")).toBe("one");
    await networks.connect(web, endpointRequest(networks.find("beta").id));
    expect(await conversation.say("two")).toBe("two");
    await networks.disconnect(web, networks.find("beta").id);
    expect(await conversation.say("three")).toBe("three");
    await networks.detach(web);
  });

  test.each([
    ["another router", { gateway: "10.1.0.1", auxiliaryAddresses: { DefaultGatewayIPv4: "10.1.0.9" } }, {}],
    ["nobody, for the bridge has no address", {}, { "com.docker.network.bridge.inhibit_ipv4": "true" }],
  ])("is not the client where the way out leads to %s", async (_, subnet, options) => {
    await create("alpha", "10.1.0.0/24", subnet, options);
    await start(newId(), "alpha");
    expect(rig.database.query("SELECT target FROM published_ports").get()).toEqual({
      target: expect.not.stringContaining("shownClients"),
    });
  });

  test("is the client when the daemon before did not know how, and who is connected stays so", async () => {
    await create("alpha", "10.1.0.0/24");
    const web = newId();
    const sandbox = await start(web, "alpha");
    using held = open(sandbox.namespacePath!, O_RDONLY);
    const namespacePath = `/proc/self/fd/${held.number}`;
    const echoing = echo(namespacePath);
    using conversation = await talk();
    expect(await conversation.say("one")).toBe("one");
    await networks.close();
    const remove = "UPDATE published_ports SET target = json_remove(target, '$.shownClients')";
    expect(rig.database.query(remove).run().changes).toBe(1);
    networks = rig.make();
    await networks.restore(new Map([[web, { namespacePath }]]));
    expect(await conversation.say("two")).toBe("two");
    echoing[Symbol.dispose]();
    using _server = serve(namespacePath, 80);
    expect(await ask(rig.bed.outside, hostAddress, 8080)).toBe(outsideAddress);
    await networks.detach(web);
  });
});
