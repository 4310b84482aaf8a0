import { describe, expect, test } from "bun:test";
import type { NetworkInspect } from "../../api/schema/network.ts";
import { formatObjects } from "../format.ts";
import { dockerValue } from "./docker-types.ts";

const network: NetworkInspect = {
  Name: "bridge",
  Id: "aabb",
  Created: "2024-05-06T07:08:09.120Z",
  Scope: "local",
  Driver: "bridge",
  EnableIPv4: true,
  EnableIPv6: false,
  IPAM: { Driver: "default", Options: null, Config: [{ Subnet: "172.17.0.0/16", Gateway: "172.17.0.1" }] },
  Internal: false,
  Attachable: false,
  Ingress: false,
  ConfigFrom: { Network: "" },
  ConfigOnly: false,
  Containers: {
    cc: {
      Name: "web",
      EndpointID: "ee",
      MacAddress: "02:42:ac:11:00:02",
      IPv4Address: "172.17.0.2/16",
      IPv6Address: "",
    },
  },
  Options: { a: "b" },
  Labels: {},
};

// Each as docker 28.2.2 prints it of the same network.
describe("templates of network inspect", () => {
  test.each([
    ["{{.IPAM.Config}}", "[{172.17.0.0/16  172.17.0.1 map[]}]"],
    ["{{.IPAM}}", "{default map[] [{172.17.0.0/16  172.17.0.1 map[]}]}"],
    ["{{json .IPAM}}", JSON.stringify(network.IPAM)],
    ["{{json .}}", JSON.stringify({ ...network, Created: "2024-05-06T07:08:09.12Z" })],
    ["{{.ID}} {{.Created}}", "aabb 2024-05-06 07:08:09.12 +0000 UTC"],
    // Docker's type has no such field, its JSON has.
    ["{{.Id}} {{.Created}}", "aabb 2024-05-06T07:08:09.120Z"],
    ["{{json .Created}}", '"2024-05-06T07:08:09.12Z"'],
    ["{{range .IPAM.Config}}{{.Subnet}} {{.AuxAddress}}{{end}}", "172.17.0.0/16 map[]"],
    [
      "{{range $id, $at := .Containers}}{{$id}} {{$at.Name}} {{$at}}{{end}}",
      "cc web {web ee 02:42:ac:11:00:02 172.17.0.2/16 }",
    ],
    ["{{.ConfigFrom}} {{.Options}} {{.Labels}}", "{} map[a:b] map[]"],
    ["{{(index .IPAM.Config 0).Gateway}} {{len .Containers}}", "172.17.0.1 1"],
  ])("%s", (template, text) => {
    expect(formatObjects([{ json: network, view: dockerValue("network.Inspect", network) }], template)).toBe(text);
  });
});
