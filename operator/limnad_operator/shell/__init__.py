"""The shell: it watches, asks leaders, and carries out plans; on one asyncio loop. It decides nothing."""

from limnad_operator.shell.acting import Actor
from limnad_operator.shell.leaders import Credentials, Leaders
from limnad_operator.shell.operator import Operator
from limnad_operator.shell.views import Cache, Key

__all__ = ["Actor", "Cache", "Credentials", "Key", "Leaders", "Operator"]
