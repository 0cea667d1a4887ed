"""Bearer tokens: whoever has one is a client of the cluster.

A file holds one a line; an empty line, and what begins with ``#``, is none. It is read again when it changes, so that
tokens come and go under a cluster that runs.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from limnad_proto.rereading import Rereading

MIN_LENGTH = 16
"""Of a token: what is shorter may be guessed."""

METADATA = "authorization"
"""Under which a call carries its token."""


class Tokens:
    """The tokens that are let in. While the file cannot be used, nobody is.

    Args:
        file: See the module.

    Raises:
        ValueError: It cannot be read, or holds no tokens; says why.
    """

    def __init__(self, file: str | Path) -> None:
        try:
            self._tokens: Rereading[Sequence[str]] = Rereading(
                [file], lambda contents: _parsed(contents[0], str(file)), fallback=()
            )
        except OSError as error:
            raise ValueError(f"the file of tokens {str(file)!r} cannot be read: {error.strerror}") from None

    def admit(self, token: str) -> bool:
        """Whether a token is one of them, in a time that tells nothing about them."""
        asked = _digest(token)
        matches = [hmac.compare_digest(asked, _digest(known)) for known in self._tokens.get()]
        return any(matches)

    @property
    def first(self) -> str:
        """What this process itself shows to others; empty: there is none now."""
        return next(iter(self._tokens.get()), "")


def bearer(metadata: Mapping[str, Any]) -> str:
    """The token of a call; empty: it has none."""
    scheme, _, token = str(metadata.get(METADATA, "")).partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def as_metadata(token: str) -> tuple[tuple[str, str], ...]:
    """What a call is made with."""
    return ((METADATA, f"Bearer {token}"),) if token else ()


def can_be_sent(token: str) -> bool:
    """Whether it is such that a header can have it: ASCII without spaces.

    >>> can_be_sent("s3cret"), can_be_sent("two words"), can_be_sent("süß")
    (True, False, False)
    """
    return all("!" <= letter <= "~" for letter in token)


def _digest(token: str) -> bytes:
    """All of one length, whatever the tokens are."""
    return hashlib.sha256(token.encode()).digest()


def _parsed(content: bytes, file: str) -> Sequence[str]:
    tokens = []
    for number, line in enumerate(content.decode("ascii", errors="replace").splitlines(), 1):
        token = line.strip()
        if not token or token.startswith("#"):
            continue
        if len(token) < MIN_LENGTH or not can_be_sent(token):
            raise ValueError(
                f"the token in line {number} of {file} is none: it has {MIN_LENGTH} letters or more, all of ASCII and "
                "none a space"
            )
        tokens.append(token)
    if not tokens:
        raise ValueError(f"{file} holds no token")
    return tuple(tokens)
