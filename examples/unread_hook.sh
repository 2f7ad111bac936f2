#!/bin/sh
# Says at the start of a shell, or of an agent's session, what has not been read; silent without news, never in the way.
#
#     examples/unread_hook.sh AGENT [PHASE]
#
# bash, zsh:        add to ~/.bashrc or ~/.zshrc      command -v claims >/dev/null && claims unread AGENT --hook
# before a prompt:  bash  PROMPT_COMMAND='claims unread AGENT --hook'      zsh  precmd() { claims unread AGENT --hook }
# git, make:        a line in .git/hooks/post-checkout, or in a recipe: it exits with 0 whatever happens
# agents:           {"hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": "claims unread AGENT --hook"}]}]}}
#
# It is over within two seconds, whatever hangs; "unread: unknown (reason)" means that nobody could say.

agent=${1:?usage: unread_hook.sh AGENT [PHASE]}
command -v claims >/dev/null || exit 0
if [ -n "${2:-}" ]; then
    claims unread "$agent" --phase "$2" --hook
else
    claims unread "$agent" --hook
fi
exit 0
