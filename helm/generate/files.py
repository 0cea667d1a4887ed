"""Where the chart is, and how what is written into it looks."""

import json
from pathlib import Path
from typing import Any

CHART = Path(__file__).parents[1] / "limnad"


def as_json(value: Any) -> str:
    """As it is checked in: readable, and the same each time."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
