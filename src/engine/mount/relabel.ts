/** `:z` and `:Z` of binds and volumes, where SELinux is on; elsewhere, as in Docker, they mean nothing. */
import { O_PATH } from "../../../ffi/constants/open.ts";
import { open } from "../../../ffi/files.ts";
import { wrapError } from "../../core/errors.ts";
import { containerFileContext, privateLevel, relabel } from "../../volume/selinux.ts";
import type { Container } from "../container/container.ts";
import type { ContainerMount } from "../container/definition.ts";

/**
 * @param sourceOf where a mount's files are.
 * @throws EngineError invalid_argument for what must keep its label.
 */
export async function relabelSources(
  { id, definition }: Container,
  sourceOf: (mount: ContainerMount) => string,
): Promise<void> {
  const marked = definition.mounts.filter(({ Mode }) => /(^|,)[zZ](,|$)/.test(Mode));
  const context = marked.length > 0 ? containerFileContext() : undefined;
  if (context === undefined) return;
  const given = definition.hostConfig.SecurityOpt?.map((option) => /^label[=:]level:(.+)$/.exec(option)?.[1]);
  const level = given?.findLast((found) => found !== undefined) ?? privateLevel(id);
  for (const mount of marked) {
    const source = sourceOf(mount);
    try {
      using opened = open(source, O_PATH);
      await relabel(opened, `${context}:${mount.Mode.includes("Z") ? level : "s0"}`);
    } catch (error) {
      throw wrapError(error, `error setting label on mount source '${source}'`, { stage: "mount" });
    }
  }
}
