/** The service behind GET /tsd/ports. */
import type { PublishedPortEntry } from "../../api/schema/published-port.ts";
import { parseSubnet } from "../../core/ip-address.ts";
import { reachOf } from "../../network/ports/reach.ts";
import type { EngineContext } from "../context.ts";

export class PortService {
  readonly #context: EngineContext;

  constructor(context: EngineContext) {
    this.#context = context;
  }

  /** By the containers' names, of each as its ports come. */
  async list(): Promise<PublishedPortEntry[]> {
    const { containers, networks } = this.#context;
    const subnets = networks.list().flatMap((network) => network.subnets.map(({ subnet }) => parseSubnet(subnet)));
    const running = containers.all().filter(({ active }) => active);
    running.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    return running.flatMap(({ id, name }) =>
      (networks.sandbox(id)?.ports ?? []).map((port): PublishedPortEntry => {
        const { from, inputRules } = reachOf(port, subnets);
        return {
          ContainerID: id,
          ContainerName: name,
          HostIp: port.hostAddress,
          HostPort: port.hostPort,
          PrivatePort: port.containerPort,
          Type: port.transport,
          Mode: port.mode,
          ReachableFrom: from,
          InputRules: inputRules,
        };
      }),
    );
  }
}
