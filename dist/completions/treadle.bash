# Completion of treadle for bash: the program says what can stand at the cursor; where it says nothing, files can.
_treadle() {
    local IFS=$'\n'
    COMPREPLY=($("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _treadle treadle
