# Completions of sok(1) for fish.
function __sok_complete
    set -l before (commandline -opc)
    set -l typed (commandline -ct)
    set -l word (string unescape -- $typed; or string unescape -- "$typed\""; or string unescape -- "$typed'")
    set -l said (command sok completions fish -- $before[2..-1] "$word" 2>/dev/null)
    switch "$said[1]"
        case 'command *'
            set -l first (math (string replace 'command ' '' -- $said[1]) + 1)
            set -l others (string escape -- $before[$first..-1])
            complete -C (string join ' ' -- $others $typed)
        case files
            printf '%s\n' $said[2..-1]
            set -l option (string match -r -- '^--[^=]*=' $word)
            set -l files (__fish_complete_path (string replace -r -- '^--[^=]*=' '' $word))
            printf '%s\n' "$option"$files
        case '*'
            printf '%s\n' $said[2..-1]
    end
end
complete -c sok -f -k -a '(__sok_complete)'
