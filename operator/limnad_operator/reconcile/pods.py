"""Pods: whether they are there, and what keeps them from it, in sentences that say what to change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from limnad_operator.manifests import ISOLATED, TEMPLATE
from limnad_operator.reconcile.plan import Object
from limnad_operator.reconcile.telling import unix

NO_IMAGE = {"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
NO_CONFIGURATION = {"CreateContainerConfigError", "CreateContainerError"}


def uid(pod: Object) -> str:
    """Which one of its name."""
    return str(pod["metadata"]["uid"])


def name(pod: Object) -> str:
    """Its name."""
    return str(pod["metadata"]["name"])


def ordinal(pod: Object) -> int:
    """Its place in its StatefulSet."""
    return int(name(pod).rpartition("-")[2])


def digest(pod: Object) -> str:
    """Of the template that it was made from."""
    return str((pod["metadata"].get("annotations") or {}).get(TEMPLATE, ""))


def leaving(pod: Object) -> bool:
    """Whether it is being deleted."""
    return "deletionTimestamp" in pod["metadata"]


def ready(pod: Object) -> bool:
    """Whether it serves."""
    conditions = pod.get("status", {}).get("conditions") or []
    return not leaving(pod) and any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def unready_since(pod: Object) -> float:
    """When it was ready last, as far as it says so, in seconds since 1970."""
    for each in pod.get("status", {}).get("conditions") or []:
        if each["type"] == "Ready" and each.get("lastTransitionTime"):
            return unix(each["lastTransitionTime"])
    return 0.0


def lost(pod: Object, after_s: float, now_s: float) -> bool:
    """Whether it should have ended so long ago: its node does not say so."""
    return leaving(pod) and now_s >= unix(pod["metadata"]["deletionTimestamp"]) + after_s


def isolated(pod: Object) -> bool:
    """Whether it is cut off from all others."""
    return ISOLATED in (pod["metadata"].get("labels") or {})


def address(pod: Object) -> str:
    """Where it is reached; empty: nowhere yet."""
    return str(pod.get("status", {}).get("podIP") or "")


def curable(pod: Object) -> bool:
    """Whether a new one in its place might do better."""
    return not leaving(pod) and not any(_named(pod)) and not _unscheduled(pod)


def problem(pod: Object) -> str:
    """Why it is not ready, and what to change; empty: it is."""
    if ready(pod):
        return ""
    if leaving(pod):
        return f"pod {name(pod)} is being deleted"
    for sentence in _named(pod):
        return sentence
    if message := _unscheduled(pod):
        return (
            f"pod {name(pod)} cannot be scheduled: {message}. Ask for less in spec.workers.resources, or give the "
            "cluster more nodes"
        )
    return f"pod {name(pod)} is not ready"


def _containers(pod: Object) -> list[Object]:
    status = pod.get("status", {})
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _named(pod: Object) -> Iterable[str]:
    """What is wrong with its containers."""
    for container in _containers(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason, said = waiting.get("reason", ""), waiting.get("message", "")
        if reason in NO_IMAGE:
            yield (
                f"pod {name(pod)} does not get its image {container.get('image') or _image(pod)!r} ({reason}: {said}). "
                "Correct spec.image, or name a Secret for the registry in spec.imagePullSecrets"
            )
        elif reason in NO_CONFIGURATION:
            yield (
                f"pod {name(pod)} cannot start ({said or reason}). Make what it lacks, or correct its reference in the "
                "spec (store, tls or tokens)"
            )
        elif reason == "CrashLoopBackOff":
            yield f"pod {name(pod)} ends again and again: {_last_end(container)}"


def _image(pod: Object) -> str:
    return str((pod.get("spec", {}).get("containers") or [{}])[0].get("image", ""))


def _last_end(container: Object) -> str:
    ended = (container.get("lastState") or {}).get("terminated") or {}
    said = str(ended.get("message") or ended.get("reason") or "").strip()
    return f"exit code {ended.get('exitCode', '?')}{f', its last words were: {said[-1000:]}' if said else ''}"


def _unscheduled(pod: Object) -> str:
    for each in pod.get("status", {}).get("conditions") or []:
        if each["type"] == "PodScheduled" and each["status"] == "False":
            return str(each.get("message") or each.get("reason") or "no node takes it").rstrip(".")
    return ""


def restart_count(pods: Iterable[Any]) -> int:
    """How often the containers of pods were started again."""
    return sum(int(each.get("restartCount", 0)) for pod in pods for each in _containers(pod))
