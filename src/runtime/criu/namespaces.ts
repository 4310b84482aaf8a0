/** Namespaces that a container shares with somebody: they are not saved, and joined again when it is restored. */
import { AT_FDCWD, O_RDONLY } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open } from "../../../ffi/files.ts";
import { statx } from "../../../ffi/stat.ts";
import { EngineError, wrapError } from "../../core/errors.ts";
import type { LinuxNamespaceType, RuntimeConfig } from "../../oci/runtime.ts";
import { namespaceFiles } from "../descriptors.ts";

/** Those that criu takes as external, and gets by descriptor: the key, which is runc's too. */
const externalKeys: Partial<Record<LinuxNamespaceType, string>> = { network: "extRootNetNS", pid: "extRootPidNS" };

/** `net[INODE]:KEY` of each that is not to be saved. @param pid the first process. */
export function savedNamespaces(config: RuntimeConfig, pid: number): string[] {
  return joinedNamespaces(config).flatMap(({ type }) => {
    const [file, key] = [namespaceFiles[type], externalKeys[type]];
    if (key === undefined) return [];
    const { inode } = statx(AT_FDCWD, `/proc/${pid}/ns/${file}`, 0);
    return [`${file}[${inode}]:${key}`];
  });
}

export interface RestoredNamespaces extends Disposable {
  /** By descriptor. */
  inherited: { key: string; namespace: Fd }[];
  /** By path. */
  joined: { type: string; path: string }[];
}

/** @throws EngineError not_found for a path that leads nowhere, unsupported for what criu cannot join. */
export function restoredNamespaces(config: RuntimeConfig): RestoredNamespaces {
  const inherited: RestoredNamespaces["inherited"] = [];
  const joined: RestoredNamespaces["joined"] = [];
  const close = () => {
    for (const { namespace } of inherited) namespace.close();
  };
  try {
    for (const { type, path } of joinedNamespaces(config)) {
      const key = externalKeys[type];
      if (key !== undefined) inherited.push({ key, namespace: openNamespace(type, path) });
      else if (type === "cgroup") {
        throw new EngineError(
          "unsupported",
          "linux.namespaces: criu cannot restore into the cgroup namespace of others",
        );
      } else joined.push({ type: namespaceFiles[type], path });
    }
  } catch (error) {
    close();
    throw error;
  }
  return { inherited, joined, [Symbol.dispose]: close };
}

function joinedNamespaces({ linux }: RuntimeConfig): { type: LinuxNamespaceType; path: string }[] {
  return (linux?.namespaces ?? []).flatMap(({ type, path }) => (path ? [{ type, path }] : []));
}

function openNamespace(type: LinuxNamespaceType, path: string): Fd {
  try {
    return open(path, O_RDONLY);
  } catch (error) {
    throw wrapError(error, `linux.namespaces: join ${type}`);
  }
}
