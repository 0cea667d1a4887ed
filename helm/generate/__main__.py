"""Writes the generated files of the chart: python -m helm.generate [FOLDER]."""

import sys
from pathlib import Path

from helm.generate.dashboards import dashboards
from helm.generate.files import CHART, as_json
from helm.generate.readme import readme
from helm.generate.schema import schema


def write(chart: Path) -> None:
    """Writes all of them below a folder."""
    (chart / "files" / "dashboards").mkdir(parents=True, exist_ok=True)
    (chart / "values.schema.json").write_text(as_json(schema()), encoding="utf-8")
    (chart / "README.md").write_text(readme(), encoding="utf-8")
    for name, dashboard in dashboards().items():
        (chart / "files" / "dashboards" / f"{name}.json").write_text(as_json(dashboard), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else CHART)
