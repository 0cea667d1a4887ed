"""How commands reach a cluster: where it is, and how they prove who they are. The same options for each of them."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from limnad.cli.local_cluster import open_client, running

if TYPE_CHECKING:
    from limnad.client import Client

_PANEL = "Cluster"

Cluster = Annotated[
    str | None,
    typer.Option(
        envvar="LIMNAD_CLUSTER",
        metavar="HOST:PORT",
        help="The cluster's leader, where it serves clients.",
        show_default="this machine's cluster",
        rich_help_panel=_PANEL,
    ),
]
TokenFile = Annotated[
    str | None,
    typer.Option(
        envvar="LIMNAD_TOKEN_FILE",
        metavar="FILE",
        help="Whose first line is the token to send; or set LIMNAD_TOKEN to the token.",
        rich_help_panel=_PANEL,
    ),
]
TlsCa = Annotated[
    str | None,
    typer.Option(
        envvar="LIMNAD_TLS_CA",
        metavar="FILE",
        help="Speak TLS, and check the leader's certificate against these authorities (PEM).",
        rich_help_panel=_PANEL,
    ),
]
TlsName = Annotated[
    str | None,
    typer.Option(
        envvar="LIMNAD_TLS_NAME",
        metavar="NAME",
        help="The name that its certificate has to have.",
        show_default="the host of the address",
        rich_help_panel=_PANEL,
    ),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure",
        envvar="LIMNAD_INSECURE",
        help="Send a token in plain text to another machine.",
        rich_help_panel=_PANEL,
    ),
]


@dataclass(frozen=True, slots=True)
class Reach:
    """What a command was told of its cluster. Without an address it is that of this machine, which says the rest."""

    cluster: Cluster = None
    token_file: TokenFile = None
    tls_ca: TlsCa = None
    tls_name: TlsName = None
    insecure: Insecure = False

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Reach:
        """From a command's parameters."""
        return cls(**{field.name: given[field.name] for field in fields(cls) if given.get(field.name) is not None})

    def open(self) -> Client:
        """A client.

        Raises:
            ClusterError: There is no cluster, or it may not be spoken to like this.
        """
        from limnad.client import Client, Tls

        if self.cluster is None:
            return open_client(running())
        return Client(
            self.cluster,
            token=os.environ.get("LIMNAD_TOKEN") if self.token_file is None else None,
            token_file=self.token_file,
            tls=Tls(self.tls_ca, self.tls_name) if self.tls_ca is not None else None,
            insecure=self.insecure,
        )


def reaching(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command that takes a `Reach`, as its parameter ``reach``, one option for each part of it."""
    kept = [each for each in _parameters(command) if each.name != "reach"]
    options = _parameters(Reach)

    @functools.wraps(command)
    def called(**given: Any) -> None:
        told = {each.name: given.pop(each.name) for each in options}
        command(**given, reach=Reach.of(told))

    expanded = [*kept, *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in options)]
    called.__signature__ = inspect.Signature(expanded)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in expanded}
    return called


def _parameters(of: Callable[..., Any]) -> list[inspect.Parameter]:
    """With their annotations as objects: as text they mean something in one module only."""
    hints = get_type_hints(of, include_extras=True)
    return [each.replace(annotation=hints[each.name]) for each in inspect.signature(of).parameters.values()]
