"""`vitreous convolve INPUT --kernel NAME|FILE`: the operation itself, on any picture or signal."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitreous.cli.config import Config
from vitreous.cli.options import Json, Quiet

if TYPE_CHECKING:
    from vitreous.cli.convolve_input import FeatureMap, Input, Kernel
    from vitreous.convolution import Difference, Terms


def convolve(
    given: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="A picture, or a signal in a .npy, .csv, .tsv or .txt file: (time) or "
            "(channels, time).",
        ),
    ],
    kernel: Annotated[
        str,
        typer.Option(
            "--kernel",
            "-k",
            metavar="NAME|FILE",
            help="A name, such as sobel-x, gaussian-blur or alpha (a wrong one lists them all), "
            "or a .npy, .csv, .tsv or .txt file of numbers.",
        ),
    ],
    at: Annotated[
        str | None,
        typer.Option(
            metavar="ROW,COL",
            help="Show the sum behind this cell of the output, counted from 0; for a signal "
            "SAMPLE or CHANNEL,SAMPLE.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="PNG", help="By default INPUT-KERNEL.png in the current folder."),
    ] = None,
    sampling_rate: Annotated[
        float | None,
        typer.Option(metavar="HZ", help="Of a signal: samples a second; bands need it."),
    ] = None,
    channels: Annotated[
        str,
        typer.Option(
            metavar="grey|each",
            help="Of a picture in colour: its luminance, or the same kernel on red, green and "
            "blue, summed as a network's first layer does.",
        ),
    ] = "grey",
    padding: Annotated[
        str,
        typer.Option(
            metavar="replicate|reflect|zeros|circular|valid",
            help="What lies around the input; valid: nothing, the output is smaller.",
        ),
    ] = "replicate",
    config: Config = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Slide a kernel over a picture or a signal, draw it, and show the sum behind one cell."""
    from vitreous.cli.convolve_figure import write_figure
    from vitreous.cli.convolve_input import apply, read_input, read_kernel

    del config
    source = read_input(given, sampling_rate, channels)
    chosen = read_kernel(kernel, source)
    target = _target(given, chosen, out)
    cell = None if at is None else _parse_cell(at, source)
    result = apply(source, chosen, padding)
    terms = None if cell is None else _terms(source, result, cell)
    if not quiet:
        _warn_of_long_kernel(source, chosen)
    facts = _facts(source, chosen, result, padding)
    write_figure(target, source, chosen, result, cell, _how(facts))
    computed = None if terms is None or cell is None else _compare(terms, result, cell)
    if as_json:
        shown = {**facts, "png": str(target)}
        if terms is not None and computed is not None:
            shown["at"] = {**terms.to_json(), "compared": computed.to_json()}
        print(json.dumps(shown, indent=2, ensure_ascii=False, allow_nan=False))
        return
    _print_facts(facts, target)
    if cell is not None and terms is not None and computed is not None:
        from vitreous.cli.convolve_table import print_terms

        print_terms(source, cell, terms, computed, result)


def _target(given: Path, chosen: Kernel, out: Path | None) -> Path:
    from vitreous.errors import RequestError

    target = out or Path(f"{given.stem}-{chosen.name}.png")
    if target.suffix.lower() != ".png":
        raise RequestError(f"--out {target}: the picture is a PNG; give a name that ends in .png")
    if target.exists() and target.samefile(given):
        raise RequestError(f"--out {target}: is the input itself; choose another name")
    if target.is_dir():
        raise RequestError(f"--out {target}: is a folder; give a file's name")
    return target


def _parse_cell(at: str, source: Input) -> tuple[int, ...]:
    """The place in the output: (row, column), or (channel, sample)."""
    from vitreous.errors import RequestError

    form = "ROW,COL" if source.kind == "picture" else "SAMPLE or CHANNEL,SAMPLE"
    try:
        numbers = tuple(int(part) for part in at.split(","))
    except ValueError:
        numbers = ()
    if source.kind == "signal" and len(numbers) == 1:
        numbers = (0, *numbers)
    if len(numbers) != 2:
        raise RequestError(f"--at {at}: give {form} as whole numbers, counted from 0")
    return numbers


def _terms(source: Input, result: FeatureMap, cell: tuple[int, ...]) -> Terms:
    from vitreous.convolution import convolution_terms
    from vitreous.errors import RequestError

    rows, columns = result.values.shape
    if not (0 <= cell[0] < rows and 0 <= cell[1] < columns):
        raise RequestError(
            f"--at {cell[0]},{cell[1]}: the output has {rows} x {columns} cells, "
            f"0,0 to {rows - 1},{columns - 1}"
        )
    picture = source.kind == "picture"
    inputs = source.values if picture else source.values[cell[0]][None]
    place = cell if picture else cell[1:]
    return convolution_terms(
        inputs,
        result.weights,
        cell=(0, *place),
        padding=result.pads,
        padding_mode=result.padding_mode,
    )


def _compare(terms: Terms, result: FeatureMap, cell: tuple[int, ...]) -> Difference:
    from vitreous.convolution import Difference

    exact = terms.difference(float(result.values[cell]))
    return Difference(exact.computed, exact.expected, exact.tolerance + result.noise)


def _warn_of_long_kernel(source: Input, chosen: Kernel) -> None:
    taps, samples = len(chosen.values), source.values.shape[1]
    if source.kind == "signal" and taps > samples:
        print(
            f"note: the kernel ({taps:,} samples) is longer than the signal ({samples:,}); "
            "every output cell sees padding",
            file=sys.stderr,
        )


def _facts(source: Input, chosen: Kernel, result: FeatureMap, padding: str) -> dict[str, Any]:
    values = result.values
    return {
        "input": {
            "path": str(source.path),
            "kind": source.kind,
            "shape": list(source.values.shape),
            "channels": list(source.channel_names),
            "read_as": source.remark,
            "sampling_rate_hz": source.sampling_rate_hz,
        },
        "kernel": {
            "name": chosen.name,
            "description": chosen.description,
            "shape": list(chosen.values.shape),
            "values": chosen.values.tolist(),
        },
        "padding": padding,
        "computed_by": result.engine,
        "output": {
            "shape": list(values.shape),
            "lowest": float(values.min()),
            "highest": float(values.max()),
            "mean": float(values.mean()),
        },
    }


def _how(facts: dict[str, Any]) -> str:
    """The line below the picture."""
    return (
        f"{facts['kernel']['description']} · padding: {facts['padding']} · "
        f"{facts['computed_by']} · input: {facts['input']['read_as']}"
    )


def _print_facts(facts: dict[str, Any], target: Path) -> None:
    given, kernel, output = facts["input"], facts["kernel"], facts["output"]
    rate = f", {given['sampling_rate_hz']:g} Hz" if given["sampling_rate_hz"] else ""
    what = {"picture": "channels x height x width", "signal": "channels x samples"}[given["kind"]]
    rows = {
        "input": f"{given['path']}: {_size(given['shape'])} ({what}){rate}; {given['read_as']}",
        "kernel": f"{kernel['name']}, {_size(kernel['shape'])}: {kernel['description']}",
        "output": f"{_size(output['shape'])}, {output['lowest']:.6g} to {output['highest']:.6g}, "
        f"mean {output['mean']:.6g} (padding: {facts['padding']}; {facts['computed_by']})",
        "drawn": str(target),
    }
    for name, text in rows.items():
        print(f"{name:<8}{text}")


def _size(shape: list[int]) -> str:
    return " x ".join(map(str, shape))
