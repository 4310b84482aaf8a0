/** A container that is mostly what its type says where nothing is given, and what a template makes of it. */
import { ObjectFormatter } from "../format.ts";
import { dockerValue } from "./docker-types.ts";

const container = {
  Id: "c",
  State: { Health: {} },
  Config: { Healthcheck: {} },
  HostConfig: { Memory: 1, LogConfig: {} },
  NetworkSettings: { Networks: { n: { IPAMConfig: {} } }, Ports: { "80/tcp": [{}] } },
  Mounts: [{}],
  GraphDriver: {},
};

export function render(template: string): string {
  const formatter = new ObjectFormatter(template);
  formatter.add({ json: container, view: dockerValue("container.InspectResponse", container) });
  return formatter.text().replace(/\n$/, "");
}
