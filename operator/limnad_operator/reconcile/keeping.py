"""What a cluster consists of is made, and made right again when somebody has changed it."""

from __future__ import annotations

import json
from dataclasses import replace

from limnad_operator.manifests import certificates_due, children
from limnad_operator.manifests.naming import PREVIOUS
from limnad_operator.manifests.pods import worker_template
from limnad_operator.model import ClusterSpec, StepKind, TlsMode, TokensMode
from limnad_operator.reconcile.diff import changed, replaced, template_digest
from limnad_operator.reconcile.plan import (
    Call,
    Create,
    Delete,
    IssueCertificates,
    IssueToken,
    Object,
    Operation,
    Replace,
)
from limnad_operator.reconcile.situation import Situation

OPTIONAL = ("NetworkPolicy", "Deployment", "Service")
"""Kinds of what is deleted when the spec does not want it any more."""

NEW_TEMPLATE = (StepKind.UPGRADE_PODS, StepKind.UPGRADE_HEALTH, StepKind.UPGRADE_RELEASE)
"""Steps in which pods are those of the spec; in others they are those of before."""


def keep(it: Situation) -> None:
    """Plans what is missing or different."""
    if not _secrets(it):
        return
    wanted = children(it.shape)
    for manifest in [_in_force(it, each) for each in wanted]:
        there = it.seen.owned.get((manifest["kind"], manifest["metadata"]["name"]))
        if there is None:
            it.draft.actions.append(Create(manifest))
        elif changed(manifest, there):
            it.draft.actions.append(Replace(replaced(manifest, there)))
    kept = {(each["kind"], each["metadata"]["name"]) for each in wanted}
    for (kind, name), there in it.seen.owned.items():
        if kind in OPTIONAL and (kind, name) not in kept:
            it.draft.actions.append(Delete(kind, name, there["metadata"]["uid"]))
    if it.leader.known and it.status.step is None and it.leader.expected != it.status.replicas:
        it.draft.actions.append(Call(Operation.RESIZE, values=(("agents", it.status.replicas),)))


def template_in_force(it: Situation) -> bool:
    """Whether pods are to be those of the spec: until it is tried and when it has proved healthy, no others."""
    step, healthy = it.status.step, it.status.template
    if step is not None and step.kind in NEW_TEMPLATE:
        return step.target == it.wanted_digest
    return not healthy or healthy == it.wanted_digest


def template_before(it: Situation) -> Object:
    """The pods' template that was healthy: it lies with the StatefulSet, unless somebody has deleted that.

    Then it is made anew, with the image that was healthy; whatever else has changed cannot be known any more.
    """
    there, healthy = it.workers, it.status.template
    if there is not None:
        kept: list[Object] = [there["spec"]["template"]]
        if previous := (there["metadata"].get("annotations") or {}).get(PREVIOUS):
            kept.append(json.loads(previous))
        for template in kept:
            if template_digest({"spec": {"template": template}}) == healthy:
                return template
    image = it.status.image or it.spec.image
    return worker_template(replace(it.shape, spec=it.spec.model_copy(update={"image": image})))


def _in_force(it: Situation, manifest: Object) -> Object:
    """A manifest as it is to be now."""
    if manifest["kind"] not in ("StatefulSet", "Deployment"):
        return manifest
    there = it.seen.owned.get((manifest["kind"], manifest["metadata"]["name"]))
    new = template_in_force(it)
    if manifest["kind"] == "Deployment":
        image = it.spec.image if new else it.status.image or it.spec.image
        return _coordinator(it, it.spec.model_copy(update={"image": image}))
    step = it.status.step
    if there is None:
        return manifest if new else {**manifest, "spec": {**manifest["spec"], "template": template_before(it)}}
    if new:
        if step is not None and template_digest(there) == step.source != it.wanted_digest:
            annotations = {**manifest["metadata"]["annotations"], PREVIOUS: json.dumps(there["spec"]["template"])}
            return {**manifest, "metadata": {**manifest["metadata"], "annotations": annotations}}
        return manifest
    rolls_back = step is not None and step.kind is StepKind.ROLLBACK_PODS
    template = template_before(it) if rolls_back else there["spec"]["template"]
    metadata = {**manifest["metadata"], "annotations": {}}
    return {**manifest, "metadata": metadata, "spec": {**manifest["spec"], "template": template}}


def _coordinator(it: Situation, spec: ClusterSpec) -> Object:
    return next(each for each in children(replace(it.shape, spec=spec)) if each["kind"] == "Deployment")


def _secrets(it: Situation) -> bool:
    """Plans the Secrets; whether all are there that pods need."""
    shape, spec, secrets = it.shape, it.spec, it.seen.secrets
    if spec.tls.mode is TlsMode.SELF_SIGNED:
        held = secrets.get(shape.tls_secret or "")
        why = certificates_due(shape, secrets.get(shape.authority_secret), held, it.seen.now_s)
        if why:
            it.draft.tell("Certificates", f"Certificates are made: {why}.")
            it.draft.actions.append(IssueCertificates(why))
    if spec.tokens.mode is TokensMode.GENERATED and f"{it.name}-token" not in secrets:
        it.draft.actions.append(IssueToken())
    missing = []
    if spec.store is not None:
        missing += _missing(it, "spec.store.secretRef", spec.store.secret_ref.name, [spec.store.secret_ref.key])
    if spec.tls.mode is TlsMode.SECRET and spec.tls.secret_ref is not None:
        missing += _missing(it, "spec.tls.secretRef", spec.tls.secret_ref.name, ["tls.crt", "tls.key", "ca.crt"])
    if spec.tokens.mode is TokensMode.SECRET and spec.tokens.secret_ref is not None:
        missing += _missing(it, "spec.tokens.secretRef", spec.tokens.secret_ref.name, [spec.tokens.secret_ref.key])
    it.problems += [("SecretMissing", text) for text in missing]
    return not missing


def _missing(it: Situation, field: str, name: str, keys: list[str]) -> list[str]:
    if name not in it.seen.secrets:
        return [
            f"there is no Secret {name!r} in namespace {it.namespace}, which {field} names: make it, or correct that"
        ]
    lacking = [key for key in keys if key not in it.seen.secrets[name]]
    return [f"Secret {name!r}, which {field} names, has no key {key!r}: add it, or correct that" for key in lacking]
