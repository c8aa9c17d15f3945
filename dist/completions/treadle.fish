# Completion of treadle for fish: the program says what can stand at the cursor; where it says nothing, files can.
function __treadle_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    set -l found ($words[1] __complete $words[2..-1] "$typed" 2>/dev/null)
    if test (count $found) -gt 0
        string join \n -- $found
    else
        __fish_complete_path "$typed"
    end
end
complete -c treadle -f -a '(__treadle_complete)'
