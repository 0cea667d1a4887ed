# ruff: noqa: DTZ001, DTZ901 - a local datetime is a value like any other

import datetime as dt
import decimal
import enum
import pickle
import subprocess
import sys
import zoneinfo
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl
import pytest

from limnad.batch import CodecError, Encoding, decode, encode


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Event:
    name: str
    value: float


class Evil:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("somebody unpickled it",))


def same(left: Any, right: Any) -> Any:
    """Equal, with equal types all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, (set, frozenset)):
        return left == right and same(sorted(map(repr, left)), sorted(map(repr, right)))
    if isinstance(left, float):
        return repr(left) == repr(right)
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right)
    if isinstance(left, (dt.datetime, dt.time)):
        return left == right and left.fold == right.fold and repr(left.tzinfo) == repr(right.tzinfo)
    return left == right


FRAMES: list[tuple[Any, list[Any]]] = [
    (pl.Int128, [2**100, None]),
    (pl.UInt64, [2**64 - 1, 0]),
    (pl.Boolean, [True, None]),
    (pl.Float32, [1.5, float("inf")]),
    (pl.String, ["", "x" * 100, None]),
    (pl.Binary, [b"\0", None]),
    (pl.Categorical, ["a", None, "b"]),
    (pl.Enum(["a", "b"]), ["b", None]),
    (pl.Null, [None, None]),
    (pl.List(pl.Categorical), [["a"], None, []]),
    (pl.Array(pl.Int8, 2), [[1, 2], None]),
    (pl.Struct({"a": pl.Int8, "b": pl.Enum(["q"])}), [{"a": 1, "b": "q"}, None]),
    (pl.List(pl.Struct({"a": pl.List(pl.String)})), [[{"a": ["x"]}], []]),
    (pl.Decimal(10, 2), [decimal.Decimal("1.23")]),
    (pl.Date, [dt.date(2024, 1, 1)]),
    (pl.Datetime("ns", "Europe/Berlin"), [dt.datetime(2024, 1, 1)]),
    (pl.Duration("ms"), [dt.timedelta(1)]),
    (pl.Time, [dt.time(1)]),
]


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize(("dtype", "values"), FRAMES)
def test_frames_of_every_type_come_back(dtype: Any, values: Any, trusted: Any) -> None:
    for rows in (values, values[:0]):
        frame = pl.DataFrame({"x": pl.Series(rows, dtype=dtype)})
        back: Any = decode(*encode(frame), trusted=trusted)
        assert back.schema == frame.schema
        assert back.equals(frame)


@pytest.mark.parametrize("height", [0, 5])
def test_frames_without_columns_keep_their_height(height: Any) -> None:
    back: Any = decode(*encode(pl.DataFrame(height=height)))
    assert back.shape == (height, 0)


def test_chunked_and_sliced_frames_come_back() -> None:
    frame = pl.DataFrame({"a": range(10), "s": [f"a long enough string {i}" for i in range(10)]})
    chunked = pl.concat([frame, frame], rechunk=False).slice(5, 9)
    back: Any = decode(*encode(chunked))
    assert back.equals(chunked)


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([object()], dtype=pl.Object),
        pl.Series([[], []], dtype=pl.Array(pl.Int8, 0)),
        pl.Series([], dtype=pl.List(pl.Array(pl.Int8, 0))),
    ],
)
def test_columns_that_cannot_be_sent_are_refused_by_name(column: Any) -> None:
    with pytest.raises(TypeError, match="column 'bad'"):
        encode(pl.DataFrame({"bad": column}))


RECORDS = [
    [],
    [()],
    [(), (1,), (1, 2)],
    [1, -1, 2**63, 2**64 - 1, 2**64, -(2**63) - 1, 10**100],
    [True, 1, 1.0, None, "", b""],
    [("a", 1), ("b", 2)],
    [("a", 10**30), ("b", 2)],
    [(1, 2), [1, 2]],
    [[], [1], [[]], [[[]]], [()]],
    [{"a": 1}, {"b": 2, "a": None}, {}],
    [{"a": [1]}, {"b": {"c": (1, 2)}}, {}],
    [{1: 2, None: 3, (1, 2): 4, b"x": 5}],
    [{1, "a"}, set(), frozenset({(1, 2)}), frozenset()],
    [float("nan"), float("inf"), -float("inf"), -0.0, 5e-324],
    ["\ud800", "x\udfff", "ok"],
    [("\ud800", 1), ("b", 2)],
    [{"\ud800": "\udfff"}],
    [1 + 2j, -1j],
    [bytearray(b"abc"), bytearray()],
    [dt.date.min, dt.date.max],
    [dt.datetime.min, dt.datetime.max, dt.datetime(2024, 10, 27, 2, 30, fold=1)],
    [dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))],
    [dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-3, seconds=7), "somewhere"))],
    [dt.time(1, 2, 3, 4), dt.time(1, tzinfo=dt.UTC), dt.time(1, fold=1)],
    [dt.timedelta.min, dt.timedelta.max, dt.timedelta(0)],
    [decimal.Decimal(text) for text in ("1.00", "-0", "NaN", "sNaN12", "Infinity", "1e-400")][:2],
    [("x", decimal.Decimal("1.10"), dt.date(2024, 1, 1), None)] * 3,
    [np.int8(5), np.float32(1.5), np.bool_(True), np.str_("ü"), np.bytes_(b"x"), np.datetime64("2024-01-01", "us")],
    [np.arange(6).reshape(2, 3), np.array([], np.float32), np.zeros((2, 0)), np.array(["a", "bc"]), np.array(5)],
    [np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.array([1, 2], ">i4")],
    [((("deep",),),), ((("er", 1), [2]), {3: {4}})],
    ["a", 1, ("b", [None, {"c": {1.5}}]), dt.date(2024, 1, 1), 10**20],
]


@pytest.mark.parametrize("records", RECORDS, ids=range(len(RECORDS)))
@pytest.mark.parametrize("trusted", [False, True])
def test_records_come_back_with_their_types(records: Any, trusted: Any) -> None:
    encoding, data = encode(records, trusted=trusted)
    assert same(decode(encoding, data, trusted=trusted), records)
    if not trusted:
        assert encoding is Encoding.RECORDS


def test_signalling_decimals_come_back() -> None:
    records = [decimal.Decimal("sNaN12"), decimal.Decimal("-NaN"), decimal.Decimal("1e-400")]
    assert list(map(str, decode(*encode(records)))) == ["sNaN12", "-NaN", "1E-400"]


def test_arrays_that_come_back_can_be_written_to() -> None:
    records: Any = decode(*encode([np.arange(3)]))
    array = records[0]
    array[0] = 7
    assert array.tolist() == [7, 1, 2]


class Colour(enum.Enum):
    RED = 1


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "record",
    [
        Point(1, 2),
        Event("a", 1.0),
        Colour.RED,
        Text("x"),
        OrderedDict(a=1),
        np.ma.masked_array([1]),
        np.array([Point(1, 2)], object),
    ],
)
def test_values_of_other_classes_need_trust(record: Any) -> None:
    for records in ([record], [("key", record)], [[{"a": record}]]):
        with pytest.raises(TypeError, match=rf"{type(record).__qualname__}|object"):
            encode(records)


@pytest.mark.parametrize("record", [Point(1, 2), Event("a", 1.0), Colour.RED, Text("x"), OrderedDict(a=1)])
def test_engines_that_trust_each_other_send_any_class(record: Any) -> None:
    encoding, data = encode([record, ("key", record)], trusted=True)
    assert encoding is Encoding.PICKLED
    assert same(decode(encoding, data, trusted=True), [record, ("key", record)])


def test_plain_records_are_never_pickled() -> None:
    for records in ([("a", 1)], [{"a": None}], ["x"], [[1.5]], []):
        assert encode(records, trusted=True) == encode(records)


def test_classes_that_cannot_be_imported_are_refused_by_name() -> None:
    class Local:
        pass

    with pytest.raises(TypeError, match=r"Local.*top of a module"):
        encode([Local()], trusted=True)


def test_a_pickle_is_never_opened_without_trust() -> None:
    data = pickle.dumps([Evil()])
    with pytest.raises(CodecError, match="not trusted"):
        decode(Encoding.PICKLED, data)
    for encoding in (Encoding.FRAME, Encoding.RECORDS):
        with pytest.raises(CodecError):
            decode(encoding, data)


@pytest.mark.parametrize("data", [b"", b"junk", pickle.dumps([1])[:-3], pickle.dumps({"no": "list"})])
def test_broken_pickles_are_refused(data: Any) -> None:
    with pytest.raises(CodecError):
        decode(Encoding.PICKLED, data, trusted=True)


@pytest.mark.parametrize("encoding", [0, 4, -1, 255])
def test_unknown_encodings_are_refused(encoding: Any) -> None:
    with pytest.raises(CodecError, match=str(encoding)):
        decode(encoding, b"", trusted=True)


def test_records_that_hold_themselves_are_refused() -> None:
    record: list[Any] = [1]
    record.append(record)
    with pytest.raises(ValueError, match="holds itself"):
        encode([record])


def test_sixty_levels_come_back_and_seventy_are_refused() -> None:
    def nested(depth: Any) -> Any:
        return [nested(depth - 1), "x"] if depth else "core"

    assert decode(*encode([nested(60)])) == [nested(60)]
    with pytest.raises(ValueError, match="deeper than 64"):
        encode([nested(70)])


def pack(*column: Any) -> Any:
    return msgspec.msgpack.encode(column)


HOSTILE = {
    "nothing": b"",
    "junk": b"\xc1",
    "bytes after the end": pack(0, []) + b"\0",
    "no column": msgspec.msgpack.encode({"a": 1}),
    "unknown tag": pack(99, []),
    "a list that is said to be long": b"\x92\x00\xdd\xff\xff\xff\xff",
    "deep arrays": b"\x92\x00" + b"\x91" * 100_000,
    "deep columns": b"\x92\x04\x91" * 100_000,
    "rows that are no tuples": pack(1, [1]),
    "unhashable keys": pack(6, [1], (2, [[1]]), (0, [1])),
    "unhashable elements": pack(5, 2, [1], (2, [[1]])),
    "unknown container": pack(5, 17, [1], (0, [1])),
    "lengths beyond the elements": pack(5, 0, [2**60], (0, [1])),
    "negative lengths": pack(5, 0, [2, -1], (0, [1])),
    "huge lengths": pack(5, 0, [2**63, 2**63], (0, [])),
    "columns of two lengths": pack(4, [(0, [1, 2]), (0, [1])]),
    "keys without values": pack(6, [1], (0, [1]), (0, [])),
    "order beyond the columns": pack(8, b"\x07", [(0, [1])]),
    "order that is too short": pack(8, b"\0", [(0, [1, 2])]),
    "unknown type": pack(7, 99, (0, [1])),
    "a bytearray of any size": pack(7, 4, (0, [2**20])),
    "a day that is none": pack(7, 5, (0, [2**40])),
    "a datetime that is none": pack(7, 6, (0, ["2024-13-45T99:99:99"])),
    "a decimal that is none": pack(7, 9, (0, ["1" * 10 + "x"])),
    "a zone that is a path": pack(7, 7, (1, [[1, 2, 3, 4, 0, "../../etc/passwd"]])),
    "a zone that is none": pack(7, 7, (1, [[1, 2, 3, 4, 0, "No/Where"]])),
    "an array of objects": pack(7, 10, (1, [["|O", [1], b"\0" * 8]])),
    "an array of any size": pack(7, 10, (4, [(0, ["<i8"]), (1, [[2**60]]), (0, [b""])])),
    "an array of a size in place of bytes": pack(7, 10, (4, [(0, ["<i8"]), (1, [[2**17]]), (0, [2**20])])),
    "an expression for a type": pack(7, 11, (1, [["i4,(2,)O", b"\0" * 8]])),
    "a scalar without bytes": pack(7, 11, (1, [["<i8", b""]])),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_records_are_refused(name: Any) -> None:
    with pytest.raises(CodecError):
        decode(Encoding.RECORDS, HOSTILE[name])


def arrow() -> Any:
    categories = pl.Series(["p", "q"], dtype=pl.Categorical)
    return encode(pl.DataFrame({"a": [1, None], "s": ["x", "y" * 30], "c": categories}))[1]


def test_every_truncation_of_a_frame_is_refused() -> None:
    data = arrow()
    for size in range(len(data)):
        with pytest.raises(CodecError):
            decode(Encoding.FRAME, data[:size])


def test_bytes_after_a_frame_are_refused() -> None:
    with pytest.raises(CodecError, match="after the end"):
        decode(Encoding.FRAME, arrow() + b"\0")


@pytest.mark.parametrize("trusted", [False, True])
def test_broken_frames_are_refused_even_from_the_trusted(trusted: Any) -> None:
    for data in (b"", b"junk", b"\0" * 64, arrow()[:100]):
        with pytest.raises(CodecError):
            decode(Encoding.FRAME, data, trusted=trusted)


@pytest.mark.parametrize(
    ("number", "forged", "fault"),
    [
        (7919, 2**32, "impossible number of rows|impossible length"),
        (7919, -1, "impossible number of rows|impossible length"),
        (7919 * 8, 2**40, "beyond its body"),
        (7919 * 8, -1, "beyond its body"),
    ],
)
def test_forged_lengths_in_a_frame_are_refused(number: int, forged: int, fault: str) -> None:
    data = encode(pl.DataFrame({"a": range(7919)}))[1]
    genuine = number.to_bytes(8, "little")
    position = data.find(genuine)
    found = 0
    while 0 <= position < 1000:  # Behind come the values.
        with pytest.raises(CodecError, match=fault):
            decode(Encoding.FRAME, data[:position] + forged.to_bytes(8, "little", signed=True) + data[position + 8 :])
        found += 1
        position = data.find(genuine, position + 1)
    assert found


FUZZ = """
import random, resource
import polars as pl
from limnad.batch import CodecError, decode, encode

resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
random.seed(7)
frames = [
    pl.DataFrame({"i": [1, 2, None], "s": ["a" * 20, "b", None], "b": [b"", b"long" * 10, None], "n": [None] * 3}),
    pl.DataFrame({"l": [[1, 2], [], None], "ll": [[["a"]], [[]], None], "st": [{"a": 1, "b": "x"}] * 3}),
    pl.DataFrame({"c": ["x", "y"], "e": ["x", "y"]}, schema={"c": pl.Categorical, "e": pl.Enum(["x", "y"])}),
    pl.DataFrame({"a": pl.Series([[1, 2]], dtype=pl.Array(pl.Int8, 2)), "f": [True]}),
]
outcomes = {True: 0, False: 0}

def attempt(data):
    try:
        decode(1, bytes(data)).estimated_size()
        outcomes[True] += 1
    except CodecError:
        outcomes[False] += 1

for round in range(3000):
    data = bytearray(encode(frames[round % len(frames)])[1])
    for _ in range(random.choice((1, 1, 2, 4))):
        data[random.randrange(len(data))] = random.choice((0, 1, 127, 128, 255, random.randrange(256)))
    attempt(data)
for frame in frames:
    whole = encode(frame)[1]
    for position in range(0, len(whole), 8):
        for forged in (-1, 1 << 31, 1 << 40, 1 << 62):
            attempt(whole[:position] + forged.to_bytes(8, "little", signed=True) + whole[position + 8:])
assert min(outcomes.values()) > 100, outcomes
"""


def test_no_damaged_frame_ends_the_process() -> None:
    """Without the guard some forged lengths abort the process, which only a process of its own survives to tell."""
    done = subprocess.run(
        [sys.executable, "-c", FUZZ],
        env={"PYTHONPATH": ":".join(sys.path), "POLARS_MAX_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-2000:]


TWO_THREADS = """
import faulthandler, threading
import polars as pl
from limnad.batch import encode

faulthandler.dump_traceback_later(60, exit=True)
frame = pl.DataFrame({"a": range(1000)})
threads = [threading.Thread(target=lambda: [encode(frame) for _ in range(1000)]) for _ in range(2)]
for thread in threads:
    thread.start()
while any(thread.is_alive() for thread in threads):
    frame.select("a")
"""


def test_a_frame_may_be_encoded_while_others_use_it() -> None:
    """In a process of its own: Polars' lock and Python's, each waiting for the other, would stop this one for ever."""
    done = subprocess.run([sys.executable, "-c", TWO_THREADS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
