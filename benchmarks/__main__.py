"""`make bench`: every benchmark, one after the other; a name or two runs only those.

python -m benchmarks [NAME ...]     `quick`: those of a few minutes; `list`: what each one asks
"""

import subprocess
import sys
from pathlib import Path

SCRIPTS = sorted(
    path.stem
    for path in Path(__file__).parent.glob("*.py")
    if path.stem not in {"__init__", "__main__", "results", "tiled_tiff"}
)

QUICK = ("large_pictures", "steps")  # minutes on two cores; others up to hours


def questions() -> str:
    """The scripts with the first line of what they say of themselves."""
    folder = Path(__file__).parent
    lines = ((folder / f"{name}.py").read_text(encoding="utf-8").split("\n")[0] for name in SCRIPTS)
    pairs = zip(SCRIPTS, lines, strict=True)
    return "\n".join(f"{name:20}{line.strip(chr(34))}" for name, line in pairs)


def main() -> None:
    """Run the scripts that are named, or all; their results go to `benchmarks/results`."""
    if sys.argv[1:] == ["list"]:
        print(questions())
        return
    wanted = list(QUICK) if sys.argv[1:] == ["quick"] else sys.argv[1:] or SCRIPTS
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
