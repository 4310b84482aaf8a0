import type { OciPlatform } from "../../api/schema/image.ts";
import { EngineError, errorMessage } from "../../core/errors.ts";
import type { Reference } from "../../oci/reference.ts";
import { command } from "../command.ts";
import { listFlag, stringFlag } from "../flags.ts";
import { ManifestLists } from "../manifest/list-store.ts";
import { listReference, ordered } from "../manifest/stored-manifest.ts";

/** Go's systems and architectures (https://go.dev/doc/install/source), as far as docker lets a list have them. */
const architecturesOf: Record<string, string> = {
  darwin: "386 amd64 arm arm64",
  dragonfly: "amd64",
  freebsd: "386 amd64 arm",
  linux: "386 amd64 arm arm64 loong64 mips64 mips64le ppc64le riscv64 s390x",
  netbsd: "386 amd64 arm",
  openbsd: "386 amd64 arm",
  plan9: "386 amd64",
  solaris: "amd64",
  windows: "386 amd64 arm arm64",
};

export const manifestAnnotateCommand = command({
  usage: "[OPTIONS] MANIFEST_LIST MANIFEST",
  summary: "Add additional information to a local image manifest",
  flags: {
    arch: stringFlag("Set architecture"),
    os: stringFlag("Set operating system"),
    "os-features": listFlag("Set operating system feature", { valueName: "strings" }),
    "os-version": stringFlag("Set operating system version"),
    variant: stringFlag("Set architecture variant"),
  },
  arity: { min: 2, max: 2 },
  run: async ({ session, flags, positionals }) => {
    const [listName, imageName] = positionals as [string, string];
    const list = parsed(listName, "manifest list");
    const image = parsed(imageName, "manifest");
    const lists = new ManifestLists(session);
    const manifest = lists.get(list, image);
    if (manifest === undefined) {
      throw new EngineError("not_found", `manifest for image ${imageName} does not exist in ${listName}`);
    }
    const platform: OciPlatform = { ...(manifest.Descriptor.platform ?? { architecture: "", os: "" }) };
    if (flags.os) platform.os = flags.os;
    if (flags.arch) platform.architecture = flags.arch;
    if (flags.variant) platform.variant = flags.variant;
    if (flags["os-version"]) platform["os.version"] = flags["os-version"];
    const features = flags["os-features"].flatMap((text) => text.split(","));
    platform["os.features"] = [...new Set([...(platform["os.features"] ?? []), ...features])];
    const { os, architecture } = platform;
    if (!(architecturesOf[os] ?? "").split(" ").includes(architecture)) {
      const reason = "manifest entry for image has unsupported os/arch combination";
      throw new EngineError("invalid_argument", `${reason}: ${os}/${architecture}`);
    }
    lists.save(list, image, { ...manifest, Descriptor: ordered({ ...manifest.Descriptor, platform }) });
    return 0;
  },
});

function parsed(name: string, what: string): Reference {
  try {
    return listReference(name);
  } catch (error) {
    throw new EngineError(
      "invalid_argument",
      `annotate: error parsing name for ${what} ${name}: ${errorMessage(error)}`,
    );
  }
}
