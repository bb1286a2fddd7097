"""`serve`: the explorer on an address of this machine, until it is interrupted."""

import json
import os
import secrets
import socket
import sys
import webbrowser
from contextlib import suppress
from pathlib import Path
from threading import Timer

from vitreous.errors import RequestError
from vitreous.report.front_end import built_front_end
from vitreous.runs.run import Run
from vitreous.runs.talk import Talk

PORT = 8420
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
GRACE_SECONDS = 2  # for answers under way when it is interrupted


def serve(
    run: Run | str | Path,
    *others: Run | str | Path,
    host: str = "127.0.0.1",
    port: int = PORT,
    open_browser: bool = True,
    token: bool = True,
    as_json: bool = False,
    quiet: bool = False,
) -> None:
    """Show a run in the browser: prints the address, returns when it is interrupted.

    `others` are runs whose answers can be compared with it, sample by sample.
    `port` 0 takes any that is free. `token` False lets in everybody who reaches the address; only
    this machine's own users do then, for another `host` is refused. Needs the extra `serve`.
    Raises `RequestError` where the port is taken or the pages are not built.
    """
    application = _import_server()
    if not token and host not in LOOPBACK:
        raise RequestError(
            f"--host {host} with --no-token would open the run to everybody there; leave one out"
        )
    pages = built_front_end()
    talk = Talk(quiet)
    with _bound(host, port) as listening:
        loaded, *compared = (each if isinstance(each, Run) else Run.load(each)
                             for each in (run, *others))  # fmt: skip
        for each in (loaded, *compared):
            _require_shown(each, loaded)
        talk.say(f"{loaded.folder}: opening the network and looking at its data")
        explorer = application.Explorer(loaded, compared)
        explorer.warm_up()
        if explorer.samples.missing:
            talk.warn(explorer.samples.missing)
        known = secrets.token_urlsafe(24) if token else None
        actual = listening.getsockname()[1]
        guarded = application.Guard(
            application.create_app(explorer, pages), known, host, f"vitreous-{actual}"
        )
        url = _url(host, actual, known)
        _tell(url, as_json)
        if open_browser and _has_screen():
            Timer(0.3, webbrowser.open, [url]).start()
        _run_until_interrupted(guarded, listening)
    talk.say("stopped")


def _require_shown(run: Run, first: Run) -> None:
    """Raises `RequestError` for a run that cannot be shown, or not beside the first one."""
    if run.record.signal != first.record.signal:
        raise RequestError(f"{run.folder}: is of another kind of data than {first.folder}")
    placed = {"segment", "detect"}
    if run.record.task != first.record.task and {run.record.task, first.record.task} & placed:
        raise RequestError(
            f"{run.folder}: is of the task {run.record.task}, {first.folder} of "
            f"{first.record.task}: their answers cannot be compared"
        )
    if run.record.network["name"].startswith("torchvision:"):
        raise RequestError(
            f"{run.folder}: torchvision's detectors choose their way by the picture, which cannot "
            "be shown layer by layer; its report.html shows this one"
        )


class _Server:
    """What the extra brings, imported when it is needed."""

    def __init__(self) -> None:
        import uvicorn  # noqa: F401  # missing as FastAPI is, where the extra is

        from vitreous.server.app import create_app
        from vitreous.server.explorer import Explorer
        from vitreous.server.guard import Guard

        self.Explorer, self.Guard, self.create_app = Explorer, Guard, create_app


def _import_server() -> _Server:
    try:
        return _Server()
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in {"fastapi", "uvicorn", "pydantic", "starlette"}:
            raise
        raise RequestError(
            f"the explorer needs {error.name}; install it with `pip install 'vitreous[serve]'`"
        ) from None


def _bound(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises `RequestError` where it may not."""
    if not 0 <= port < 65536:
        raise RequestError(f"--port {port}: use a number from 0 to 65535")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise RequestError(f"--host {host}: {error.strerror or error}") from None
    try:
        if os.name == "posix":  # elsewhere it would let two programs share the port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise RequestError(
            f"port {port} of {host} cannot be used ({error.strerror}); choose another with --port, "
            "or any free one with --port 0"
        ) from None
    return listening


def _url(host: str, port: int, token: str | None) -> str:
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")


def _tell(url: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"url": url}), flush=True)
        return
    print(f"the explorer is at\n  {url}\nCtrl-C ends it", flush=True)


def _has_screen() -> bool:
    """Whether a browser that opens would be seen."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def _run_until_interrupted(application, listening: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    with suppress(KeyboardInterrupt):  # raised again by uvicorn after a clean end
        uvicorn.Server(config).run(sockets=[listening])
