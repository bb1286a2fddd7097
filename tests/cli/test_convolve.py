import doctest
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import sklearn.datasets
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from vitreous.cli.convolve import convolve
from vitreous.cli.convolve_figure import scale_of
from vitreous.cli.convolve_input import Input, Kernel, apply, read_input
from vitreous.convolution import cross_correlate
from vitreous.errors import VitreousError

app = typer.Typer()
app.command()(convolve)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def china(folder) -> str:
    pictures = Path(sklearn.datasets.__file__).parent / "images"
    shutil.copy(pictures / "china.jpg", folder)
    return "china.jpg"


def run(*arguments: str) -> str:
    """Standard output of a run that ends well."""
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def wrong(*arguments: str) -> str:
    """The message of a run that fails: one line."""
    with pytest.raises(VitreousError) as caught:
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def pixels_of(path: str) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def grey_of(path: str) -> np.ndarray:
    with Image.open(path) as picture:
        return np.rint(np.asarray(picture) @ [0.299, 0.587, 0.114])


def test_edges_of_a_photograph(china):
    found = json.loads(run(china, "--kernel", "sobel-x", "--at", "100,200", "--json"))
    expected = scipy.ndimage.sobel(grey_of(china), axis=1, mode="nearest")
    assert found["output"]["shape"] == [427, 640]
    assert found["output"]["lowest"] == expected.min()
    assert found["output"]["highest"] == expected.max()
    assert found["at"]["total"] == found["at"]["compared"]["computed"] == expected[100, 200]
    assert found["at"]["window"][0] == grey_of(china)[99:102, 199:202].tolist()
    assert found["at"]["compared"]["within"] is True
    assert found["png"] == "china-sobel-x.png"
    drawn = pixels_of("china-sobel-x.png")
    assert drawn.shape[1] > 1500
    assert drawn.std() > 20


def test_the_sum_by_hand_is_printed(china):
    lines = run(china, "-k", "sobel-x", "--at", "100,200").splitlines()
    assert lines[0].startswith("input   china.jpg: 1 x 427 x 640 (channels x height x width)")
    assert lines[3] == "drawn   china-sobel-x.png"
    rows = [line.split() for line in lines if line.startswith(("99", " 99", "100", "101"))]
    window = grey_of(china)[99:102, 199:202].astype(int)
    first = [*window[0], -1, 0, 1, *(window[0] * [-1, 0, 1])]
    assert [int(number) for number in rows[0][1:]] == first
    assert rows[1][4] == "×"
    total = (window * [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]).sum()
    assert any(line.split()[:5] == ["sum", "of", "the", "products", str(total)] for line in lines)


def test_each_colour_has_its_sum(china):
    found = json.loads(run(china, "-k", "box-blur", "--channels", "each", "--at", "9,9", "--json"))
    with Image.open(china) as picture:
        window = np.asarray(picture)[8:11, 8:11]
    assert found["at"]["channel_sums"] == pytest.approx(window.mean(axis=(0, 1)))
    assert found["at"]["total"] == pytest.approx(window.mean(axis=(0, 1)).sum())
    text = run(china, "-k", "box-blur", "--channels", "each", "--at", "0,0")
    for words in ("window (red)", "sum of blue", "in brackets: padding"):
        assert words in text


def test_large_kernels_show_their_largest_products(china):
    text = run(china, "-k", "gabor-45deg-8px", "--at", "100,200")
    assert "the 10 largest of 1,369 products" in text
    assert "the other 1,359 products together" in text
    assert "explained by rounding" in text


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".txt"])
def test_kernel_from_a_file(china, suffix):
    weights = np.array([[0, 0.5], [-0.5, 0]])
    path = Path(f"mine{suffix}")
    if suffix == ".npy":
        np.save(path, weights)
    else:
        np.savetxt(path, weights, delimiter="," if suffix == ".csv" else " ")
    found = json.loads(run(china, "--kernel", str(path), "--padding", "valid", "--json"))
    grey = grey_of(china)
    expected = 0.5 * grey[:-1, 1:] - 0.5 * grey[1:, :-1]
    assert found["output"]["shape"] == [426, 639]
    assert found["output"]["highest"] == expected.max()
    assert found["output"]["mean"] == pytest.approx(expected.mean())
    assert Path("china-mine.png").exists()


def signal(rate: float = 250.0, seconds: float = 8.0) -> np.ndarray:
    time = np.arange(0, seconds, 1 / rate)
    return 20 * np.sin(2 * np.pi * 10 * time) + 15 * np.sin(2 * np.pi * 50 * time) + 300


def test_band_pass_of_a_signal():
    np.save("eeg.npy", signal())
    found = json.loads(
        run("eeg.npy", "-k", "alpha", "--sampling-rate", "250", "--at", "1006", "--json")
    )
    only_alpha = 20 * np.sin(2 * np.pi * 10 * 1006 / 250)
    assert found["at"]["total"] == pytest.approx(only_alpha, abs=0.3)
    assert found["at"]["compared"]["within"]
    assert found["output"]["shape"] == [1, 2000]
    assert pixels_of("eeg-alpha.png").std() > 10


def test_channels_of_a_signal_stay_apart():
    values = np.random.default_rng(0).normal(size=(12, 5000))
    np.save("many.npy", values)
    text = run("many.npy", "-k", "difference", "--at", "7,4000", "--out", "deep/er.png")
    assert "sample 4000 of channel 7" in text
    by_hand = f"{(values[7, 4001] - values[7, 3999]) / 2:.10g}"
    assert f"sum of the products  {by_hand}" in text
    assert f"the feature map      {by_hand}" in text
    assert pixels_of("deep/er.png").std() > 10


def read(text: str, name: str = "table.csv") -> Input:
    Path(name).write_text(text, encoding="utf-8")
    return read_input(Path(name), None, "grey")


@pytest.mark.parametrize(
    ("text", "values", "names"),
    [
        ("1\n2\n3\n", [[1, 2, 3]], ("channel 0",)),
        ("1,2,3\n", [[1, 2, 3]], ("channel 0",)),
        ("1 2 3\n4 5 6\n", [[1, 2, 3], [4, 5, 6]], ("channel 0", "channel 1")),
        ("\ufeff1\t4\n2\t5\n3\t6\n", [[1, 2, 3], [4, 5, 6]], ("channel 0", "channel 1")),
        ("Fz;Cz\n1,5;4\n2;5\n3;6\n", [[1.5, 2, 3], [4, 5, 6]], ("Fz", "Cz")),
        ('"Fz","Cz","Pz"\n1,3,5\n2,4,6\n', [[1, 2], [3, 4], [5, 6]], ("Fz", "Cz", "Pz")),
    ],
)
def test_tables_as_people_write_them(text, values, names):
    found = read(text)
    assert found.values.tolist() == values
    assert found.channel_names == names


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_the_fast_path_equals_the_reference(data):
    """Small and large, odd and even kernels, every padding: cell by cell."""
    side = st.integers(1, 12)
    seed = data.draw(st.integers(0, 2**32 - 1))
    draw = np.random.default_rng(seed)
    kind = data.draw(st.sampled_from(["picture", "signal"]))
    kernel_size = (data.draw(side), data.draw(side))
    if data.draw(st.booleans()):
        kernel_size = (13, 11)  # by FFT
    size = tuple(k + data.draw(st.integers(0, 6)) for k in kernel_size)
    padding = data.draw(st.sampled_from(["replicate", "reflect", "zeros", "circular", "valid"]))
    if kind == "picture":
        values = draw.normal(size=(data.draw(st.sampled_from([1, 3])), *size))
        weights = draw.normal(size=kernel_size)
    else:
        length = 1 + 30 * kernel_size[0]
        values, weights = draw.normal(size=(2, length + 40)), draw.normal(size=length)
    given_ = Input(kind, Path("x"), values, ("a",) * len(values), values, "")
    result = apply(given_, Kernel("k", weights, ""), padding)
    inputs = values[None] if kind == "picture" else values[:, None]
    mode = "zeros" if padding == "valid" else padding
    where = "valid" if padding == "valid" else "same"
    expected = cross_correlate(inputs, result.weights, padding=where, padding_mode=mode)
    expected = expected[0, 0] if kind == "picture" else expected[:, 0]
    assert result.values.shape == expected.shape
    np.testing.assert_allclose(result.values, expected, atol=1e-9)


def test_the_noise_of_an_fft_is_not_called_wrong():
    """In a black corner of a bright picture the sum is 0, and the FFT's is not quite."""
    pixels = np.full((200, 200), 255, np.uint8)
    pixels[:80, :80] = 0
    Image.fromarray(pixels).save("dark.png")
    found = json.loads(run("dark.png", "-k", "gabor-0deg-8px", "--at", "20,20", "--json"))
    assert found["at"]["total"] == 0
    assert found["at"]["compared"]["within"]


def test_colours_are_signed_where_values_are():
    around_zero = scale_of(np.array([[-3.0, 2.0]]), np.array([[-1.0, 1.0]]))
    assert (around_zero.low, around_zero.high, around_zero.extend) == (-3, 3, "neither")
    blurred = scale_of(np.array([[0.0, 200.0]]), np.array([[0.5, 0.5]]))
    assert (blurred.low, blurred.high, blurred.extend) == (0, 255, "neither")
    summed = scale_of(np.array([[0.0, 700.0]]), np.array([[0.5, 0.5]]))
    assert summed.high == 700
    learned = scale_of(np.array([[-5.0, -4, 1]]), np.array([[-1.0, 0.9]]))
    assert learned.low == -5
    sharp = np.zeros((100, 100))
    sharp[0, 0] = 1000
    assert scale_of(sharp, np.array([[-1.0, 1.0]])).high == 1000
    sharp[1:, :] = np.linspace(-10, 10, 100)
    assert scale_of(sharp, np.array([[-1.0, 1.0]])).extend == "max"


@pytest.mark.parametrize("shape", [(1, 1), (3, 900), (900, 3), (1500, 1800), (8, 8)])
def test_any_shape_is_drawn(shape):
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(noise).save("any.png")
    text = run("any.png", "-k", "sobel-x", "--at", "0,0")
    assert "any-sobel-x.png" in text
    drawn = pixels_of("any-sobel-x.png")
    assert max(drawn.shape) < 3000


def test_nothing_but_one_value_is_drawn():
    np.save("flat.npy", np.zeros((2, 50)))
    run("flat.npy", "-k", "moving-average")
    Image.fromarray(np.zeros((20, 20), np.uint8)).save("black.png")
    run("black.png", "-k", "laplacian-4")


def test_quiet_and_the_note_of_a_long_kernel():
    np.save("short.npy", signal(seconds=2))
    loud = CliRunner().invoke(app, ["short.npy", "-k", "delta", "--sampling-rate", "250"])
    assert "longer than the signal" in loud.stderr
    quiet = ["short.npy", "-k", "delta", "--sampling-rate", "250", "--quiet"]
    assert CliRunner().invoke(app, quiet).stderr == ""


def write_bad_files() -> None:
    np.save("eeg.npy", signal())
    np.save("hole.npy", np.array([1.0, np.nan, 3.0]))
    np.save("cube.npy", np.zeros((2, 3, 4)))
    np.save("words.npy", np.array(["a", "b"]))
    np.save("pickle.npy", np.array([{}, 1], dtype=object))
    np.save("row.npy", np.ones((2, 3)))
    Path("empty.csv").write_text("")
    Path("header.csv").write_text("Fz,Cz\n")
    Path("broken.csv").write_text("1,2\n3,x\n")
    Path("ragged.csv").write_text("1,2\n3\n")
    Path("cut.npy").write_bytes(Path("eeg.npy").read_bytes()[:100])
    Path("text.png").write_text("not a picture")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("china.jpg -k sobelx", "unknown kernel for a picture 'sobelx'; did you mean 'sobel-x'"),
        ("china.jpg -k alpha", "kernel 'alpha' is for a signal, china.jpg is a picture"),
        ("eeg.npy -k sobel-x", "Known for it: alpha, beta, delta, difference"),
        ("eeg.npy -k alpha", "kernel 'alpha' needs --sampling-rate"),
        ("eeg.npy -k gamma --sampling-rate 90", "kernel 'gamma': a band of 30 to 45 Hz needs"),
        ("eeg.npy -k difference --sampling-rate -1", "give a number above 0"),
        ("china.jpg -k sobel-x --sampling-rate 250", "a picture has no --sampling-rate"),
        ("china.jpg -k none.csv", "none.csv: not found"),
        ("china.jpg -k china.jpg", "a kernel is read from .npy, .csv, .tsv, .txt"),
        ("eeg.npy -k row.npy", r"row.npy: has shape \(2, 3\); a kernel for a signal has 1 axis"),
        ("china.jpg -k hole.npy", "of finite numbers"),
        ("none.jpg -k sobel-x", "none.jpg: .*not found"),
        ("text.png -k sobel-x", "text.png: not a picture"),
        ("none.npy -k difference", "none.npy: not found"),
        ("hole.npy -k difference", "1 values are not finite .first: channel 0, sample 1"),
        ("cube.npy -k difference", r"has shape \(2, 3, 4\)"),
        ("words.npy -k difference", "words.npy: holds <U1, not real numbers"),
        ("pickle.npy -k difference", "pickle.npy: not readable as numbers"),
        ("cut.npy -k difference", "cut.npy: not readable as numbers"),
        ("empty.csv -k difference", "empty.csv: is empty"),
        ("header.csv -k difference", "no numbers"),
        ("broken.csv -k difference", "broken.csv: not readable as numbers .*'x'"),
        ("ragged.csv -k difference", "ragged.csv: not readable as numbers"),
        ("china.jpg -k sobel-x --at 427,0", "the output has 427 x 640 cells, 0,0 to 426,639"),
        ("china.jpg -k sobel-x --at -1,0", "--at -1,0: the output has"),
        ("china.jpg -k sobel-x --at 5", "--at 5: give ROW,COL as whole numbers"),
        ("eeg.npy -k difference --at a", "give SAMPLE or CHANNEL,SAMPLE"),
        ("china.jpg -k sobel-x --channels all", "unknown --channels 'all'"),
        ("eeg.npy -k difference --channels each", "is for pictures in colour"),
        ("china.jpg -k sobel-x --padding same", "unknown --padding 'same'"),
        ("china.jpg -k sobel-x --out here.jpg", "ends in .png"),
        ("grey.png -k sobel-x --out grey.png", "is the input itself"),
        ("grey.png -k sobel-x --channels each", "grey.png: is grey"),
        ("grey.png -k gabor-0deg-8px --padding valid", r"\(37 x 37\) is larger than grey.png"),
        ("grey.png -k gabor-0deg-8px --padding reflect", "pad at most 8"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(china, arguments, message):
    write_bad_files()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save("grey.png")
    before = sorted(Path.cwd().iterdir())
    assert re.search(message, wrong(*arguments.split()))
    assert sorted(Path.cwd().iterdir()) == before  # nothing half-written stays


LESSON = Path(__file__).resolve().parents[2] / "docs" / "lessons" / "convolution.md"


def test_the_lesson_prints_what_it_says():
    """Every command of the lesson, in order, and its output to the letter."""
    blocks = re.findall(r"```console\n(.*?)```", LESSON.read_text(encoding="utf-8"), re.DOTALL)
    for part in "".join(blocks).split("$ ")[1:]:
        command, _, expected = part.partition("\n")
        program, *arguments = shlex.split(command)
        if program == "python":
            exec(arguments[1], {})
            continue
        printed = [line.rstrip() for line in run(*arguments[1:]).splitlines()]
        assert printed == expected.splitlines(), command


def test_the_python_of_the_lesson_is_true():
    text = LESSON.read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    lines = doctest.DocTestParser().get_doctest(block, {}, "lesson", str(LESSON), 0)
    assert len(lines.examples) > 3
    assert doctest.DocTestRunner().run(lines).failed == 0
