#compdef sok
# Completions of sok(1) for zsh.
_sok() {
  local -a said open open_shown closed closed_shown
  local line value meaning display
  said=("${(@f)$(command sok completions zsh -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
  if [[ $said[1] == 'command '* ]]; then
    local -i before=${said[1]#command }
    words=("${(@)words[before+1,-1]}")
    ((CURRENT -= before))
    _normal
    return
  fi
  for line in "${(@)said[2,-1]}"; do
    value=${line%%$'\t'*} meaning=${line#*$'\t'}
    display=$value${meaning:+"  -- $meaning"}
    if [[ $value == *[/:=@] ]]; then
      open+=("$value") open_shown+=("$display")
    else
      closed+=("$value") closed_shown+=("$display")
    fi
  done
  local found=1
  if (($#open)); then
    compadd -l -S '' -d open_shown -- "${(@)open}" && found=0
  fi
  if (($#closed)); then
    compadd -l -d closed_shown -- "${(@)closed}" && found=0
  fi
  if [[ $said[1] == files ]]; then
    [[ $PREFIX != --*=* ]] || compset -P '*='
    _files && found=0
  fi
  return found
}
if [[ $funcstack[1] == _sok ]]; then
  _sok "$@"
else
  compdef _sok sok
fi
