"""`vitreous demo`: the main job, once through, on real data that needs no download."""

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from vitreous.cli.config import Config
from vitreous.cli.options import Quiet

if TYPE_CHECKING:
    from vitreous.insight.cells import Cell


def demo(
    out: Annotated[Path, typer.Option(help="A new folder for the digits and the run.")] = Path(
        "demo"
    ),
    epochs: Annotated[int, typer.Option(help="Passes over the training part.")] = 30,
    config: Config = None,
    quiet: Quiet = False,
) -> None:
    """Inspect, train, score, predict and look inside: LeNet-5 on 1,797 handwritten digits."""
    from vitreous.cli.inspect import inspect
    from vitreous.cli.shown import print_result
    from vitreous.errors import RequestError
    from vitreous.runs.demo import strongest_cell, write_digits
    from vitreous.runs.run import Run
    from vitreous.runs.train import train

    del config
    if out.exists() and any(out.iterdir()):
        raise RequestError(f"{out}: is not empty; remove it, or choose another folder with --out")
    started = monotonic()
    digits = out / "digits"
    print(f"{write_digits(digits):,} handwritten digits written as PNG files to {digits}")

    heading(f"vitreous inspect {digits}")
    inspect(digits)

    folder = out / "run"
    heading(f"vitreous train {digits} --network lenet5 --image-size 32 --epochs {epochs}")
    run = train(digits, network="lenet5", image_size=32, epochs=epochs, out=folder, quiet=quiet)
    assert isinstance(run, Run)  # of pictures there is no study
    print_result(run.evaluation or {}, f"test part of {digits}")

    picture = sorted((digits / "3").iterdir())[0]
    heading(f"vitreous predict {folder} {picture}")
    prediction = next(iter(run.predict(picture)))
    print(f"{picture}: {prediction.predicted}, with probability {prediction.confidence:.3f}")

    heading("The sum behind one number")
    print(cell_in_words(strongest_cell(run, picture), picture))

    print(f"\nAll of it took {monotonic() - started:.0f} s. Open the report in a browser:")
    print(f"  {(folder / 'report.html').resolve().as_uri()}")


def heading(text: str) -> None:
    """A step's name, set off."""
    print(f"\n── {text} " + "─" * max(0, 76 - len(text)))


def cell_in_words(cell: "Cell", picture: Path) -> str:
    """Window, kernel and products of one cell of a convolution side by side, and their sum."""
    from vitreous.convolution import Terms

    channel, *position = cell.index
    terms, difference = cell.explanation.details, cell.difference
    assert isinstance(terms, Terms)  # of a convolution
    lines = [
        f"The strongest cell of {cell.node} for {picture.name}: map {channel}, "
        f"row {position[0]}, column {position[1]}.",
        "",
    ]
    for number in range(len(terms.channels)):
        blocks = [terms.window[number], terms.kernel[number], terms.products[number]]
        lines += beside(blocks, ["window", "kernel", "products"], ["×", "="])
    bias = 0.0 if terms.bias is None else terms.bias
    lines += [
        "",
        f"sum of the products {terms.total - bias:+.6f}, bias {bias:+.6f}: {terms.total:+.6f}",
        f"the network computed {difference.computed:+.6f} "
        f"(difference {difference.difference:+.1e}, rounding in float32 explains "
        f"{difference.tolerance:.1e})",
    ]
    return "\n".join(lines)


def beside(blocks: list, names: list[str], signs: list[str]) -> list[str]:
    """Matrices side by side, a sign between them in the middle row."""
    rows, columns = blocks[0].shape
    width = 7 * columns
    lines = ["   ".join(name.center(width) for name in names).rstrip()]
    for row in range(rows):
        middle = row == rows // 2
        line = ""
        for place, block in enumerate(blocks):
            line += "".join(f"{value:7.2f}" for value in block[row])
            if place < len(signs):
                line += f" {signs[place]} " if middle else "   "
        lines.append(line)
    return lines
