"""An engine's side of pushes: hands rows to the readers of hand-fed inputs.

Without a store a push is simply taken. With one it comes twice: to be checked, and then, when it is in the input's log,
as the entry of an offset. Entries that lie behind a checkpoint come as they are in the log.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from limnad.batch import decode
from limnad.cluster.inputs import Inputs, SourceFailure
from limnad.connectors.hand import HandReader
from limnad.errors import InputError
from limnad_proto.v1 import control_pb2 as wire

WAITING_BYTES = 64 << 20
"""With so much not read yet an input takes nothing more: whoever pushes waits, like any source."""


class Taking:
    """Takes what is pushed, in order.

    Args:
        waiting_bytes: See `WAITING_BYTES`.
    """

    def __init__(self, waiting_bytes: int = WAITING_BYTES) -> None:
        self._checked: dict[str, dict[int, Any]] = {}
        self._waiting_bytes = waiting_bytes
        self._later: dict[str, deque[wire.Push]] = {}

    def push(self, push: wire.Push) -> None:
        """Something was pushed."""
        self._later.setdefault(push.input, deque()).append(push)

    def answers(self, inputs: Inputs) -> list[wire.Pushed]:
        """Takes what the inputs have room for; what is to be answered.

        Raises:
            SourceFailure: An entry of a log cannot be taken.
        """
        found: list[wire.Pushed] = []
        for name, pushes in self._later.items():
            while pushes and _waiting(inputs, name) < self._waiting_bytes:
                found.append(self.take(inputs, pushes.popleft()))
        return found

    def take(self, inputs: Inputs, push: wire.Push) -> wire.Pushed:
        """Does what a push asks for; returns the answer.

        Raises:
            SourceFailure: An entry of a log cannot be taken.
        """
        if push.HasField("offset"):
            self._entry(inputs, push)
            return wire.Pushed(input=push.input, offset=push.offset)
        error = ""
        try:
            reader = _reader(inputs, push.input)
            if push.check:
                self._checked.setdefault(push.input, {})[push.request] = _check(reader, push)
            else:
                _feed(reader, _check(reader, push))
        except (ValueError, KeyError) as problem:
            error = str(problem.args[0] if problem.args else problem)
        return wire.Pushed(request=push.request, error=error)

    def _entry(self, inputs: Inputs, push: wire.Push) -> None:
        checked = self._checked.get(push.input, {})
        kept = checked.pop(push.request, None)
        for number in [number for number in checked if number < push.request]:
            del checked[number]  # They did not get into the log.
        try:
            reader = _reader(inputs, push.input)
            if push.offset < reader.offset:
                return
            if push.offset > reader.offset:
                raise InputError(f"entry {push.offset} of the log came, but {reader.offset} should")
            _feed(reader, _check(reader, push) if push.WhichOneof("action") else kept)
        except (ValueError, KeyError) as problem:
            raise SourceFailure(push.input, "by hand") from problem


def _reader(inputs: Inputs, name: str) -> HandReader:
    reader = inputs.reader(name)
    if not isinstance(reader, HandReader):
        raise ValueError(f"the input {name!r} is read from a source, not fed by hand")
    return reader


def _waiting(inputs: Inputs, name: str) -> int:
    try:
        return _reader(inputs, name).waiting_bytes
    except (KeyError, ValueError):  # Whoever pushes is told so.
        return 0


def _check(reader: HandReader, push: wire.Push) -> tuple[str, Any]:
    """What to feed, or why not; changes nothing."""
    match push.WhichOneof("action"):
        case "rows":
            return "rows", reader.check_rows(decode(push.rows.encoding, push.rows.payload))
        case "advance_to":
            reader.check_epoch(push.advance_to)
            return "advance_to", push.advance_to
        case "reopen":
            reader.check_open()
            return "reopen", push.reopen
        case _:
            reader.check_open()
            return "close", None


def _feed(reader: HandReader, checked: tuple[str, Any]) -> None:
    match checked:
        case ("rows", batch):
            reader.on_next(batch)
        case ("advance_to", epoch):
            reader.advance_to(epoch)
        case ("reopen", epoch):
            reader.reopen(epoch)
        case _:
            reader.close()
