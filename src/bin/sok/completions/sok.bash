# Completions of sok(1) for bash.
_sok() {
  local -a said
  local i boundary
  mapfile -t said < <(command sok completions bash -- "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
  COMPREPLY=("${said[@]:1}")
  case ${said[0]-} in
    files)
      compopt +o nospace -o filenames -o default
      ;;
    "command "*)
      boundary=${said[0]#command }
      for ((i = 2; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} != "$boundary" ]] || break
      done
      compopt +o nospace
      if declare -F _comp_command_offset >/dev/null; then
        _comp_command_offset $((i + 1))
      elif declare -F _command_offset >/dev/null; then
        _command_offset $((i + 1))
      elif ((i + 1 == COMP_CWORD)); then
        mapfile -t COMPREPLY < <(compgen -c -- "$2")
      else
        compopt -o default
      fi
      ;;
  esac
}
complete -o nospace -F _sok sok
