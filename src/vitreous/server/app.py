"""The routes: each asks one function and sends what it gives."""

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from vitreous import __version__
from vitreous.errors import DataError, RequestError, VitreousError
from vitreous.report.extras import small_picture
from vitreous.server import causes, cells, layers, placed, schemas, views
from vitreous.server.alone import AloneRoute
from vitreous.server.explorer import Explorer
from vitreous.server.history import Snapshots, training_of
from vitreous.server.pack import Pack
from vitreous.server.patches import Patches
from vitreous.server.samples import LARGEST_UPLOAD_BYTES, NotFoundError
from vitreous.server.why import Asked, Why

THUMBNAIL = 96  # pixels
MOST_ROWS = 500

SampleId = Annotated[str, Query(description="A sample's id, as the list of samples has it.")]
RunName = Annotated[str, Query(description="A run to compare with; none: the one that is shown.")]
SliceNumber = Annotated[
    int | None, Query(ge=0, description="Of three axes: which slice; none: the middle one.")
]
LayerName = Annotated[str, Query(description="A layer's name, as the network's list has it.")]

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.Problem} for status in (400, 404, 413, 422)
}


class PackResponse(Response):
    """Bytes as `pack` lays them out."""

    media_type = "application/octet-stream"


PACKED: dict[str, Any] = {
    "response_class": PackResponse,
    "responses": {200: {"model": schemas.PackHeader}},
}


class TooLargeError(RequestError):
    """More was sent than is taken."""


STATUS: tuple[tuple[type[VitreousError], int], ...] = (
    (NotFoundError, 404),
    (TooLargeError, 413),
    (RequestError, 400),
    (DataError, 422),
)


def create_app(explorer: Explorer, front_end: Path | None = None) -> FastAPI:
    """The application, without its guard; `front_end` is the folder of the built pages.

    Nothing in it changes what the run found, and no request names a file. What is looked for in its
    data (best patches) is kept in the run folder.
    """
    app = FastAPI(
        title="Vitreous explorer",
        version=__version__,
        docs_url=None,  # pages that would fetch scripts from elsewhere
        redoc_url=None,
        openapi_url=None,
        responses=PROBLEMS,
        generate_unique_id_function=lambda route: route.name,
    )
    app.router.route_class = AloneRoute
    _add_errors(app)
    _add_samples(app, explorer)
    _add_network(app, explorer)
    _add_training(app, explorer)
    _add_why(app, explorer)
    _add_causes(app, explorer)
    _add_patches(app, explorer)
    if front_end is not None:
        _add_pages(app, front_end)
    return app


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(VitreousError)
    def refused(_: Request, error: VitreousError) -> JSONResponse:
        status = next((code for kind, code in STATUS if isinstance(error, kind)), 400)
        return _problem(status, str(error))

    @app.exception_handler(RequestValidationError)
    def misread(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return _problem(400, f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}")


def _problem(status: int, line: str) -> JSONResponse:
    return JSONResponse(schemas.Problem(error=line).model_dump(), status)


def _add_samples(app: FastAPI, explorer: Explorer) -> None:
    @app.get("/api/run")
    def run() -> schemas.RunSummary:
        """What the run is, and what of it can be looked at."""
        return views.summary_of(explorer)

    @app.get("/api/samples")
    def samples(
        part: Literal["train", "val", "test"] | None = None,
        search: str = "",
        truth: str | None = None,
        predicted: str | None = None,
        order: Literal["listed", "wrong"] = "listed",
        first: Annotated[int, Query(ge=0)] = 0,
        count: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 60,
    ) -> schemas.SampleList:
        """Samples that fit; "wrong" gives the wrong answers, the surest first."""
        return explorer.samples.select(
            part=part,
            search=search,
            truth=truth,
            predicted=predicted,
            order=order,
            first=first,
            count=count,
        )

    @app.get("/api/picture", response_class=Response)
    def picture(
        sample: SampleId,
        size: Literal["network", "thumbnail"] = "network",
        slice: SliceNumber = None,
    ) -> Response:
        """A sample as the network gets it."""
        content, kind = explorer.samples.picture(sample, plane=slice), "image/png"
        if size == "thumbnail":
            content, kind = small_picture(content, THUMBNAIL)
        return Response(content, media_type=kind, headers={"Cache-Control": "private, max-age=600"})

    @app.get("/api/traces")
    def traces(sample: SampleId) -> schemas.Traces:
        """The scale of a trial's traces."""
        return views.traces_of(explorer, sample)

    @app.post("/api/pictures")
    async def add_picture(request: Request) -> schemas.SampleRow:
        """Take a picture, the body being the file; it is kept in memory alone."""
        from anyio.to_thread import run_sync

        content = await _body(request)
        return await run_sync(explorer.samples.add, content)

    @app.get("/api/answer")
    def answer(sample: SampleId) -> schemas.Answer:
        """The run's answer for a sample."""
        return views.answer_of(explorer, sample)

    @app.get("/api/answer/picture", response_class=Response)
    def answer_picture(sample: SampleId, slice: SliceNumber = None) -> Response:
        """A sample under what was answered where."""
        content = placed.answer_picture(explorer, sample, slice)
        headers = {"Cache-Control": "private, max-age=600"}
        return Response(content, media_type="image/png", headers=headers)

    @app.get("/api/errors")
    def errors() -> schemas.Errors:
        """Which classes were taken for which."""
        return views.errors_of(explorer.run, list(explorer.samples.rows.values()))


def _add_network(app: FastAPI, explorer: Explorer) -> None:
    @app.get("/api/network")
    def network() -> schemas.Network:
        """All layers, and the storeys that they make."""
        return layers.network_of(explorer)

    @app.get("/api/cell")
    def cell(
        sample: SampleId,
        layer: LayerName,
        at: Annotated[str, Query(description="Channel, then position: 3,5,7.")],
        plane: int | None = None,
    ) -> schemas.Cell:
        """One cell of a storey, and everything behind it."""
        return cells.cell_of(explorer, sample, layer, _numbers("at", at), plane)

    @app.get("/api/storeys", **PACKED)
    def storeys(sample: SampleId) -> Response:
        """A few maps of each storey."""
        return _packed(layers.storeys_of(explorer, sample))

    @app.get("/api/maps", **PACKED)
    def maps(
        sample: SampleId,
        layer: LayerName,
        channels: Annotated[str, Query(description="Channels: 3,5; none: the most active.")] = "",
        first: Annotated[int, Query(ge=0)] = 0,
        count: Annotated[int, Query(ge=1, le=4096)] = 64,
        side: Annotated[int, Query(ge=0, le=4096, description="0: as large as they are.")] = 64,
        slice: SliceNumber = None,
    ) -> Response:
        """A layer's maps to look at."""
        chosen = _numbers("channels", channels)
        found = layers.maps_of(
            explorer,
            sample,
            layer,
            channels=chosen,
            first=first,
            count=count,
            side=side,
            plane=slice,
        )
        return _packed(found)

    @app.get("/api/numbers", **PACKED)
    def numbers(
        sample: SampleId,
        layer: LayerName,
        channel: int | None = None,
        slice: SliceNumber = None,
    ) -> Response:
        """One channel of a layer, to read; a vector whole."""
        return _packed(layers.numbers_of(explorer, sample, layer, channel, slice))

    @app.get("/api/kernels", **PACKED)
    def kernels(layer: LayerName) -> Response:
        """A convolution's kernels to look at."""
        return _packed(layers.kernels_of(explorer, layer))


def _add_training(app: FastAPI, explorer: Explorer) -> None:
    snapshots = Snapshots(explorer.run)

    @app.get("/api/training")
    def training() -> schemas.Training:
        """Curves, and which snapshots there are."""
        return training_of(explorer.run)

    @app.get("/api/snapshot", **PACKED)
    def snapshot(epoch: int) -> Response:
        """First-layer kernels and a few maps after an epoch."""
        return _packed(snapshots.pack(epoch))


def _asked(
    sample: SampleId,
    method: str = "",
    explained: Annotated[str, Query(description="A class; none: the answer.")] = "",
    versus: Annotated[str, Query(description="A class to weigh it against.")] = "",
    layer: Annotated[str, Query(description="A layer with maps; none: the last.")] = "",
    place: Annotated[
        str, Query(description="Of many answers: a pixel 8,5, a voxel 8,5,3, or a box 1.")
    ] = "",
) -> Asked:
    return sample, method, explained, versus, layer, place


AskedFor = Annotated[Asked, Depends(_asked)]


def _add_why(app: FastAPI, explorer: Explorer) -> None:
    whys = {"": Why(explorer), **{name: Why(each) for name, each in explorer.others.items()}}

    def of(run: RunName = "") -> Why:
        if run not in whys:
            raise NotFoundError(f"there is no run '{run}' to compare with")
        return whys[run]

    @app.get("/api/why/methods")
    def why_methods(why: Annotated[Why, Depends(of)]) -> schemas.WhyMethods:
        """What can be asked."""
        return why.methods()

    @app.get("/api/why")
    def attribution(why: Annotated[Why, Depends(of)], asked: AskedFor) -> schemas.Attribution:
        """What speaks for an answer: the map's own account."""
        return why.attribution(asked)

    @app.get("/api/why/map", **PACKED)
    def attribution_map(why: Annotated[Why, Depends(of)], asked: AskedFor) -> Response:
        """What speaks for an answer: the map."""
        return _packed(why.pack(asked))

    @app.get("/api/why/check")
    def attribution_check(
        why: Annotated[Why, Depends(of)], asked: AskedFor
    ) -> schemas.AttributionCheck:
        """Whether the map is true."""
        return why.check(asked)


def _add_causes(app: FastAPI, explorer: Explorer) -> None:
    @app.get("/api/shares")
    def shares(sample: SampleId, layer: LayerName, place: str = "") -> schemas.MapShares:
        """What each map of a layer speaks for the answer."""
        return causes.map_shares(explorer, sample, layer, place)

    @app.get("/api/without")
    def without(
        sample: SampleId, layer: LayerName, channel: int, place: str = ""
    ) -> schemas.WithoutMap:
        """The answer with a map switched off."""
        return causes.without_map(explorer, sample, layer, channel, place)

    @app.get("/api/felt", **PACKED)
    def felt(
        sample: SampleId,
        layer: LayerName,
        at: Annotated[str, Query(description="Channel, then position: 3,5,7.")],
    ) -> Response:
        """How strongly each place of the input moves a cell."""
        return _packed(causes.felt(explorer, sample, layer, _numbers("at", at)))


def _add_patches(app: FastAPI, explorer: Explorer) -> None:
    patches = Patches(explorer)

    @app.get("/api/patches/state")
    def patches_state() -> schemas.PatchIndexing:
        """Whether the best patches are known."""
        return patches.state()

    @app.post("/api/patches")
    def look_for_patches() -> schemas.PatchIndexing:
        """Look for the best patches of all layers, in the background."""
        return patches.start()

    @app.get("/api/patches")
    def best_patches(layer: LayerName, channel: int) -> schemas.Patches:
        """The best patches of a channel."""
        return patches.of(layer, channel)

    @app.get("/api/patch", response_class=Response)
    def patch(
        sample: SampleId,
        box: Annotated[str, Query(description="First, last row; first, last column: 0,4,3,7.")],
    ) -> Response:
        """A part of a sample's picture."""
        content = patches.crop(sample, _numbers("box", box))
        headers = {"Cache-Control": "private, max-age=600"}
        return Response(content, media_type="image/png", headers=headers)


def _add_pages(app: FastAPI, front_end: Path) -> None:
    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(front_end / "index.html", headers={"Cache-Control": "no-cache"})

    app.mount("/assets", StaticFiles(directory=front_end / "assets"), name="assets")


def _packed(pack: Pack) -> PackResponse:
    return PackResponse(pack.to_bytes(), headers={"Cache-Control": "private, max-age=600"})


def _numbers(name: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part]
    except ValueError:
        raise RequestError(f"{name}: '{text}' is no list of whole numbers such as 3,5,7") from None


async def _body(request: Request) -> bytes:
    """The body, refused as soon as it is known to be too large."""
    limit = f"larger than {LARGEST_UPLOAD_BYTES // 2**20} MiB; make it smaller first"
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > LARGEST_UPLOAD_BYTES:
        raise TooLargeError(f"your picture is {limit}")
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST_UPLOAD_BYTES:
            raise TooLargeError(f"your picture is {limit}")
        parts.append(part)
    return b"".join(parts)
