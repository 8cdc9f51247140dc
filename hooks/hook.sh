#!/bin/sh
# A starting point for hooks. Reads the state, answers nothing: nothing changes. See README.md beside this file.
set -eu

state=$(cat) # JSON; `printf '%s' "$state" | jq -r .object.spec.replicas` reads a field

say() { printf '%s\n' "$*" >&2; } # stderr is the log

# report STATUS_JSON: shown on the object at once, while this hook goes on.
report() { printf '{"status": %s}\n' "$1" >"$HOOK_PROGRESS"; }

say "handling $OBJECT_KIND $OBJECT_NAMESPACE/$OBJECT_NAME because of $TRIGGER (${#state} bytes of state)"
