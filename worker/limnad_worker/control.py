"""An engine's line to its agent: what it says goes into a queue, what it is told comes into its inbox."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any

import grpc

from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import control_pb2_grpc
from limnad_worker.links import CHANNEL_OPTIONS, Inbox


class AgentLost:
    """The agent is gone: nobody is left to work for."""


class Control:
    """The stream to the agent.

    Args:
        address: Where the agent listens.
        inbox: Where `ToEngine` messages go, and in the end one `AgentLost`.
    """

    def __init__(self, address: str, inbox: Inbox) -> None:
        self._inbox = inbox
        self._outgoing: SimpleQueue[wire.FromEngine | None] = SimpleQueue()
        self._channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        stub = control_pb2_grpc.ControlStub(self._channel)
        self._call: Any = stub.Attach(iter(self._outgoing.get, None))
        self._reader = threading.Thread(target=self._read, name="control", daemon=True)
        self._reader.start()

    def send(self, **message: Any) -> None:
        """Sends one `FromEngine` with this field."""
        self._outgoing.put(wire.FromEngine(**message))

    def close(self) -> None:
        """Says all that is queued, then hangs up."""
        self._outgoing.put(None)
        self._reader.join(timeout=5)
        self._channel.close()

    def _read(self) -> None:
        try:
            for message in self._call:
                self._inbox.put(message)
        except grpc.RpcError:
            pass
        self._inbox.put(AgentLost())
