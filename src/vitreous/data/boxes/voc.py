"""Pascal VOC: an XML file a picture, and lists of names in ImageSets/Main for the split.

Corners in VOC are numbers of pixels, counted from 1, and the last pixel belongs to the box
(Everingham and Winn, "The PASCAL VOC development kit", section on annotation). So a box from xmin
to xmax begins at the left edge of its first pixel, xmin - 1, and ends at the right edge of its
last, xmax. Many tools write places between pixels instead, counted from 0. They give themselves
away: a corner at 0 cannot be a VOC pixel. Where one is found anywhere in the data, all are taken as
places.
"""

from collections.abc import Iterable
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from vitreous.data.boxes.annotations import Annotated, Annotation, Reading
from vitreous.data.folders import Tree
from vitreous.data.listing import printable
from vitreous.data.pairing import pair, split_in
from vitreous.data.pictures import read_file, reason_of
from vitreous.data.samples import SPLITS, LabelProblem, Skipped, Split
from vitreous.data.split_names import split_of
from vitreous.errors import DataError

IN_TWO_PARTS = "in two parts of the split"
LARGEST_FILE = 50_000_000  # bytes; a picture with ten thousand boxes has about three million

Corners = tuple[float, float, float, float]


def is_annotation(path: Path) -> bool:
    """Whether an XML file begins as VOC's do."""
    try:
        with path.open("rb") as file:
            return b"<annotation" in file.read(2048)
    except OSError:
        return False


def read_voc(tree: Tree) -> Reading:
    """The XML files of a folder with their pictures, by name; `difficult` is kept.

    A picture without an XML file, and one whose file cannot be read, is skipped: only a file
    without objects says that nothing is on a picture.
    """
    files = [other for other in tree.others if other.lower().endswith(".xml")]
    pairs = pair(tree.pictures, files)
    skipped, problems = list(tree.skipped), list[LabelProblem]()
    lists = _split_lists(tree)
    parsed: list[tuple[str, str, Element]] = []
    for picture, file in pairs.pairs:
        try:
            parsed.append((picture, file, parse_xml(read_file(tree.root / file, file), file)))
        except DataError as error:
            skipped.append(Skipped(picture, f"{file}: {reason_of(error, file)}"))
    from_zero = any(_touches_zero(element) for _, _, element in parsed)
    given: dict[str, Split] = {stem: split for split, stems in lists.items() for stem in stems}
    pictures: list[Annotated] = []
    for picture, file, element in parsed:
        split = given.get(Path(picture).stem) if lists else split_in(picture)
        try:
            boxes = tuple(_boxes(element, from_zero))
        except DataError as error:
            skipped.append(Skipped(picture, f"{file}: {error}"))
            continue
        pictures.append(Annotated(picture, file, boxes, split, size=_size(element)))
    skipped += [Skipped(p, _without_file(p, given, lists)) for p in pairs.lonely_pictures]
    skipped += [Skipped(x, "a label without a picture of its name") for x in pairs.lonely_labels]
    skipped += [
        Skipped(file, f"{' and '.join(found[:2])} have its name; say which with the folders")
        for file, found in pairs.ambiguous
    ]
    problems += _listed_twice(lists)
    skipped += _listed_in_vain(tree, lists)
    counted = (
        "corners counted from 0, as some stand there"
        if from_zero
        else "corners counted from 1, the last pixel within, as VOC has them"
    )
    return Reading(
        kind="Pascal VOC",
        why=f"{len(files):,} XML files say what is on {len(pictures):,} pictures ({counted})"
        + (", split by the lists in ImageSets/Main" if lists else ""),
        pictures=pictures,
        skipped=skipped,
        problems=problems,
        files=[tree.root / file for _, file in pairs.pairs],
    )


def parse_xml(content: bytes, name: str) -> Element:
    """The root of an XML file. Raises `DataError` where it is broken, too large, or declares a
    document type: entities can make a small file unpack to more than the memory holds.
    """
    if len(content) > LARGEST_FILE:
        raise DataError(f"{name}: {len(content):,} bytes, more than {LARGEST_FILE:,}: not read")
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data

    def refuse(*_: object) -> None:
        raise DataError(f"{name}: declares a document type (<!DOCTYPE>); remove that line")

    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(content, True)
        return builder.close()
    except expat.ExpatError as error:
        raise DataError(f"{name}: not readable as XML ({error}); mend or make it again") from None


def _boxes(element: Element, from_zero: bool) -> Iterable[Annotation]:
    for number, found in enumerate(element.iter("object"), start=1):
        name = (found.findtext("name") or "").strip()
        if not name:
            raise DataError(f"object {number} has no name; give it one or remove it")
        left, top, right, bottom = _corners(found, f"object {number}")
        if not from_zero:
            left, right = _pixel_edges(left, right)
            top, bottom = _pixel_edges(top, bottom)
        yield Annotation(
            name, left, top, right, bottom, f"object {number}",
            difficult=(found.findtext("difficult") or "").strip() == "1",
        )  # fmt: skip


def _corners(found: Element, place: str) -> Corners:
    box = found.find("bndbox")
    if box is None:
        raise DataError(f"{place} has no bndbox; draw it or remove the object")
    values = []
    for name in ("xmin", "ymin", "xmax", "ymax"):
        text = (box.findtext(name) or "").strip()
        try:
            values.append(float(text))
        except ValueError:
            raise DataError(f"{place}: {name} is '{text}', no number; correct it") from None
    return values[0], values[1], values[2], values[3]


def _pixel_edges(first: float, last: float) -> tuple[float, float]:
    """The outer edges of the pixels `first` to `last`, counted from 1.

    Equal ones stay so: nobody draws a box of one pixel, a click without a movement leaves one.
    """
    if first == last:
        return first, last
    return (first - 1, last) if first < last else (first, last - 1)


def _touches_zero(element: Element) -> bool:
    for found in element.iter("object"):
        try:
            if min(_corners(found, "")) == 0:
                return True
        except DataError:
            continue
    return False


def _size(element: Element) -> tuple[int, int] | None:
    try:
        return int(element.findtext("size/height") or ""), int(element.findtext("size/width") or "")
    except ValueError:
        return None


def _split_lists(tree: Tree) -> dict[Split, list[str]]:
    """The names in ImageSets/Main/{train,val,test}.txt; without train, trainval takes its place."""
    lists: dict[Split, list[str]] = {}
    found = {Path(o).stem.lower(): o for o in tree.others
             if "ImageSets/Main/" in f"/{o}" and o.endswith(".txt")}  # fmt: skip
    for word, file in sorted(found.items()):
        if split := split_of(word):
            lists[split] = _names(tree, file)
    if "train" not in lists and "trainval" in found:
        lists["train"] = _names(tree, found["trainval"])
    return {split: lists[split] for split in SPLITS if split in lists}


def _names(tree: Tree, file: str) -> list[str]:
    text = read_file(tree.root / file, file).decode("utf-8", "replace")
    return [line.split()[0] for line in text.splitlines() if line.strip()]


def _listed_twice(lists: dict[Split, list[str]]) -> Iterable[LabelProblem]:
    parts: dict[str, list[str]] = {}
    for split, names in lists.items():
        for name in dict.fromkeys(names):
            parts.setdefault(name, []).append(split)
    for name, found in parts.items():
        if len(found) > 1:
            reason = f"{name} is in {' and '.join(found)}; used in {found[-1]} alone; keep one"
            yield LabelProblem(f"ImageSets/Main/{found[0]}.txt", name, IN_TWO_PARTS, reason)


def _listed_in_vain(tree: Tree, lists: dict[Split, list[str]]) -> Iterable[Skipped]:
    known = {Path(picture).stem for picture in tree.pictures}
    for split, names in lists.items():
        for name in names:
            if name not in known:
                listed = f"named in ImageSets/Main/{split}.txt"
                yield Skipped(printable(name), f"{listed}, but there is no such picture")


def _without_file(picture: str, given: dict[str, Split], lists: dict[Split, list[str]]) -> str:
    if lists and Path(picture).stem not in given:
        return "no XML file, and in no list of ImageSets/Main"
    return "no XML file of its name: not labelled; a file without objects says 'nothing here'"
