"""The same boxes judged by pycocotools."""

import contextlib
import io


def by_pycocotools(truth, answers, classes=3):
    """COCO's twelve numbers, and its precision and recall tables."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations, results = [], []
    for picture, (boxes, found) in enumerate(zip(truth, answers, strict=True), start=1):
        for place in range(len(boxes)):
            left, top, right, bottom = boxes.corners[place].tolist()
            annotations.append({
                "id": len(annotations) + 1, "image_id": picture,
                "category_id": int(boxes.classes[place]), "iscrowd": int(boxes.crowd[place]),
                "bbox": [left, top, right - left, bottom - top], "area": float(boxes.areas[place]),
            })  # fmt: skip
        for place in range(len(found)):
            left, top, right, bottom = found.corners[place].tolist()
            results.append({
                "image_id": picture, "category_id": int(found.classes[place]),
                "bbox": [left, top, right - left, bottom - top],
                "score": float(found.confidences[place]),
            })  # fmt: skip
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": n} for n in range(1, len(truth) + 1)],
        "annotations": annotations,
        "categories": [{"id": n, "name": str(n)} for n in range(classes)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        found = COCOeval(coco, coco.loadRes(results), "bbox")
        found.evaluate()
        found.accumulate()
        found.summarize()
    return found
