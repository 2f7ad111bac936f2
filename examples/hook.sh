#!/bin/sh
# For hooks, cron and Makefiles: do a job only if nobody else is at it, and never fail because somebody is.
#
#     examples/hook.sh TASK COMMAND [ARGUMENT …]
#
# The same in one line, with renewal while the command runs:   claims run TASK --ttl 10m -- COMMAND …

set -u
task=${1:?usage: hook.sh TASK COMMAND [ARGUMENT ...]}
shift

claims claim "$task" --ttl 10m >/dev/null
case $? in
    0) ;;                                                    # ours
    3) echo "$task: somebody else has it, or it is done"; exit 0 ;;
    6) echo "$task: ignored, or out of retries"; exit 0 ;;
    75) echo "$task: cannot ask now, another time"; exit 0 ;;
    *) echo "$task: claims itself failed" >&2; exit 1 ;;
esac

# However this script ends, the claim ends with it.
trap 'claims release "$task" --status abandoned >/dev/null; exit 130' INT TERM HUP

if "$@"; then
    claims release "$task" >/dev/null
    echo "$task: done"
else
    code=$?
    claims release "$task" --status failed --error "exit code $code" >/dev/null
    echo "$task: failed with exit code $code" >&2
    exit "$code"
fi
