"""Helm 4 itself, as a library: charts are checked, rendered, installed and tried by the real engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import helm_python
import yaml

Values = Mapping[str, Any]
"""What a release sets of a chart's values."""

HELM_ERRORS = helm_python.HelmError
"""What Helm raises when it refuses or fails; its text is what `helm` prints."""

_WARNING = 2


def lint(chart: Path, values: Values | None = None) -> list[str]:
    """What ``helm lint --strict`` finds wrong."""
    report = helm_python.lint(chart, dict(values or {}), strict=True)
    found = [f"{each['path']}: {each['error']}" for each in report["messages"] if each["severity"] >= _WARNING]
    return [*found, *report["errors"]]


def template(
    chart: Path, values: Values | None = None, *, name: str = "limnad", namespace: str = "limnad"
) -> list[dict[str, Any]]:
    """All objects that a chart renders, hooks too, without its CRDs.

    Raises:
        HelmError: The values break the schema, or a template fails.
    """
    with helm_python.Chart.load(chart) as loaded:
        loaded.validate_schema(dict(values or {}))
        rendered = loaded.render(dict(values or {}), name=name, namespace=namespace)
    found = []
    for path, text in sorted(rendered.items()):
        if not path.endswith("NOTES.txt"):
            found += [item for item in yaml.safe_load_all(text) if item]
    return found


class Helm:
    """Releases of one namespace.

    Args:
        kubeconfig: How to reach the API server.
        namespace: Where they are; it is made when something is installed.
    """

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self._namespace = namespace
        self._config = helm_python.Config(kubeconfig_path=kubeconfig, namespace=namespace, qps=200, burst_limit=400)

    def install(
        self, chart: Path, name: str, values: Values | None = None, *, wait_s: int = 0, dry_run: bool = False
    ) -> dict[str, Any]:
        """``helm install``, the chart's CRDs too.

        Args:
            chart: A folder, or an archive.
            name: Of the release.
            values: What it sets.
            wait_s: How long to wait until all is ready; 0: not at all, but for hooks 60 s.
            dry_run: The server is asked, and keeps nothing.

        Raises:
            HelmError: As ``helm`` would say it.
        """
        return self._config.install(
            chart,
            name,
            dict(values or {}),
            namespace=self._namespace,
            create_namespace=True,
            dry_run="server" if dry_run else None,
            **_waiting(wait_s),
        )

    def upgrade(self, chart: Path, name: str, values: Values | None = None, *, wait_s: int = 0) -> dict[str, Any]:
        """``helm upgrade``: values that are not given are the chart's own again.

        Raises:
            HelmError: As ``helm`` would say it.
        """
        return self._config.upgrade(chart, name, dict(values or {}), namespace=self._namespace, **_waiting(wait_s))

    def uninstall(self, name: str, *, wait_s: int = 0) -> None:
        """``helm uninstall``, hooks too.

        Raises:
            HelmError: As ``helm`` would say it.
        """
        self._config.uninstall(name, **_waiting(wait_s))

    def rollback(self, name: str, version: int, *, wait_s: int = 0) -> None:
        """``helm rollback``.

        Raises:
            HelmError: As ``helm`` would say it.
        """
        self._config.rollback(name, version=version, **_waiting(wait_s))

    def test(self, name: str, *, timeout_s: int = 60) -> str:
        """``helm test --logs``: what the test's pods have printed.

        Raises:
            HelmError: One has failed.
        """
        return str(self._config.test(name, timeout=timeout_s, logs=True)["logs"])

    def releases(self) -> dict[str, str]:
        """Status by name."""
        return {each["name"]: each["status"] for each in self._config.list(all_states=True)}

    def history(self, name: str) -> list[dict[str, Any]]:
        """A release's revisions, oldest first."""
        return self._config.history(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._config.close()


def _waiting(wait_s: int) -> dict[str, Any]:
    return {"wait": "watcher" if wait_s else "hookOnly", "timeout": wait_s or 60}
