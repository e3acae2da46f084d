"""easy-VQA from the PyPI package ``easy-vqa`` 1.0 (MIT): images and questions come inside it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evalkit.errors import UserError
from evalkit.preparation import PrepareContext, Preparer

SHAPES = ("circle", "rectangle", "triangle")
SIZE = [64, 64]


def rows(context: PrepareContext) -> Iterator[dict[str, Any]]:
    """A row for each question; the subset is the kind of question."""
    try:
        import easy_vqa
    except ImportError:
        raise UserError("easy-vqa needs its package: pip install easy-vqa") from None
    if context.split == "test":
        questions, paths = easy_vqa.get_test_questions(), easy_vqa.get_test_image_paths()
    else:
        questions, paths = easy_vqa.get_train_questions(), easy_vqa.get_train_image_paths()
    saved: dict[int, str] = {}
    for number, (question, answer, image) in enumerate(zip(*questions, strict=True)):
        if image not in saved:
            saved[image] = context.images.save(Path(paths[image]).read_bytes())
        yield {
            "id": f"{context.split}-{number:05d}",
            "image_path": saved[image],
            "image_size": SIZE,
            "problem": question,
            "question": question,
            "expected_answer": answer,
            "subset_for_metrics": _kind(answer),
        }


def _kind(answer: str) -> str:
    if answer in ("yes", "no"):
        return "yes-no"
    return "shape" if answer in SHAPES else "color"


PREPARER = Preparer(
    source="package easy-vqa",
    revision="1.0",
    rows=rows,
    expected_rows={"test": 9673, "train": 38575},
)
