/** A daemon with networks and containers on them, and two command lines that are to do the same with it. */
import { DockerScene } from "../harness/docker.ts";
import { BothClients } from "./both-clients.ts";

/** `front` has subnets of its own, `back` those of the pools; `peer` runs on front, `idle` does not run. */
export class NetworkScene extends BothClients {
  static async open(): Promise<NetworkScene> {
    const docker = await DockerScene.open();
    const scene = new NetworkScene(docker, /^\/networks\/|^\/containers\/create$/);
    await scene.openClients();
    const front = ["--subnet", "10.77.0.0/24", "--subnet", "fd77::/64", "--label", "team.colour-code=blue"];
    await docker.ok("network", "create", ...front, "front");
    await docker.ok("network", "create", "--internal", "back");
    await scene.running("peer", ["--network", "front", "--ip", "10.77.0.9"]);
    await docker.ok("create", "--name", "idle", "--network", "front", docker.image, "true");
    return scene;
  }

  running(name: string, flags: string[]): Promise<string> {
    return this.docker.ok("run", "-d", "--name", name, ...flags, this.docker.image, "sleep", "1000");
  }
}
