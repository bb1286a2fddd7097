"""`make bench`: every benchmark, one after the other; a name or two runs only those.

python -m benchmarks [NAME ...]
"""

import subprocess
import sys
from pathlib import Path

SCRIPTS = sorted(
    path.stem
    for path in Path(__file__).parent.glob("*.py")
    if path.stem not in {"__init__", "__main__", "results"}
)


def main() -> None:
    """Run the scripts that are named, or all; their results go to `benchmarks/results`."""
    wanted = sys.argv[1:] or SCRIPTS
    unknown = [name for name in wanted if name not in SCRIPTS]
    if unknown:
        sys.exit(f"unknown benchmark {', '.join(unknown)}. Known: {', '.join(SCRIPTS)}")
    failed = []
    for name in wanted:
        print(f"── {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode:
            failed.append(name)
    subprocess.run([sys.executable, "-m", "docs.generate"], check=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
