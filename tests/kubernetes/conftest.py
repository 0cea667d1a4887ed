"""The API server that the tests of this folder talk to: our own, or a real one.

LIMNAD_KUBECONFIG names one that runs; KUBEBUILDER_ASSETS the programs of one that is started for the tests. Where the
nodes of the former have an image of Limnad, LIMNAD_IMAGE is its name, and LIMNAD_REDIS_IMAGE that of a Redis.

Not KUBECONFIG: nobody is to find the namespaces of these tests in the cluster that they happen to work with.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from tests.helpers import helm
from tests.helpers.envtest import has_controllers, real_api_server
from tests.helpers.kube import until
from tests.helpers.our_kinds import new_kinds_removed
from tests.helpers.redis_server import find_redis_server
from tests.helpers.whole_chart import CHART, VALUES, values_of
from tests.kubernetes.apiserver import ApiServer, Image
from tests.kubernetes.apiserver.kubelet.cluster import obstacle

REAL = os.environ.get("LIMNAD_KUBECONFIG", "")
ASSETS = os.environ.get("KUBEBUILDER_ASSETS", "")


@pytest.fixture(scope="session")
def own_server() -> Iterator[ApiServer]:
    """Our own server: for what cannot be asked of a real one (faults, a log that forgets)."""
    if REAL or ASSETS:
        pytest.skip("needs a server of our own, and LIMNAD_KUBECONFIG or KUBEBUILDER_ASSETS names another")
    nodes = () if obstacle() else ("n0", "n1", "n2")
    images = {
        "shell": Image(),
        "redis.*": Image(entrypoint=("redis-server",)),
        "limnad-wrong": Image.of_this_checkout(LIMNAD_TESTS_WRONG="yes"),
    }
    with ApiServer(nodes=nodes, images=images) as server:
        yield server


@pytest.fixture(scope="session")
def pods(own_server: ApiServer) -> ApiServer:
    """A server whose pods run: as processes of this machine, of images that we name."""
    if why := obstacle():
        pytest.skip(why)
    return own_server


@pytest.fixture(scope="session")
def kubeconfig(request: pytest.FixtureRequest) -> Iterator[Path]:
    """How to reach the server, whichever it is."""
    if REAL:
        yield Path(REAL)
    elif ASSETS:
        with real_api_server(Path(ASSETS)) as started:
            yield started
    else:
        server: ApiServer = request.getfixturevalue("own_server")
        yield server.kubeconfig


@pytest.fixture(scope="session")
def collected() -> None:
    """Whether dependents go with their owner there: a real API server alone does not see to it."""
    if ASSETS and not REAL and not has_controllers(Path(ASSETS)):
        pytest.skip("nobody collects garbage: put kube-controller-manager into KUBEBUILDER_ASSETS too")


@pytest.fixture(scope="session")
def api(kubeconfig: Path) -> Iterator[Any]:
    """The official client."""
    load: Any = config.new_client_from_config
    with load(str(kubeconfig)) as found:
        yield found


@pytest.fixture(scope="session")
def core(api: Any) -> Any:
    """The official client's part for Kubernetes' own first kinds."""
    return client.CoreV1Api(api)


@pytest.fixture
def namespace(core: Any) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": name}})
    yield name
    core.delete_namespace(name)


@pytest.fixture(scope="session")
def widgets(api: Any) -> Iterator[Any]:
    """A kind of custom objects with all that a schema may say, for as long as the tests run."""
    extensions = client.ApiextensionsV1Api(api)
    definition = yaml.safe_load((Path(__file__).parent / "widgets.yaml").read_text())
    extensions.create_custom_resource_definition(definition)
    until(
        extensions.list_custom_resource_definition,
        field_selector=f"metadata.name={definition['metadata']['name']}",
        good=lambda items: any(each.type == "Established" for each in items[0].status.conditions or []),
    )
    yield client.CustomObjectsApi(api)
    extensions.delete_custom_resource_definition(definition["metadata"]["name"])


@pytest.fixture(scope="session")
def values(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Under which the whole chart runs: as processes of this machine, or where a cluster's nodes have our image."""
    if REAL and (image := os.environ.get("LIMNAD_IMAGE")):
        return values_of(image, os.environ.get("LIMNAD_REDIS_IMAGE", ""))
    request.getfixturevalue("pods")
    find_redis_server()
    return VALUES


@pytest.fixture
def release(values: dict[str, Any], kubeconfig: Path, api: Any, core: Any, namespace: str) -> Iterator[helm.Helm]:
    """The whole chart, installed as `limnad`; a real server refuses pods there that ask for more than they need."""
    core.patch_namespace(namespace, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    with new_kinds_removed(api), helm.Helm(kubeconfig, namespace) as found:
        found.install(CHART, "limnad", values)
        yield found
