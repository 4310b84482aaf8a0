import { mkdirSync } from "../../ffi/fs.ts";
import { dirname } from "../../ffi/path.ts";

/**
 * Makes the directory of the containers' state where it is missing: root's alone. What is made above it lets everybody
 * pass: /run/tsd is the daemon's directory, too, whose socket may belong to a group.
 */
export function makeStateRoot(root: string): void {
  mkdirSync(dirname(root), { recursive: true, mode: 0o711 });
  mkdirSync(root, { recursive: true, mode: 0o700 });
}
