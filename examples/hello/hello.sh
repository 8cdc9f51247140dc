#!/bin/sh
cat <<END
dependents: {configmap.v1: [{apiVersion: v1, kind: ConfigMap, metadata: {name: $OBJECT_NAME}, data: {hello: world}}]}
status: {greeted: true}
END
