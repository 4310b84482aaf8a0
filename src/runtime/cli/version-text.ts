import { commit, version } from "../../core/version.ts";

/** The specification that `--version` names; src/oci/runtime.ts holds the same, but brings valibot along. */
const specification = "1.3.0";

/** dockerd reads name, version and commit out of these lines. */
export function versionText(): string {
  return `tsd-runc version ${version}\ncommit: ${commit}\nspec: ${specification}\nbun: ${Bun.version}`;
}
