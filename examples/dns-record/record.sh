#!/bin/sh
set -eu
address=$(jq -r .object.spec.address)
file=zone/$OBJECT_NAME.$OBJECT_NAMESPACE

# Changes nothing outside when it is only tried: `render` and `test` set DRY_RUN.
unless_tried() { if [ "${DRY_RUN:-}" != true ]; then "$@"; fi; }
write() { mkdir -p zone && echo "$address" >"$file.new" && mv "$file.new" "$file"; }

if [ "$TRIGGER" = Deleting ]; then
    unless_tried rm -f "$file" # It may run again after it was done: -f.
    echo "removed $file" >&2
else
    unless_tried write
    echo "{status: {address: $address}}"
fi
