"""The chart, rendered by Helm itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml

CHART = Path(__file__).parents[2] / "helm" / "limnad"
RELEASE, NAMESPACE = "demo", "prod"

Manifest = dict[str, Any]


def rendered(values: Mapping[str, Any] | None = None, release: str = RELEASE) -> list[Manifest]:
    """All objects that `helm template` prints, hooks too."""
    with helm.Chart.load(CHART) as chart:
        files = chart.render(dict(values or {}), name=release, namespace=NAMESPACE)
    return [each for name, text in files.items() if name.endswith(".yaml") for each in documents(text)]


def notes(values: Mapping[str, Any] | None = None) -> str:
    """What Helm prints in the end."""
    with helm.Chart.load(CHART) as chart:
        return chart.render(dict(values or {}), name=RELEASE, namespace=NAMESPACE)["limnad/templates/NOTES.txt"]


def refusal(values: Mapping[str, Any]) -> str:
    """Why Helm refuses the values, of which there has to be a reason."""
    try:
        with helm.Chart.load(CHART) as chart:
            chart.validate_schema(dict(values))
            chart.render(dict(values), name=RELEASE, namespace=NAMESPACE)
    except helm.HelmError as error:
        return str(error)
    raise AssertionError(f"Helm takes {values}")


def documents(text: str) -> list[Manifest]:
    """The objects in a YAML text."""
    return [each for each in yaml.safe_load_all(text) if each]


def one(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    """The object of that kind, and of that name if there are several."""
    (found,) = [each for each in manifests if each["kind"] == kind and name in ("", each["metadata"]["name"])]
    return found


def pod_specs(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Each pod that objects make, by who makes it."""
    for each in manifests:
        label = f"{each['kind']}/{each['metadata']['name']}"
        if each["kind"] == "Pod":
            yield label, each["spec"]
        elif "template" in each.get("spec", {}) and "spec" in each["spec"]["template"]:
            yield label, each["spec"]["template"]["spec"]
