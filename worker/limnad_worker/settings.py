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
from limnad_proto.loopback import is_loopback
from limnad_proto.tls import DEFAULT_DOMAIN
from limnad_proto.variables import DATA_PLANE, TLS_CA, TLS_CERT, TLS_DOMAIN, TLS_KEY
from limnad_worker.admission import MAX_CALLS, MAX_MESSAGE_BYTES
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
    client_listen: str | None = Field(
        None,
        description="HOST:PORT to serve clients on; by default with TLS the port after that of --listen, without TLS "
        "the same.",
    )
    health_listen: str | None = Field(
        None, description="HOST:PORT to serve health on, alone and in plain text, for probes that speak no TLS."
    )
    tls_cert: Path | None = Field(None, description="This agent's certificate (PEM), with its role among the names.")
    tls_key: Path | None = Field(None, description="Its key.")
    tls_ca: Path | None = Field(None, description="The authorities that others' certificates are checked against.")
    tls_domain: str = Field(DEFAULT_DOMAIN, description="What stands behind the role in certificates.")
    data_plane: Literal["mtls", "plain"] = Field(
        "mtls", description="`plain`: data and progress between engines go in plain text, though the rest does not."
    )
    token_file: Path | None = Field(
        None, description="The tokens of clients, one a line; by default clients need none."
    )
    insecure: bool = Field(False, description="Listen beyond loopback without TLS, without tokens, or without both.")
    max_message: ByteSize = Field(ByteSize(MAX_MESSAGE_BYTES), gt=0, description="The largest message of a client.")
    max_calls: int = Field(MAX_CALLS, ge=1, description="How many calls one client may have at once.")
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
    coordinator: str = Field(
        "", description="HOST:PORT of a coordinator that all jobs share; by default each job has a process of its own."
    )
    shared_paths: bool = Field(
        False, description="Take jobs by a path that all agents can read, such as a file of their image, too."
    )
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="Where the leader serves metrics for Prometheus; 0: any port."
    )
    metrics_open: bool = Field(
        False, description="Serve metrics in plain text and without a token, whatever the rest is."
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

    @field_validator("listen", "client_listen", "health_listen", "ui_address", mode="after")
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

    @model_validator(mode="after")
    def _is_closed_to_strangers(self) -> Settings:
        has_tls = [file is not None for file in (self.tls_cert, self.tls_key, self.tls_ca)]
        if any(has_tls) and not all(has_tls):
            raise ValueError("--tls-cert, --tls-key and --tls-ca belong together: give all three, or none")
        missing = [] if all(has_tls) else ["TLS (--tls-cert, --tls-key and --tls-ca; limnad cluster certs makes them)"]
        missing += [] if self.token_file is not None else ["tokens (--token-file)"]
        if missing and not self.insecure and (where := self._beyond_loopback()):
            raise ValueError(
                f"this agent would be open to all who reach {where}: give it {' and '.join(missing)}, or say "
                "--insecure if its network is yours alone"
            )
        return self

    def _beyond_loopback(self) -> str:
        """Where it is to listen for others than this machine; empty: nowhere."""
        named = {"--listen": self.listen, "--client-listen": self.client_listen, "--ui-address": self.ui_address}
        hosts = {flag: _split_address(address)[0] for flag, address in named.items() if address}
        hosts["--advertise"] = self.advertise or hosts["--listen"]  # Engines listen there.
        return ", ".join(f"{host} ({flag})" for flag, host in hosts.items() if not is_loopback(host))

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
        """What this process and its engines read from their environment: of logs, of state, of TLS."""
        told: dict[str, str] = {}
        if self.log_format is not None:
            told |= {"LIMNAD_LOG_FORMAT": self.log_format, "LIMNAD_LOG_LEVEL": self.log_level}
        limit = self.state_limit or (self.memory and self.memory * 3 // 4)
        if limit:
            told[STATE_LIMIT] = str(int(limit))
        if self.tls_cert is not None:
            # Absolute: a job may change its folder.
            files = zip((TLS_CERT, TLS_KEY, TLS_CA), (self.tls_cert, self.tls_key, self.tls_ca), strict=True)
            told |= {name: str(file.absolute()) for name, file in files if file is not None}
            told |= {TLS_DOMAIN: self.tls_domain, DATA_PLANE: self.data_plane}
        return told

    def options(self) -> Options:
        """What an agent makes of them."""
        host, _, port = self.listen.rpartition(":")
        clients = self.client_listen
        if clients is None and self.tls_cert is not None:
            clients = f"{host}:{int(port) + 1 if int(port) else 0}"
        return Options(
            index=self.index,
            peers=self.peers,
            peers_dns=self.peers_dns,
            host=host,
            port=int(port),
            clients=_split_address(clients) if clients else None,
            probes=_split_address(self.health_listen) if self.health_listen else None,
            token_file=self.token_file,
            insecure=self.insecure,
            max_message_bytes=self.max_message,
            max_calls=self.max_calls,
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
            metrics_open=self.metrics_open,
            progress=Accumulation(self.progress),
            coordinator=self.coordinator,
            shared_paths=self.shared_paths,
            ui=None if self.ui_address is None else _bare(*_split_address(self.ui_address)),
        )


def _split_address(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _bare(host: str, port: int) -> tuple[str, int]:
    return host.strip("[]"), port


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
