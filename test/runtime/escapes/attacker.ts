/** Programs of the attacker. They are Perl, which can make any system call in a tight loop. */
import type { RuntimeConfig } from "../../../src/oci/runtime.ts";

/** The argument vector that runs a script, on the host or in a container of scene.ts's root. */
export function perl(script: string): string[] {
  return ["/usr/bin/perl", "-e", script];
}

/** Exchanges pairs of names in a directory for ever, with pauses of random length: renameat2(2), RENAME_EXCHANGE. */
const exchangeScript = `
  my ($seed, $directory, @pairs) = @ARGV;
  srand($seed);
  chdir($directory) or die;
  for (;;) {
    for (my $i = 0; $i < @pairs; $i += 2) { syscall(316, -100, $pairs[$i], -100, $pairs[$i + 1], 2); }
    for (my $spin = int(rand(200)); $spin > 0; $spin--) { }
  }
`;

export function exchange(seed: number, directory: string, pairs: readonly (readonly [string, string])[]): string[] {
  return [...perl(exchangeScript), String(seed), directory, ...pairs.flat()];
}

/** Has the container share a directory of the host's with others. */
export function share(config: RuntimeConfig, source: string, destination: string): void {
  config.mounts!.push({ destination, source, type: "bind", options: ["rbind", "rw"] });
}
