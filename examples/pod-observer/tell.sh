#!/bin/sh
set -eu
# When a Pod is gone, `object` is no more than its name, and `lastObject` what was seen of it last.
phase=$(jq -r '.lastObject // .object | .status.phase // "unknown"')
case $TRIGGER in
Deleted) echo "$OBJECT_NAMESPACE/$OBJECT_NAME is gone, it was $phase" ;;
*) echo "$OBJECT_NAMESPACE/$OBJECT_NAME is $phase" ;;
esac >&2 # stderr is the log
