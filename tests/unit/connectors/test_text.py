"""Lines of text files."""

import os
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from limnad.connectors import EpochRule, TextFiles, by_file, by_size, by_time, files, splits
from limnad.errors import InputError
from limnad.timely.source import End, Idle, Rows
from tests.helpers.sources import Clock, epochs_of, pairs, read_all, rows_of, stored, until_pause


def text(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("reader", ["polars", "split"])
@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a\nb\n", ["a", "b"]),
        (b"a\n\nb", ["a", "", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\r\n\r\n", ["a", ""]),
        (b"a\rb\n", ["a\rb"]),
        (b"a\0b\n\0\n", ["a\0b", "\0"]),
        ("é\u2028x\x0b\x0c\x85\n".encode(), ["é\u2028x\x0b\x0c\x85"]),
        (b'"a\nb"\n', ['"a', 'b"']),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]),
        (b"\xef\xbb\xbf", []),
    ],
)
def test_what_a_line_is(
    data: bytes, lines: list[str], reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reader == "split":
        monkeypatch.setattr(files, "_READ_LINES", None)
    assert rows_of(TextFiles(text(tmp_path / "a.txt", data))) == [(line,) for line in lines]


def test_a_file_does_not_run_into_the_next(tmp_path: Path) -> None:
    paths = [text(tmp_path / "1.txt", b"a"), text(tmp_path / "2.txt", b""), text(tmp_path / "3.txt", b"b\n")]
    assert rows_of(TextFiles(paths)) == [("a",), ("b",)]
    assert rows_of(TextFiles(paths, include_path=True)) == [(str(paths[0]), "a"), (str(paths[2]), "b")]


def test_every_batch_has_the_schema(tmp_path: Path) -> None:
    for include_path in (False, True):
        source = TextFiles(text(tmp_path / "a.txt", b"a\nb\n"), include_path=include_path)
        answers, _ = until_pause(source.open(source.partitions()[0], None))
        assert [answer.batch.schema for answer in answers] == [source.schema]


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    paths = [text(tmp_path / "1.txt", b"good\n"), text(tmp_path / "2.txt", b"a\nb\xff\n")]
    with pytest.raises(InputError, match=r"2\.txt, byte 3 is not UTF-8"):
        rows_of(TextFiles(paths))
    assert rows_of(TextFiles(paths, errors="replace")) == [("good",), ("a",), ("b\ufffd",)]
    assert rows_of(TextFiles(paths, encoding="latin-1")) == [("good",), ("a",), ("bÿ",)]
    for encoding in ("utf-16", "klingon"):
        with pytest.raises(InputError, match=encoding):
            TextFiles(paths, encoding=encoding)


def test_a_large_file_is_cut_and_every_line_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "MIN_PARTITION", 1)
    lines = [f"line {number} {'x' * (number % 40)}" for number in range(500)]
    source = TextFiles(text(tmp_path / "a.txt", "\n".join(lines).encode()), splits=7, batch_bytes=200)
    assert len(source.partitions()) == 7
    assert [line for (line,) in rows_of(source)] == lines


def test_a_file_that_shrank_after_the_flow_was_built_is_an_error(tmp_path: Path) -> None:
    path = text(tmp_path / "a.txt", b"a\nb\nc\n")
    source = TextFiles(path)
    path.write_bytes(b"a\n")
    with pytest.raises(InputError, match="shorter than the 6 bytes"):
        rows_of(source)
    path.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        rows_of(source)


def test_a_position_of_other_files_is_refused(tmp_path: Path) -> None:
    text(tmp_path / "1.txt", b"a\nb\n")
    source = TextFiles(tmp_path, batch_bytes=1)
    reader = source.open(source.partitions()[0], None)
    reader.read()
    text(tmp_path / "0.txt", b"zero\n")
    changed = TextFiles(tmp_path, batch_bytes=1)
    with pytest.raises(InputError, match="not those"):
        changed.open(changed.partitions()[0], stored(reader.position()))


def test_epochs_by_file_count_the_empty_files(tmp_path: Path) -> None:
    paths = [text(tmp_path / f"{n}.txt", data) for n, data in enumerate([b"a\n", b"", b"b\nc\n", b""])]
    source = TextFiles(paths, epochs=by_file())
    assert read_all(source) == [(0, ("a",)), (2, ("b",)), (2, ("c",))]
    assert epochs_of(source) == 4


def test_an_epoch_by_size_takes_the_rows_that_begin_in_its_chunk(tmp_path: Path) -> None:
    source = TextFiles(text(tmp_path / "a.txt", b"abc\nde\nfghijklmnop\nq\n"), epochs=by_size(6))
    assert read_all(source) == [(0, ("abc",)), (0, ("de",)), (1, ("fghijklmnop",)), (3, ("q",))]


def test_a_followed_file_gives_whole_lines_and_never_ends(tmp_path: Path) -> None:
    path, clock = text(tmp_path / "a.log", b"a\nunfin"), Clock()
    source = TextFiles(path, follow=True, epochs=epoch_a_second(clock))
    reader = source.open(source.partitions()[0], None)
    assert pairs(until_pause(reader)[0]) == [(0, ("a",))]
    with path.open("ab") as file:
        file.write(b"ished\nb\nc")
    assert pairs(until_pause(reader)[0]) == [(0, ("unfinished",)), (0, ("b",))]
    assert reader.read() == Idle(0.1)
    clock.now_s = 2.5
    assert reader.read() == Rows(2), "epochs end also when there are no rows"
    assert reader.read() == Idle(0.1)
    later = source.open(source.partitions()[0], stored(reader.position()))
    with path.open("ab") as file:
        file.write(b"\n")
    assert pairs(until_pause(later)[0]) == [(2, ("c",))]


def epoch_a_second(clock: Clock) -> EpochRule:
    return replace(by_time(1.0), clock=clock)


def test_a_followed_file_that_is_cut_or_replaced_is_an_error(tmp_path: Path) -> None:
    def rotated(path: Path) -> None:
        path.rename(path.with_suffix(".1"))
        path.write_bytes(b"new 1\nnew 2\n")

    def truncated(path: Path) -> None:
        path.write_bytes(b"")

    for change in (rotated, truncated):
        path = text(tmp_path / f"{change.__name__}.log", b"a\nb\n")
        source = TextFiles(path, follow=True)
        reader = source.open(source.partitions()[0], None)
        reader.read()
        position = stored(reader.position())
        change(path)
        with pytest.raises(InputError, match="cut or replaced"):
            reader.read()
        with pytest.raises(InputError, match="cut or replaced"):
            source.open(source.partitions()[0], position).read()


def test_options_that_make_no_sense(tmp_path: Path) -> None:
    path = text(tmp_path / "a.txt", b"a\n")
    with pytest.raises(InputError, match="by_time"):
        TextFiles(path, follow=True, epochs=by_file())
    for option in ({"splits": 0}, {"batch_bytes": 0}, {"errors": "ignore"}):
        with pytest.raises(InputError, match=next(iter(option))):
            TextFiles(path, **option)


def test_files_are_found_once_and_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.txt", "a.txt", "deep/er/c.txt", "d.csv", ".git/e.txt", ".f.txt"):
        text(tmp_path / name, b"x\n")
    monkeypatch.chdir(tmp_path)
    assert TextFiles(".").files == ["a.txt", "b.txt", "deep/er/c.txt"]
    assert TextFiles("**/*.txt").files == ["a.txt", "b.txt", "deep/er/c.txt"]
    assert TextFiles(["b.txt", "*.txt", Path("d.csv")]).files == ["a.txt", "b.txt", "d.csv"]


@pytest.mark.parametrize("paths", ["none.txt", "*.none", "folder", []])
def test_what_is_not_there_is_said_when_the_source_is_made(
    paths: str | list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as caught:
        TextFiles(paths)
    assert isinstance(caught.value, InputError)
    assert str(paths) in str(caught.value) or not paths


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = text(tmp_path / "a.txt", b"a\n")
    path.chmod(0)
    with pytest.raises(InputError, match="permission"):
        TextFiles(path)


def test_an_empty_input_has_one_epoch(tmp_path: Path) -> None:
    source = TextFiles(text(tmp_path / "a.txt", b""))
    assert source.open(source.partitions()[0], None).read() == End(1)
    assert source.schema == pl.Schema({"line": pl.String})
