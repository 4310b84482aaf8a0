import { createVolume } from "../../client/volumes.ts";
import { command } from "../command.ts";
import { bytesFlag, keyValues, labelFlag, listFlag, mapFlag, stringFlag } from "../flags.ts";
import { printLine } from "../output.ts";

const hidden = true;

/** Of a swarm's volumes, which the daemon refuses with the reason; docker, too, shows them on a swarm's manager alone. */
const clusterFlags = {
  availability: stringFlag('Cluster Volume availability ("active", "pause", "drain")', { hidden }),
  group: stringFlag("Cluster Volume group (cluster volumes)", { hidden }),
  "limit-bytes": bytesFlag("Minimum size of the Cluster Volume in bytes", { hidden }),
  "required-bytes": bytesFlag("Maximum size of the Cluster Volume in bytes", { hidden }),
  scope: stringFlag('Cluster Volume access scope ("single", "multi")', { hidden }),
  secret: mapFlag("Cluster Volume secrets", { hidden }),
  sharing: stringFlag('Cluster Volume access sharing ("none", "readonly", "onewriter", "all")', { hidden }),
  "topology-preferred": listFlag("A topology that the Cluster Volume would be preferred in", { hidden }),
  "topology-required": listFlag("A topology that the Cluster Volume must be accessible from", { hidden }),
  type: stringFlag('Cluster Volume access type ("mount", "block")', { hidden }),
};

export const volumeCreateCommand = command({
  usage: "[OPTIONS] [VOLUME]",
  summary: "Create a volume",
  flags: {
    driver: stringFlag("Specify volume driver name", { short: "d", initial: "local" }),
    label: labelFlag("Set metadata for a volume"),
    opt: mapFlag("Set driver specific options", { short: "o" }),
    ...clusterFlags,
  },
  arity: { min: 0, max: 1 },
  run: async ({ session, flags, given, positionals }) => {
    const [name = ""] = positionals;
    const isCluster = Object.keys(clusterFlags).some((flag) => given.has(flag as keyof typeof clusterFlags));
    const { Name } = await createVolume(await session.client(), {
      ...(name !== "" && { Name: name }),
      Driver: flags.driver,
      ...(given.has("opt") && { DriverOpts: flags.opt }),
      ...(given.has("label") && { Labels: keyValues(flags.label, "label") }),
      ...(isCluster && { ClusterVolumeSpec: { Group: flags.group } }),
    });
    printLine(Name);
    return 0;
  },
});
