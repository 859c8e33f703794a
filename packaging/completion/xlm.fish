# Completion of xlmc and xlmrun for fish; the programs say what fits (tools/common/complete.c).
function __xlm_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    for line in ($words[1] complete $words[2..-1] "$word" 2>/dev/null)
        switch $line
            case ':folders'
                __fish_complete_directories "$word"
            case ':files'
                __fish_complete_path "$word"
            case ':files*'
                for ending in (string split ' ' -- (string replace ':files ' '' -- $line))
                    __fish_complete_suffix "$word" ".$ending"
                end
            case '*'
                echo $line
        end
    end
end
complete -c xlmc -f -a '(__xlm_complete)'
complete -c xlmrun -f -a '(__xlm_complete)'
