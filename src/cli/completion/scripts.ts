/** What a shell sources: it asks `PROGRAM __complete WORD…` whenever somebody wants to know what may come next. */
export type Shell = "bash" | "zsh" | "fish";

/** @param program the name that is completed. */
export function completionScript(shell: Shell, program: string): string {
  return scripts[shell].replaceAll("PROGRAM", program);
}

const bash = `# bash completion for PROGRAM
_PROGRAM_complete() {
    local cur cword words line directive=0
    COMPREPLY=()
    # Where bash-completion is there, it puts words together that bash has cut at = and :.
    if declare -F _get_comp_words_by_ref >/dev/null; then
        _get_comp_words_by_ref -n '=:' cur words cword
    else
        cur=\${COMP_WORDS[COMP_CWORD]} cword=$COMP_CWORD words=("\${COMP_WORDS[@]}")
    fi
    local prefix=
    if [[ $cur == -*=* ]]; then
        prefix=\${cur%%=*}
        words[cword]=$prefix
        words=("\${words[@]:0:cword+1}" "\${cur#*=}")
        cword=$((cword + 1))
    fi
    while IFS= read -r line; do
        case $line in
            :*) directive=\${line#:} ;;
            *) COMPREPLY+=("\${line%%$'\\t'*}") ;;
        esac
    done < <("\${words[0]}" __complete "\${words[@]:1:cword}" 2>/dev/null)
    if [[ \${#COMPREPLY[@]} -eq 0 && $((directive & 4)) -eq 0 ]]; then
        compopt -o default 2>/dev/null
    fi
    if [[ -n $prefix ]] && declare -F _get_comp_words_by_ref >/dev/null; then
        COMPREPLY=("\${COMPREPLY[@]/#/$prefix=}")
    fi
    if declare -F __ltrim_colon_completions >/dev/null; then
        __ltrim_colon_completions "$cur"
    fi
}
complete -F _PROGRAM_complete PROGRAM
`;

const zsh = `#compdef PROGRAM
# zsh completion for PROGRAM
_PROGRAM() {
    local line directive=0
    local -a candidates
    for line in "\${(@f)$(\${words[1]} __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $line in
            :*) directive=\${line#:} ;;
            '') ;;
            *) candidates+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}") ;;
        esac
    done
    if (( \${#candidates} )); then
        _describe -V PROGRAM candidates
    elif (( ! (directive & 4) )); then
        _files
    fi
}
compdef _PROGRAM PROGRAM
`;

const fish = `# fish completion for PROGRAM
function __PROGRAM_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in ($words[1] __complete $words[2..-1] 2>/dev/null)
        switch $line
            case ':4'
            case ':*'
                __fish_complete_path (commandline -ct)
            case '*'
                echo $line
        end
    end
end
complete -c PROGRAM -f -k -a '(__PROGRAM_complete)'
`;

const scripts: Record<Shell, string> = { bash, zsh, fish };
