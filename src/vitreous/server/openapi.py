"""The server's OpenAPI schema: `python -m vitreous.server.openapi FILE`.

The front end's types are generated from it (`make types`); a test checks that they are current.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

from vitreous.files import write_text
from vitreous.server.app import create_app
from vitreous.server.explorer import Explorer


def schema_text() -> str:
    """The schema as it is written: it does not depend on a run, nor on the version."""
    nothing = SimpleNamespace(folder=Path("nowhere"))
    schema = create_app(Explorer(nothing)).openapi()  # type: ignore[arg-type]
    schema["info"]["version"] = ""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), schema_text())
