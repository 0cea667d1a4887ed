"""The operator's settings: one schema for flags and environment; a flag wins."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, CliSettingsSource, NoDecode, SettingsConfigDict

from limnad.errors import ClusterError

OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def own_namespace() -> str:
    """Where this process runs."""
    if named := os.environ.get("POD_NAMESPACE"):
        return named
    return OWN_NAMESPACE.read_text(encoding="utf-8").strip() if OWN_NAMESPACE.is_file() else "default"


def own_name() -> str:
    """Of this process: its pod's, or one that no other has."""
    return os.environ.get("POD_NAME") or f"{socket.gethostname()}-{secrets.token_hex(4)}"


class Settings(BaseSettings):
    """The Kubernetes operator of Limnad: makes and keeps LimnadClusters, LimnadJobs and LimnadCheckpoints."""

    model_config = SettingsConfigDict(
        env_prefix="LIMNAD_OPERATOR_",
        extra="forbid",
        cli_prog_name="limnad-operator",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    namespaces: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Where it works, with commas between; by default where it runs."
    )
    lease: str = Field("limnad-operator", min_length=1, description="The Lease by which one of several replicas acts.")
    lease_namespace: str = Field("", description="Where that is; by default where it runs.")
    lease_owner: str = Field("", description="The Deployment that runs it: when that is deleted, the Lease goes too.")
    identity: str = Field("", description="By which it holds the Lease; by default POD_NAME.")
    listen: str = Field("0.0.0.0:8080", description="HOST:PORT of /metrics, /healthz and /readyz.")
    resync: float = Field(600.0, ge=1, description="Seconds from one list of everything to the next.")
    watch: int = Field(240, ge=5, description="Seconds after which a watch is opened anew, if it says anything or not.")
    reach: Literal["address", "service"] = Field(
        "address", description="Whether leaders are reached by their pod's address or by their Service's name."
    )
    kubeconfig: Path | None = Field(None, description="A kubeconfig; by default this pod's account, then KUBECONFIG.")
    log_format: Literal["text", "json"] = Field("text", description="How lines of logs look.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")

    @field_validator("namespaces", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("listen")
    @classmethod
    def _has_port(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError("this is not HOST:PORT")
        return value


def load(arguments: Sequence[str]) -> Settings:
    """Reads flags and environment.

    Raises:
        ClusterError: A setting is wrong; says which.
        SystemExit: The flags cannot be read, or help was asked for.
    """
    flags: CliSettingsSource[Any] = CliSettingsSource(Settings, cli_parse_args=list(arguments))
    try:
        return Settings(**{name: value for name, value in flags().items() if value is not None})
    except ValidationError as error:
        said = "; ".join(
            f"--{'.'.join(map(str, each['loc'])).replace('_', '-')}: {each['msg']}" for each in error.errors()
        )
        raise ClusterError(said) from None
