import { type Command, command, noArguments } from "../command.ts";
import { completionScript, type Shell } from "../completion/scripts.ts";
import { print } from "../output.ts";

const howTo: Record<Shell, string> = {
  bash: "source <(tsd completion bash), or for every shell: tsd completion bash > /etc/bash_completion.d/tsd",
  zsh: "source <(tsd completion zsh), or for every shell: tsd completion zsh > /usr/local/share/zsh/site-functions/_tsd",
  fish: "tsd completion fish | source, or for every shell: tsd completion fish > ~/.config/fish/completions/tsd.fish",
};

export function completionCommand(shell: Shell): Command {
  return command({
    usage: "",
    summary: `Generate the autocompletion script for ${shell}\n\n${howTo[shell]}`,
    flags: {},
    arity: noArguments,
    run: async ({ session }) => {
      print(completionScript(shell, session.program));
      return 0;
    },
  });
}
