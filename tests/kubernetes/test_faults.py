"""What a server can do to its clients, when a test asks for it."""

from typing import Any

import pytest
import urllib3.exceptions
from kubernetes import client, watch

from tests.kubernetes.apiserver import ApiServer, Fault

watching: Any = watch.Watch


@pytest.fixture(autouse=True)
def _healthy_again(own_server: ApiServer) -> Any:
    yield
    own_server.clear_faults()
    own_server.do(lambda: setattr(own_server.handler, "bookmark_s", 60.0))


def test_a_watch_from_what_is_forgotten_is_told_to_list_anew(own_server: ApiServer, core: Any, namespace: str) -> None:
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "a"}})
    own_server.forget()
    with pytest.raises(client.ApiException) as error:
        list(watching().stream(core.list_namespaced_config_map, namespace, resource_version=start, timeout_seconds=5))
    assert error.value.status == 410


def test_a_page_of_a_list_that_is_forgotten_is_refused(own_server: ApiServer, core: Any, namespace: str) -> None:
    for name in "ab":
        core.create_namespaced_config_map(namespace, {"metadata": {"name": name}})
    page = core.list_namespaced_config_map(namespace, limit=1)
    core.delete_namespaced_config_map("a", namespace)
    own_server.forget()
    with pytest.raises(client.ApiException) as error:
        core.list_namespaced_config_map(namespace, limit=1, _continue=page.metadata._continue)
    assert error.value.status == 410


def test_bookmarks_tell_how_far_a_quiet_watch_is(own_server: ApiServer, core: Any, namespace: str) -> None:
    own_server.do(lambda: setattr(own_server.handler, "bookmark_s", 0.1))
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_secret(namespace, {"metadata": {"name": "elsewhere"}})
    events = watching().stream(
        core.list_namespaced_config_map,
        namespace,
        resource_version=start,
        allow_watch_bookmarks=True,
        timeout_seconds=1,
    )
    told = [event["raw_object"]["metadata"]["resourceVersion"] for event in events if event["type"] == "BOOKMARK"]
    assert told
    assert int(told[-1]) > int(start)


@pytest.mark.parametrize("code", [403, 429, 500])
def test_requests_are_refused(own_server: ApiServer, core: Any, namespace: str, code: int) -> None:
    fault = own_server.fault(Fault(verb="create", resource="configmaps", name="", code=code, times=1))
    with pytest.raises(client.ApiException) as error:
        core.create_namespaced_config_map(namespace, {"metadata": {"name": "a"}})
    assert (error.value.status, fault.seen) == (code, 1)
    if code == 429:
        assert (error.value.headers or {})["Retry-After"] == "1"
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "a"}})


def test_connections_are_dropped(own_server: ApiServer, core: Any, namespace: str) -> None:
    fault = own_server.fault(Fault(verb="create", resource="secrets", drop=True))
    with pytest.raises(urllib3.exceptions.HTTPError):
        core.create_namespaced_secret(namespace, {"metadata": {"name": "a"}})
    assert fault.seen
    own_server.clear_faults()
    assert core.list_namespaced_secret(namespace).items == []


def test_a_watch_hangs_until_its_client_gives_up(own_server: ApiServer, core: Any, namespace: str) -> None:
    own_server.fault(Fault(verb="watch", resource="configmaps", hang=True))
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "a"}})
    options = {"resource_version": start, "timeout_seconds": 1, "_request_timeout": 1}
    with pytest.raises(urllib3.exceptions.HTTPError):
        list(watching().stream(core.list_namespaced_config_map, namespace, **options))


def test_whoever_shows_no_token_is_refused(own_server: ApiServer) -> None:
    settings = client.Configuration(host=own_server.url)
    settings.verify_ssl = True
    settings.ssl_ca_cert = str(own_server.kubeconfig.parent / "ca.crt")
    with client.ApiClient(settings) as stranger, pytest.raises(client.ApiException) as error:
        client.CoreV1Api(stranger).list_namespace()
    assert error.value.status == 401
