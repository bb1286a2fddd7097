"""Write the reference pages that come from the code: `make docs`.

A test compares them with what this would write, so that they stay true.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

REFERENCE = Path(__file__).parent / "reference"
RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
VERBS = (
    *("inspect", "train", "evaluate", "predict", "explain"),
    *("compare", "serve", "convolve", "demo"),
)


def help_of(verb: str) -> str:
    """What `vitreous VERB --help` prints, 100 columns wide, without colour."""
    call = [sys.executable, "-m", "vitreous", verb, "--help"]
    plain = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    plain.pop("FORCE_COLOR", None)
    done = subprocess.run(call, capture_output=True, text=True, env=plain, check=True)
    return "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())


def verbs_page() -> str:
    """The command line, as it explains itself."""
    parts = [
        "# The verbs\n\nResults go to standard output, words and progress to standard error. "
        "Exit status: 0 good, 1 the data or\nthe request is wrong, 2 wrong usage, "
        "130 interrupted. Every flag is also a key of `--config FILE` (TOML)."
    ]
    parts += [f"## vitreous {verb}\n\n```text\n{help_of(verb)}\n```" for verb in VERBS]
    return "\n\n".join(parts) + "\n"


def networks_page() -> str:
    """The table of networks."""
    from vitreous.networks import NETWORKS

    lines = [
        "# Networks",
        "",
        "| name | what it is |",
        "| --- | --- |",
        *(f"| `{name}` | {design.summary} |" for name, design in NETWORKS.items()),
        "| `timm:NAME` | any convolutional backbone of timm, features only, with a pooled head |",
        "| `detect:NAME` | a dense head for boxes on the features of `resnet` or `timm:NAME` |",
        "| `torchvision:fcos:NAME`, `torchvision:retinanet:NAME` | torchvision's head on those |",
        "| `torchvision:NAME` | one of torchvision's detectors with a ResNet or MobileNet |",
        "| `braindecode:NAME` | any model of braindecode for EEG trials (extra `braindecode`) |",
        "",
    ]
    return "\n".join(lines)


def benchmarks_page() -> str:
    """All kept measurements, with what they were measured on."""
    lines = [
        "# What was measured",
        "",
        "Written by `make docs` from `benchmarks/results/`; each table says the command that makes "
        "it.",
    ]
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text())
        lines += ["", f"## {found['question']}", "", f"`{found['command']}`", ""]
        lines += table(found["rows"])
        made_on, used = found["hardware"], found["versions"]
        lines += [
            "",
            f"{found.get('notes', '')} Measured {found['measured']} on {made_on['processor']}, "
            f"{made_on['cores']} cores, GPU {made_on['gpu'] or 'none'}; "
            f"vitreous {used['vitreous']}, torch {used.get('torch')}, "
            f"Python {used['python']}.".strip(),
        ]
    return "\n".join(lines) + "\n"


def table(rows: list[dict]) -> list[str]:
    """Rows as a table in Markdown; the columns are all the keys, in order of appearance."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(keys) + " |", "| " + " | ".join("---" for _ in keys) + " |"]
    return lines + [
        "| " + " | ".join("" if row.get(k) is None else str(row[k]) for k in keys) + " |"
        for row in rows
    ]


def kernels_page() -> str:
    """The table of kernels, as the module itself prints it."""
    call = [sys.executable, "-m", "vitreous.convolution"]
    return subprocess.run(call, capture_output=True, text=True, check=True).stdout


PAGES = {
    "verbs.md": verbs_page,
    "networks.md": networks_page,
    "benchmarks.md": benchmarks_page,
    "kernels.md": kernels_page,
}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")
        print(REFERENCE / name)


if __name__ == "__main__":
    main()
