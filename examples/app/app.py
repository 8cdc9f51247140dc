#!/usr/bin/env python3
"""Makes a Deployment and a Service of an App. The state comes on stdin, what should be goes to stdout, the log to stderr."""

import json
import sys
from datetime import datetime, timezone


def main():
    state = json.load(sys.stdin)
    app = state["object"]
    live = next(iter(state["dependents"]["deployment.v1.apps"]), None)
    condition = ready(app, live)
    reply = {
        # Per kind the complete list. What is not in it is deleted, as far as this App owns it.
        "dependents": {"deployment.v1.apps": [deployment(app)], "service.v1": [service(app)]},
        "status": {
            "observedGeneration": generation(app),
            "readyReplicas": status(live).get("readyReplicas", 0),
            "conditions": [condition],
        },
    }
    before = last_ready(app)
    if before.get("status") == condition["status"]:
        condition["lastTransitionTime"] = before["lastTransitionTime"]
    else:
        # A time in `values` is for tests, which must find the same each time.
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition["lastTransitionTime"] = state["values"].get("now", now)
        reply["events"] = [{"type": "Normal", "reason": condition["reason"], "message": condition["message"]}]
    json.dump(reply, sys.stdout)


def deployment(app):
    """Only the fields that an App decides. The others belong to others: `kubectl set resources` survives."""
    name, spec = app["metadata"]["name"], app["spec"]
    container = {"name": "app", "image": spec["image"], "ports": [{"containerPort": spec["port"]}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels(app)},
        "spec": {
            "replicas": spec["replicas"],
            "selector": {"matchLabels": labels(app)},
            "template": {"metadata": {"labels": labels(app)}, "spec": {"containers": [container]}},
        },
    }


def service(app):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": app["metadata"]["name"], "labels": labels(app)},
        "spec": {"selector": labels(app), "ports": [{"name": "http", "port": app["spec"]["port"]}]},
    }


def ready(app, live):
    """The condition Ready. `live` is the Deployment as it is, or None as long as there is none."""
    wanted, there = app["spec"]["replicas"], status(live).get("readyReplicas", 0)
    # What the Deployment says of an older self says nothing of this one.
    is_current = live is not None and status(live).get("observedGeneration") == generation(live)
    is_asked_for = live is not None and live["spec"]["replicas"] == wanted
    is_ready = is_current and is_asked_for and there == status(live).get("updatedReplicas", 0) == wanted
    return {
        "type": "Ready",
        "status": "True" if is_ready else "False",
        "reason": "Ready" if is_ready else "Progressing",
        "message": f"{there} of {wanted} replicas ready",
        "observedGeneration": generation(app),
    }


def last_ready(app):
    conditions = status(app).get("conditions", [])
    return next((condition for condition in conditions if condition["type"] == "Ready"), {})


def labels(app):
    return {"app.kubernetes.io/name": app["metadata"]["name"]}


def status(thing):
    return (thing or {}).get("status", {})


def generation(thing):
    return thing["metadata"].get("generation", 0)


main()
