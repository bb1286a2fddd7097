"""Where measurements are kept: one JSON a script, with what it was measured on."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vitreous.files import read_json, write_json
from vitreous.runs.record import versions
from vitreous.training.devices import hardware

FOLDER = Path(__file__).parent / "results"


def kept_rows(name: str) -> list[dict[str, Any]]:
    """The rows of `results/<name>.json` as they were kept before; none where there is none."""
    path = FOLDER / f"{name}.json"
    return read_json(path)["rows"] if path.is_file() else []


def keep(
    name: str,
    question: str,
    rows: list[dict[str, Any]],
    notes: str = "",
    command: str | None = None,
) -> Path:
    """Write `results/<name>.json`: the question, a row a figure, versions and hardware.

    A row has `what`, `value` (text or number), and, where there is one, `bar` (what was asked
    for) and `spread`.
    """
    path = FOLDER / f"{name}.json"
    given = ["FOLDER" if Path(word).is_absolute() else word for word in sys.argv[1:]]
    command = command or " ".join(["python", "-m", f"benchmarks.{name}", *given])
    value = {
        "format": 1,
        "name": name,
        "question": question,
        "command": command,
        "rows": rows,
        "notes": notes,
        "versions": versions(),
        "hardware": hardware(),
        "measured": datetime.now(UTC).date().isoformat(),
    }
    write_json(path, value)
    print(json.dumps(rows, indent=1))
    return path
