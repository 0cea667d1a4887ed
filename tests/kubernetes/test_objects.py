"""Objects through the official client: made, changed, deleted, watched; each test holds of any API server."""

from typing import Any

import pytest
from kubernetes import client, watch

from tests.helpers.kube import until

watching: Any = watch.Watch
GROUP = ("tests.limnad.io", "v1")


def widget(name: str = "w", **spec: Any) -> dict[str, Any]:
    spec = {"image": "a", "reference": "x", **spec}
    return {"apiVersion": "tests.limnad.io/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec}


def settings(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def refusal(error: pytest.ExceptionInfo[client.ApiException]) -> str:
    return f"{error.value.status} {error.value.body}"


def test_writes_on_an_old_version_are_refused(core: Any, namespace: str) -> None:
    first = core.create_namespaced_config_map(namespace, settings("a", x="1"))
    core.patch_namespaced_config_map("a", namespace, {"data": {"x": "2"}})
    first.data = {"x": "3"}
    with pytest.raises(client.ApiException) as error:
        core.replace_namespaced_config_map("a", namespace, first)
    assert error.value.status == 409
    assert core.read_namespaced_config_map("a", namespace).data == {"x": "2"}
    with pytest.raises(client.ApiException) as error:
        core.create_namespaced_config_map(namespace, settings("a"))
    assert "AlreadyExists" in refusal(error)


def test_a_write_that_changes_nothing_is_none(core: Any, namespace: str) -> None:
    first = core.create_namespaced_config_map(namespace, settings("a", x="1"))
    same = core.replace_namespaced_config_map("a", namespace, first)
    assert same.metadata.resource_version == first.metadata.resource_version


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"image": 3}, 'spec.image in body must be of type string: \\"integer\\"'),
        ({"mode": "Other"}, 'Unsupported value: \\"Other\\": supported values: \\"Rolling\\", \\"Fixed\\"'),
        ({"workers": {"replicas": 0}}, "spec.workers.replicas in body should be greater than or equal to 1"),
        ({"interval": "x"}, "spec.interval in body should match"),
        ({"template": {}}, "exactly one of reference and template"),
        ({"parts": [{"name": "a"}, {"name": "a"}]}, "Duplicate value"),
    ],
)
def test_wrong_specs_are_refused_with_their_causes(
    widgets: Any, namespace: str, spec: dict[str, Any], told: str
) -> None:
    with pytest.raises(client.ApiException) as error:
        widgets.create_namespaced_custom_object(*GROUP, namespace, "widgets", widget(**spec))
    assert error.value.status == 422
    assert told in refusal(error)


def test_defaults_come_and_unknown_fields_go(widgets: Any, namespace: str) -> None:
    made = widgets.create_namespaced_custom_object(*GROUP, namespace, "widgets", widget(odd=1, port="http"))
    assert made["spec"]["mode"] == "Rolling"
    assert made["spec"]["workers"] == {"replicas": 1}
    assert "odd" not in made["spec"]
    with pytest.raises(client.ApiException) as error:
        widgets.create_namespaced_custom_object(
            *GROUP, namespace, "widgets", widget("v", odd=1), field_validation="Strict"
        )
    assert 'unknown field \\"spec.odd\\"' in refusal(error)


def test_rules_compare_with_what_was(widgets: Any, namespace: str) -> None:
    widgets.create_namespaced_custom_object(*GROUP, namespace, "widgets", widget(mode="Fixed"))
    with pytest.raises(client.ApiException) as error:
        widgets.patch_namespaced_custom_object(*GROUP, namespace, "widgets", "w", {"spec": {"image": "b"}})
    assert "the image of a fixed widget stays" in refusal(error)


def test_spec_and_status_are_written_apart(widgets: Any, namespace: str) -> None:
    made = widgets.create_namespaced_custom_object(
        *GROUP, namespace, "widgets", {**widget(), "status": {"replicas": 7}}
    )
    assert "status" not in made
    assert made["metadata"]["generation"] == 1
    told = {**made, "spec": {**made["spec"], "image": "b"}, "status": {"replicas": 2, "selector": "app=w"}}
    told = widgets.replace_namespaced_custom_object_status(*GROUP, namespace, "widgets", "w", told)
    assert (told["spec"]["image"], told["status"]["replicas"], told["metadata"]["generation"]) == ("a", 2, 1)
    changed = widgets.patch_namespaced_custom_object(*GROUP, namespace, "widgets", "w", {"spec": {"image": "b"}})
    assert (changed["status"]["replicas"], changed["metadata"]["generation"]) == (2, 2)


def test_scale_reads_and_writes_the_replicas(widgets: Any, namespace: str) -> None:
    widgets.create_namespaced_custom_object(*GROUP, namespace, "widgets", widget())
    widgets.patch_namespaced_custom_object_status(
        *GROUP, namespace, "widgets", "w", {"status": {"replicas": 1, "selector": "app=w"}}
    )
    widgets.patch_namespaced_custom_object_scale(*GROUP, namespace, "widgets", "w", {"spec": {"replicas": 5}})
    scale = widgets.get_namespaced_custom_object_scale(*GROUP, namespace, "widgets", "w")
    assert (scale["spec"]["replicas"], scale["status"]) == (5, {"replicas": 1, "selector": "app=w"})
    found = widgets.get_namespaced_custom_object(*GROUP, namespace, "widgets", "w")
    assert found["spec"]["workers"]["replicas"] == 5


def test_a_watch_goes_on_from_a_list(core: Any, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, settings("a"))
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, settings("b", x="1"))
    core.patch_namespaced_config_map("b", namespace, {"data": {"x": "2"}})
    core.delete_namespaced_config_map("b", namespace)
    events = watching().stream(
        core.list_namespaced_config_map,
        namespace,
        resource_version=start,
        timeout_seconds=1,
        field_selector="metadata.name=b",
    )
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]


def test_lists_come_in_pages(core: Any, namespace: str) -> None:
    for number in range(5):
        made = settings(f"page-{number}")
        made["metadata"]["labels"] = {"parity": "even" if number % 2 == 0 else "odd"}
        core.create_namespaced_config_map(namespace, made)
    page = core.list_namespaced_config_map(namespace, label_selector="parity in (even)", limit=2)
    rest = core.list_namespaced_config_map(
        namespace, label_selector="parity in (even)", limit=2, _continue=page.metadata._continue
    )
    assert [item.metadata.name for item in (*page.items, *rest.items)] == ["page-0", "page-2", "page-4"]


def test_an_object_waits_for_its_finalizers(widgets: Any, namespace: str) -> None:
    held = widget()
    held["metadata"]["finalizers"] = ["tests.limnad.io/held"]
    widgets.create_namespaced_custom_object(*GROUP, namespace, "widgets", held)
    widgets.delete_namespaced_custom_object(*GROUP, namespace, "widgets", "w")
    found = widgets.get_namespaced_custom_object(*GROUP, namespace, "widgets", "w")
    assert found["metadata"]["deletionTimestamp"]
    widgets.patch_namespaced_custom_object(*GROUP, namespace, "widgets", "w", {"metadata": {"finalizers": None}})
    with pytest.raises(client.ApiException) as error:
        widgets.get_namespaced_custom_object(*GROUP, namespace, "widgets", "w")
    assert error.value.status == 404


def test_a_delete_can_be_meant_for_one_object_only(core: Any, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, settings("a"))
    other = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="another"))
    with pytest.raises(client.ApiException) as error:
        core.delete_namespaced_config_map("a", namespace, body=other)
    assert error.value.status == 409


@pytest.mark.usefixtures("collected")
def test_dependents_go_with_their_owner(core: Any, namespace: str) -> None:
    owner = core.create_namespaced_config_map(namespace, settings("owner"))
    owned = settings("owned")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}
    owned["metadata"]["ownerReferences"] = [reference]
    core.create_namespaced_config_map(namespace, owned)
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.delete_namespaced_config_map("owner", namespace)
    events = watching().stream(core.list_namespaced_config_map, namespace, resource_version=start, timeout_seconds=20)
    gone = set()
    for event in events:
        gone.add((event["type"], event["object"].metadata.name))
        if len(gone) == 2:
            break
    assert gone == {("DELETED", "owner"), ("DELETED", "owned")}


@pytest.mark.parametrize(
    ("default", "told"),
    [
        ({}, "evaluating rule: a mode of ours"),  # What is in it has a default, but that comes later.
        ({"mode": "Theirs"}, "a mode of ours"),
        ({"mode": 3}, "must be of type string"),
        ({"mode": "Ours"}, None),
    ],
)
def test_a_default_keeps_to_schema_and_rules_by_itself(api: Any, default: dict[str, Any], told: str | None) -> None:
    rule = {"rule": "self.mode == 'Ours'", "message": "a mode of ours"}
    mode = {"type": "string", "default": "Ours"}
    part = {"type": "object", "properties": {"mode": mode}, "x-kubernetes-validations": [rule], "default": default}
    schema = {"type": "object", "properties": {"part": part}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "Gadget", "plural": "gadgets"}
    spec = {"group": "tests.limnad.io", "scope": "Namespaced", "names": names, "versions": [version]}
    extensions: Any = client.ApiextensionsV1Api(api)
    body = {"metadata": {"name": "gadgets.tests.limnad.io"}, "spec": spec}
    if told is None:
        extensions.create_custom_resource_definition(body, dry_run="All")
        return
    with pytest.raises(client.ApiException) as error:
        extensions.create_custom_resource_definition(body, dry_run="All")
    assert error.value.status == 422
    assert told in refusal(error)


def test_a_kind_that_is_to_go_takes_no_more_objects(api: Any, namespace: str) -> None:
    extensions: Any = client.ApiextensionsV1Api(api)
    custom: Any = client.CustomObjectsApi(api)
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    names = {"kind": "Gizmo", "plural": "gizmos"}
    spec = {"group": GROUP[0], "scope": "Namespaced", "names": names, "versions": [version]}
    name = f"gizmos.{GROUP[0]}"

    def until_condition(kind: str) -> None:
        until(
            extensions.list_custom_resource_definition,
            field_selector=f"metadata.name={name}",
            good=lambda items: any(each.type == kind for each in items[0].status.conditions or []),
        )

    extensions.create_custom_resource_definition({"metadata": {"name": name}, "spec": spec})
    until_condition("Established")
    gizmo = {"apiVersion": "/".join(GROUP), "kind": "Gizmo", "metadata": {"name": "held", "finalizers": ["x.io/held"]}}
    custom.create_namespaced_custom_object(*GROUP, namespace, "gizmos", gizmo)
    extensions.delete_custom_resource_definition(name)
    until_condition("Terminating")
    other = {**gizmo, "metadata": {"name": "other"}}
    with pytest.raises(client.ApiException) as error:
        custom.create_namespaced_custom_object(*GROUP, namespace, "gizmos", other)
    assert "create not allowed while custom resource definition is terminating" in refusal(error)
    free = {"metadata": {"finalizers": None}}
    custom.patch_namespaced_custom_object(*GROUP, namespace, "gizmos", "held", free)
    until(
        extensions.list_custom_resource_definition,
        field_selector=f"metadata.name={name}",
        good=lambda items: not items,
    )


def test_strings_of_secrets_are_encoded(core: Any, namespace: str) -> None:
    core.create_namespaced_secret(namespace, {"metadata": {"name": "s"}, "stringData": {"url": "redis://"}})
    assert core.read_namespaced_secret("s", namespace).data == {"url": "cmVkaXM6Ly8="}
