"""From a URL to a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from limnad.store.compression import Compression
from limnad.store.directory import DirectoryStore
from limnad.store.errors import BadUrl, StoreError
from limnad.store.interface import Store

ALLOWED: Final = (
    "Allowed are dir:PATH, redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss://... (TLS) and "
    "unix://[USER:PASSWORD@]/PATH/TO/SOCKET[?db=DB], each with ?compress=auto|always|never; a Redis also with prefix=, "
    "timeout_s= (for one answer, default 5) and patience_s= (for all attempts, default 15)"
)
_REDIS_OPTIONS: Final = {"compress", "prefix", "timeout_s", "patience_s"}


@dataclass(frozen=True, slots=True)
class Address:
    """A URL taken apart.

    Attributes:
        shown: The URL as it may be shown to anybody.
        path: The folder; None: it is a Redis.
        arguments: For `redis.Redis`; a password may be among them.
        options: What stood behind the question mark.
    """

    shown: str
    path: str | None
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def compression(self) -> Compression:
        """When to compress."""
        return Compression(self.options.get("compress", "auto"))


def open_store(url: str) -> Store:
    """Opens a store.

    Args:
        url: `dir:PATH` or a Redis; see `ALLOWED`.

    Raises:
        BadUrl: It is neither, or wrong in itself.
        Unavailable: It cannot be reached.
        Unsafe: It could lose what it is given.
        StoreError: It refuses us.
    """
    address = parse(url)
    if address.path is not None:
        return DirectoryStore(address.path, address.compression)
    try:
        from limnad.store.redis_link import Timing
        from limnad.store.redis_store import RedisStore
    except ModuleNotFoundError as error:
        raise StoreError(
            f"{address.shown} needs a package that is not installed: pip install 'limnad[redis]'"
        ) from error
    given = {name: _seconds(name, value) for name, value in address.options.items() if name.endswith("_s")}
    prefix = address.options.get("prefix", "limnad")
    return RedisStore(address.shown, address.arguments, prefix, Timing(**given), address.compression)


def parse(url: str) -> Address:
    """Takes a URL apart; connects to nothing.

    >>> parse("redis://ann:secret@example.org/3?prefix=mine").shown
    'redis://ann@example.org:6379/3?prefix=mine'

    Raises:
        BadUrl: See `open_store`.
    """
    scheme, colon, rest = url.partition(":")
    if not colon or scheme not in ("dir", "redis", "rediss", "unix"):
        raise BadUrl(f"a store's URL begins with dir:, redis:, rediss: or unix:, not with {scheme[:20]!r}. {ALLOWED}")
    if scheme == "dir":
        path, _, query = rest.partition("?")
        if not path:
            raise BadUrl(f"dir: names no folder. {ALLOWED}")
        return Address(url, path, options=_options(query, {"compress"}))
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # What stands there may be half a password: it is not repeated.
        raise BadUrl(
            f"this {scheme} URL's host or port cannot be read: write special characters of a password as %XX. {ALLOWED}"
        ) from None
    return _unix(parts) if scheme == "unix" else _redis(parts, port or 6379)


def _redis(parts: SplitResult, port: int) -> Address:
    if not parts.hostname:
        raise BadUrl(f"this {parts.scheme} URL names no host. {ALLOWED}")
    options = _options(parts.query, _REDIS_OPTIONS)
    database = _database(parts.path.strip("/") or "0")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    shown = f"{parts.scheme}://{_user(parts)}{host}:{port}/{database}{_query(parts)}"
    arguments = {"host": parts.hostname, "port": port, "db": database, **_credentials(parts)}
    return Address(shown, None, arguments | ({"ssl": True} if parts.scheme == "rediss" else {}), options)


def _unix(parts: SplitResult) -> Address:
    if parts.hostname or not parts.path.startswith("/"):
        raise BadUrl(f"a unix URL has three slashes and the whole path of a socket: unix:///run/redis.sock. {ALLOWED}")
    options = _options(parts.query, _REDIS_OPTIONS | {"db"})
    database = _database(options.get("db", "0"))
    arguments = {"unix_socket_path": unquote(parts.path), "db": database, **_credentials(parts)}
    return Address(f"unix://{_user(parts)}{parts.path}{_query(parts)}", None, arguments, options)


def _credentials(parts: SplitResult) -> dict[str, str]:
    given = {"username": parts.username, "password": parts.password}
    return {name: unquote(value) for name, value in given.items() if value}


def _user(parts: SplitResult) -> str:
    return f"{parts.username}@" if parts.username else ""


def _query(parts: SplitResult) -> str:
    return f"?{parts.query}" if parts.query else ""


def _database(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise BadUrl(f"behind the host stands the number of a Redis database, and nothing else. {ALLOWED}")
    return int(text)


def _options(query: str, known: set[str]) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        if name not in known:
            raise BadUrl(f"there is no option {name!r}; here are {', '.join(sorted(known))}. {ALLOWED}")
        if name == "compress" and value not in (kind.value for kind in Compression):
            raise BadUrl(f"compress is auto, always or never, not {value!r}. {ALLOWED}")
        if name == "prefix" and (not value.isprintable() or not value or set(value) & set("{}: ")):
            raise BadUrl(
                f"prefix begins Redis keys: some text without braces, colons and spaces, not {value!r}. {ALLOWED}"
            )
        if name.endswith("_s"):
            _seconds(name, value)
    return options


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e6:
        raise BadUrl(f"{name} is a number of seconds, more than none, not {value!r}. {ALLOWED}")
    return seconds
