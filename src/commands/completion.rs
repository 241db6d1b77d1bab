//! `rpod completion SHELL`: scripts made from the commands' own definitions.

use clap_complete::{Shell as Generator, generate};

use super::Context;
use super::tree::tree;
use crate::cli::system::{Completion, Shell};
use crate::error::Result;
use crate::state::file::{Durability, write};

/// Completes names of containers and images, which the generated script knows nothing of, then falls back to it.
const BASH_NAMES: &str = r#"
_rpod_names() {
    local word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} list=
    [[ $verb == container ]] && verb=${COMP_WORDS[2]}
    [[ $verb == image ]] && verb="image ${COMP_WORDS[2]}"
    if [[ $word != -* && $COMP_CWORD -gt 1 ]]; then
        case $verb in
            attach|exec|kill|port|stop|top)
                list=$(rpod ps --format '{{.Names}}' 2>/dev/null) ;;
            inspect|logs|restart|rm|start|wait)
                list=$(rpod ps -a --format '{{.Names}}' 2>/dev/null) ;;
            create|rmi|run|save|tag|"image inspect"|"image rm"|"image save"|"image tag")
                list=$(rpod images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null) ;;
        esac
    fi
    if [[ -n $list ]]; then
        mapfile -t COMPREPLY < <(compgen -W "${list//<none>:<none>/}" -- "$word")
        declare -F __ltrim_colon_completions >/dev/null && __ltrim_colon_completions "$word"
    fi
    [[ -n $list && ${#COMPREPLY[@]} -gt 0 ]] || _rpod "$@"
}
complete -F _rpod_names -o nosort -o bashdefault -o default rpod
"#;

pub(crate) fn run(args: Completion, context: &Context<'_>) -> Result<u8> {
    let generator = match args.shell {
        Shell::Bash => Generator::Bash,
        Shell::Zsh => Generator::Zsh,
        Shell::Fish => Generator::Fish,
        Shell::Powershell => Generator::PowerShell,
    };
    let mut script = Vec::new();
    generate(generator, &mut tree(), "rpod", &mut script);
    if args.shell == Shell::Bash {
        script.extend_from_slice(BASH_NAMES.as_bytes());
    }
    match args.file {
        Some(path) => write(&path, &script, Durability::Volatile)?,
        None => context.ui.bytes(&script)?,
    }
    Ok(0)
}
