import { commit, version } from "../../core/version.ts";
import { ociVersion } from "../../oci/version.ts";

/** dockerd reads name, version and commit out of these lines. */
export function versionText(): string {
  return `tsd-runc version ${version}\ncommit: ${commit}\nspec: ${ociVersion}\nbun: ${Bun.version}`;
}
