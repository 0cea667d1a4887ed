"""What is no Python travels in the wheel, too."""

from pathlib import Path
from zipfile import ZipFile

from hatchling.builders.wheel import WheelBuilder

from tests.tidy.conftest import Repository


def test_the_wheel_holds_the_page_and_the_licences(repository: Repository, tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(repository.root)).build(directory=str(tmp_path), versions=["standard"])
    with ZipFile(wheel) as archive:
        held = set(archive.namelist())
    static = repository.root / "worker" / "limnad_worker" / "page" / "static"
    page = {path.relative_to(repository.root / "worker").as_posix() for path in static.rglob("*.*")}
    assert {"index.html", "page.css", "app.js", "lit-html.js"} <= {Path(name).name for name in page}
    assert page - held == set()
    assert {Path(name).name for name in held if "/licenses/" in name} == {"LICENSE", "NOTICE"}
