"""The settings of an agent: one schema for flags, environment and file.

A flag wins over a variable ``LIMNAD_...``, a variable over the file, the file over the default.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ByteSize, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from limnad.errors import ClusterError
from limnad.timely.progress import Accumulation
from limnad_worker.agent import Options
from limnad_worker.hosts import GATHER_S
from limnad_worker.processes import STATE_LIMIT

DEFAULT_PORT = 7700
"""Where agents listen if nobody says otherwise."""


class Settings(BaseSettings):
    """A worker of a cluster: one agent, which runs engines for the jobs of its leader, the agent of index 0."""

    model_config = SettingsConfigDict(
        env_prefix="LIMNAD_",
        extra="forbid",
        cli_prog_name="limnad worker",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    config: Path | None = Field(None, description="A TOML file with any of these settings, by these names.")
    index: int = Field(0, ge=0, description="Which agent this is; that of index 0 leads.")
    peers: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="HOST:PORT of all agents in the order of their indexes, with commas between."
    )
    peers_dns: str = Field(
        "", description="Instead of --peers: a name with the addresses of all agents, as a headless service has."
    )
    listen: str = Field(f"127.0.0.1:{DEFAULT_PORT}", description="HOST:PORT to serve on; port 0: any.")
    advertise: str = Field(
        "",
        description="The host by which other agents reach this one; by default the one of --listen, or this machine's.",
    )
    slots: int = Field(1, ge=1, le=256, description="How many workers of one job this agent is made for.")
    store: str = Field(
        "",
        description="Where jobs, archives and checkpoints are kept: dir:PATH or redis://HOST:PORT/DB; by default in "
        "the leader's memory.",
    )
    memory: ByteSize | None = Field(
        None, description="How much memory (such as 2GiB) an engine may take beyond what it needs to start."
    )
    state_limit: ByteSize | None = Field(
        None,
        description="How much state (such as 1GiB) a job may hold on one worker before it fails, naming its largest "
        "stages; from three quarters of it on its sources wait. By default three quarters of --memory, if that is set.",
    )
    cache: Path | None = Field(
        None, description="A folder for the files of jobs; by default one of its own for as long as the agent lives."
    )
    agents: int = Field(
        0, ge=0, description="How many agents to wait for before the first jobs; 0: as many as --peers."
    )
    gather: float = Field(GATHER_S, ge=0, description="Seconds after which jobs are started without some of them.")
    progress: Literal["none", "local", "global", "local+global"] = Field(
        "local",
        description="How jobs that do not say it gather their progress updates: `global` and `local+global` give each "
        "a coordinator, which is one process more.",
    )
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="Where the leader serves metrics for Prometheus; 0: any port."
    )
    ui_address: str | None = Field(
        None, description="HOST:PORT where the leader serves its web page; port 0: any; by default there is none."
    )
    log_format: Literal["text", "json"] | None = Field(
        None, description="Write logs to standard error, as lines for people or as JSON; by default there are none."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")
    grace: float = Field(20.0, ge=0, description="Seconds in which jobs are checkpointed after SIGTERM.")

    @field_validator("peers", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("listen", "ui_address", mode="after")
    @classmethod
    def _has_port(cls, value: str | None) -> str | None:
        host, _, port = (value or "").rpartition(":")
        if value is not None and (not host or not port.isdigit() or int(port) > 65535):
            raise ValueError("this is not HOST:PORT")
        return value

    @model_validator(mode="after")
    def _finds_its_leader(self) -> Settings:
        if self.index > 0 and not self.peers and not self.peers_dns:
            raise ValueError(f"agent {self.index} has to find its leader: give it --peers or --peers-dns")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class passes it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags come before these; see `load`."""
        file = init_settings().get("config") or os.environ.get("LIMNAD_CONFIG")
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path(file) if file else None))

    def environment(self) -> dict[str, str]:
        """What engines read from their environment: how they log, and how much state they may hold."""
        told: dict[str, str] = {}
        if self.log_format is not None:
            told |= {"LIMNAD_LOG_FORMAT": self.log_format, "LIMNAD_LOG_LEVEL": self.log_level}
        limit = self.state_limit or (self.memory and self.memory * 3 // 4)
        if limit:
            told[STATE_LIMIT] = str(int(limit))
        return told

    def options(self) -> Options:
        """What an agent makes of them."""
        host, _, port = self.listen.rpartition(":")
        ui_host, _, ui_port = (self.ui_address or "").rpartition(":")
        return Options(
            index=self.index,
            peers=self.peers,
            peers_dns=self.peers_dns,
            host=host,
            port=int(port),
            advertise=self.advertise,
            slots=self.slots,
            memory_bytes=self.memory,
            agents=self.agents or max(1, len(self.peers)),
            gather_s=self.gather,
            warm=1,
            spares=1,
            store=self.store,
            cache=self.cache,
            metrics_port=self.metrics_port,
            progress=Accumulation(self.progress),
            ui=(ui_host.strip("[]"), int(ui_port)) if self.ui_address else None,
        )


def load(arguments: Sequence[str]) -> Settings:
    """Reads flags, environment and file.

    Raises:
        ClusterError: A setting is wrong; says which, and where it came from is for the reader to see.
        SystemExit: The flags cannot be read, or help was asked for.
    """
    flags: CliSettingsSource[Any] = CliSettingsSource(Settings, cli_parse_args=list(arguments))
    given = {name: value for name, value in flags().items() if value is not None}
    try:
        if (file := given.get("config") or os.environ.get("LIMNAD_CONFIG")) and not Path(file).is_file():
            raise ClusterError(f"there is no configuration file {str(file)!r}")
        return Settings(**given)
    except ValidationError as error:
        raise ClusterError("; ".join(_sentence(problem) for problem in error.errors())) from None
    except (SettingsError, ValueError) as error:
        raise ClusterError(f"the settings cannot be read: {error}") from None


def _sentence(problem: Any) -> str:
    what = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return str(what)
    name = str(problem["loc"][0])
    return f"--{name.replace('_', '-')} (LIMNAD_{name.upper()}) is {problem['input']!r}: {what[0].lower()}{what[1:]}"
