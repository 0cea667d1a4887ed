"""`DataBatch` messages written and read without copying the payload more often than gRPC itself does.

The generated class would copy every batch once more on either side, which costs a third of the throughput of a stream.
The bytes are the same as its own; the tests hold them against each other.
"""

from dataclasses import dataclass

from limnad.timely.timestamp import Timestamp

MARKER = 4
"""The encoding that says: no batch, but the marker of the checkpoint whose number stands in the place of the time."""

_SEQUENCE, _CONNECTOR, _TIME, _ENCODING, _PAYLOAD = 0x08, 0x10, 0x1A, 0x20, 0x2A


class FrameError(ValueError):
    """The bytes are not a `DataBatch` as `pack` writes it."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A `DataBatch` that was read; the payload is a view into what was received."""

    sequence: int
    connector: int
    time: Timestamp
    encoding: int
    payload: memoryview


def pack(sequence: int, connector: int, time: Timestamp, encoding: int, payload: bytes | memoryview) -> bytes:
    """The bytes of the message.

    >>> unpack(pack(300, 2, (1, 0), 1, b"abc")).time
    (1, 0)
    """
    coordinates = b"".join(map(_varint, time))
    head = bytearray()
    for tag, value in ((_SEQUENCE, sequence), (_CONNECTOR, connector)):
        if value:
            head.append(tag)
            head += _varint(value)
    head.append(_TIME)
    head += _varint(len(coordinates)) + coordinates
    head.append(_ENCODING)
    head += _varint(encoding)
    head.append(_PAYLOAD)
    head += _varint(len(payload))
    return b"".join((head, payload))


def unpack(message: bytes) -> Frame:
    """Reads what `pack` has written.

    Raises:
        FrameError: It is something else.
    """
    fields = {_SEQUENCE: 0, _CONNECTOR: 0, _ENCODING: 0}
    time: list[int] = []
    place = 0
    try:
        while True:
            tag = message[place]
            value, place = _read_varint(message, place + 1)
            if tag == _PAYLOAD:
                payload = memoryview(message)[place : place + value]
                if len(payload) != value or place + value != len(message):
                    raise FrameError("the payload is cut off")
                return Frame(fields[_SEQUENCE], fields[_CONNECTOR], tuple(time), fields[_ENCODING], payload)
            if tag == _TIME:
                end = place + value
                while place < end:
                    coordinate, place = _read_varint(message, place)
                    time.append(coordinate)
            elif tag in fields:
                fields[tag] = value
            else:
                raise FrameError(f"no field has the tag {tag}")
    except IndexError:
        raise FrameError("the message ends before its payload") from None


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    value = message[place]
    if value < 0x80:
        return value, place + 1
    value &= 0x7F
    shift = 7
    while True:
        place += 1
        byte = message[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
