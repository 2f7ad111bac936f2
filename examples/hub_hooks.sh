#!/bin/sh
# For dispatcher and consumer scripts: do the work, and let everybody see who does it and what came of it.
#
#     examples/hub_hooks.sh dispatch AGENT TASK COMMAND [ARGUMENT …]        complete | failed
#     examples/hub_hooks.sh consume AGENT PROPOSAL COMMAND [ARGUMENT …]     accepted | rejected
#
# What the command writes to standard output is the result, if it is one JSON value of at most 32 KiB; anything else is
# refused, said so, and the outcome is recorded without it. Nothing of it is ever evaluated. The exit code is the
# command's: no fault of the hub makes the work fail. Shown to everybody: `claims hub status`, `claims hub watch`.

set -u
usage='usage: hub_hooks.sh dispatch|consume AGENT ID COMMAND [ARGUMENT ...]'
[ $# -ge 4 ] || { echo "$usage" >&2; exit 2; }
verb=$1 agent=$2 id=$3
shift 3
case $verb in
    dispatch) kind=task good=complete bad=failed ;;
    consume) kind=proposal good=accepted bad=rejected ;;
    *) echo "$usage" >&2; exit 2 ;;
esac

result=$(mktemp) || exit 1
trap 'rm -f "$result"' EXIT
trap 'exit 130' INT TERM HUP

claims hub update "$agent" --status working --set "$kind=$id" --ttl 1h >/dev/null || echo "$id: the hub was not told" >&2

"$@" >"$result"
code=$?
outcome=$good
[ "$code" -eq 0 ] || outcome=$bad

told=2
if [ -s "$result" ]; then
    claims hub record "$kind" "$agent" "$id" "$outcome" --result - <"$result" >/dev/null
    told=$?
    [ "$told" -ne 2 ] || echo "$id: recorded without its result" >&2
fi
if [ "$told" -eq 2 ]; then # no result, or one that was refused; a hub that cannot be asked is left alone
    claims hub record "$kind" "$agent" "$id" "$outcome" >/dev/null
    told=$?
fi
[ "$told" -eq 0 ] || echo "$id: the hub was not told" >&2
claims hub update "$agent" --status idle >/dev/null || :
exit "$code"
