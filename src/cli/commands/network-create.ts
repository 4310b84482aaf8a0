import { createNetwork } from "../../client/networks.ts";
import { command, oneArgument } from "../command.ts";
import { boolFlag, keyValues, labelFlag, mapFlag, stringFlag, stringsFlag } from "../flags.ts";
import { subnetConfigs } from "../network-addresses.ts";
import { printError, printLine } from "../output.ts";

export const networkCreateCommand = command({
  usage: "[OPTIONS] NETWORK",
  summary: "Create a network",
  flags: {
    attachable: boolFlag("Enable manual container attachment"),
    "aux-address": mapFlag("Auxiliary IPv4 or IPv6 addresses used by Network driver"),
    "config-from": stringFlag("The network from which to copy the configuration"),
    "config-only": boolFlag("Create a configuration only network"),
    driver: stringFlag("Driver to manage the Network", { short: "d", initial: "bridge" }),
    gateway: stringsFlag("IPv4 or IPv6 Gateway for the master subnet"),
    ingress: boolFlag("Create swarm routing-mesh network"),
    internal: boolFlag("Restrict external access to the network"),
    "ip-range": stringsFlag("Allocate container ip from a sub-range"),
    "ipam-driver": stringFlag("IP Address Management Driver", { initial: "default" }),
    "ipam-opt": mapFlag("Set IPAM driver specific options"),
    ipv4: boolFlag("Enable or disable IPv4 address assignment", { initial: true }),
    ipv6: boolFlag("Enable or disable IPv6 address assignment"),
    label: labelFlag("Set metadata on a network"),
    opt: mapFlag("Set driver specific options", { short: "o" }),
    scope: stringFlag("Control the network's scope"),
    subnet: stringsFlag("Subnet in CIDR format that represents a network segment"),
  },
  arity: oneArgument,
  run: async ({ session, flags, given, positionals }) => {
    const body = {
      Name: positionals[0]!,
      Driver: flags.driver,
      Scope: flags.scope,
      ...(given.has("ipv4") && { EnableIPv4: flags.ipv4 }),
      ...(given.has("ipv6") && { EnableIPv6: flags.ipv6 }),
      IPAM: {
        Driver: flags["ipam-driver"],
        Options: flags["ipam-opt"],
        Config: subnetConfigs({
          subnets: flags.subnet,
          ranges: flags["ip-range"],
          gateways: flags.gateway,
          auxiliary: flags["aux-address"],
        }),
      },
      Internal: flags.internal,
      Attachable: flags.attachable,
      Ingress: flags.ingress,
      ConfigOnly: flags["config-only"],
      ...(flags["config-from"] !== "" && { ConfigFrom: { Network: flags["config-from"] } }),
      Options: flags.opt,
      Labels: keyValues(flags.label, "label"),
    };
    const { Id, Warning } = await createNetwork(await session.client(), body);
    if (Warning) printError(`WARNING: ${Warning}`);
    printLine(Id);
    return 0;
  },
});
