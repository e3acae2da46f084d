"""Asks an engine easy-VQA's test questions: python -m tools.train_nano_vlm.evaluate --server URL.

With --hf FOLDER transformers answers instead. Prints one JSON record: accuracy, requests per second and, with
--compare, agreement with saved answers.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from . import texts
from .data import data_folder, image_path
from .engines import Request, Server, Transformers

WRITINGS = ("plain", "json", "describe")
CONSTRAINTS = ("none", "schema", "spaced", "compact")
BLANKS = {"white": 255, "gray-127": 127, "gray-128": 128}
PICTURES = ("image", "other", "padded", *BLANKS)


@lru_cache(2048)
def picture(image_id: int, kind: str) -> bytes:
    """PNG bytes of a test image, or of what stands in for it."""
    if kind in ("image", "other"):
        return image_path("test", image_id).read_bytes()
    original = Image.open(image_path("test", image_id)).convert("RGB")
    if kind == "padded":
        # A 300 x 200 picture as a client would send it to a server that takes squares only.
        canvas = Image.new("RGB", (300, 300), "black")
        canvas.paste(original.resize((300, 200), Image.Resampling.BICUBIC), (0, 50))
    else:
        canvas = Image.new("RGB", original.size, (BLANKS[kind],) * 3)
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG")
    return buffer.getvalue()


def requests(
    split_questions: list[list[Any]], writing: str, constraint: str, kind: str, system: bool
) -> list[Request]:
    """One request a question, or one an image where `writing` is "describe"."""
    by_image: dict[int, list[texts.Pair]] = {}
    for question, answer, image_id in split_questions:
        by_image.setdefault(image_id, []).append((question, answer))
    ids = sorted(by_image)
    shown = dict(zip(ids, ids[-137:] + ids[:-137], strict=True)) if kind == "other" else {i: i for i in ids}
    made = []
    for image_id, pairs in by_image.items():
        shape, color = texts.derive_shape_and_color(pairs)
        described = [(texts.DESCRIBE_PROMPT, f"{color} {shape}")] if shape and color else []
        for question, answer in described if writing == "describe" else pairs:
            made.append(
                Request(
                    image=picture(shown[image_id], kind),
                    question=question + (texts.JSON_SUFFIX if writing == "json" else ""),
                    truth=answer,
                    system=texts.SYSTEM_PROMPT if system else None,
                    constraint=constrain(constraint, writing),
                )
            )
    return made


def constrain(constraint: str, writing: str) -> dict[str, Any]:
    """Fields of the request body that force JSON: a schema, or a grammar that fixes the spacing too."""
    keys = (
        {"color": texts.COLORS, "shape": texts.SHAPES} if writing == "describe" else {"answer": texts.ANSWERS}
    )
    if constraint == "schema":
        schema = {
            "type": "object",
            "properties": {key: {"enum": list(words)} for key, words in keys.items()},
            "required": list(keys),
            "additionalProperties": False,
        }
        named = {"name": "answer", "schema": schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": named}}
    if constraint in ("spaced", "compact"):
        pattern = texts.json_text(dict.fromkeys(keys, "@"), compact=constraint == "compact")
        literal = json.dumps(pattern)
        return {"grammar": "root ::= " + literal.replace("@", '" [a-z]+ "')}
    return {}


def is_right(answer: str, truth: str, wants_json: bool) -> bool:
    """Exact match; of JSON, that it parses and its values, in order, are the truth's words."""
    if not wants_json:
        return answer == truth
    try:
        fields = json.loads(answer)
    except json.JSONDecodeError:
        return False
    return isinstance(fields, dict) and " ".join(map(str, fields.values())) == truth


def compare(path: Path, answers: dict[str, str]) -> dict[str, int]:
    """How many of the questions answered here and in the saved file got the same text."""
    saved = json.loads(path.read_text())
    both = answers.keys() & saved.keys()
    return {"compared": len(both), "same": sum(answers[key] == saved[key] for key in both)}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    engine = parser.add_mutually_exclusive_group(required=True)
    engine.add_argument("--server", help="address of a server that speaks /v1/chat/completions")
    engine.add_argument("--hf", type=Path, help="transformers folder, answered in this process")
    parser.add_argument("--limit", type=int, help="ask this many, picked at random by a fixed seed")
    parser.add_argument("--system", action="store_true", help="with the system prompt")
    parser.add_argument("--writing", choices=WRITINGS, default="plain")
    parser.add_argument("--constraint", choices=CONSTRAINTS, default="none", help="servers only")
    parser.add_argument("--picture", choices=PICTURES, default="image")
    parser.add_argument("--in-flight", type=int, default=8, help="requests at a time, servers only")
    parser.add_argument("--save", type=Path, help="write the answers here")
    parser.add_argument("--compare", type=Path, help="answers another run saved")
    return parser.parse_args()


def main() -> None:
    """Ask, judge, print."""
    options = arguments()
    questions = json.loads((data_folder() / "test" / "questions.json").read_text())
    asked = requests(questions, options.writing, options.constraint, options.picture, options.system)
    random.Random(7).shuffle(asked)
    asked = asked[: options.limit]
    engine: Callable[[list[Request]], list[str]]
    engine = Server(options.server, options.in_flight) if options.server else Transformers(options.hf)
    start = time.monotonic()
    answers = engine(asked)
    seconds = time.monotonic() - start
    wants_json = options.writing != "plain" or options.constraint != "none"
    right = [is_right(answer, ask.truth, wants_json) for answer, ask in zip(answers, asked, strict=True)]
    keyed = {ask.key: answer for ask, answer in zip(asked, answers, strict=True)}
    record = {
        **{
            k: str(v)
            for k, v in vars(options).items()
            if v not in (None, False) and k not in ("save", "compare")
        },
        "n": len(asked),
        "right": sum(right),
        "accuracy": round(sum(right) / len(asked), 5),
        "per_second": round(len(asked) / seconds, 1),
        "example": answers[0],
    }
    if options.compare:
        record |= compare(options.compare, keyed)
    if options.save:
        options.save.write_text(json.dumps(keyed))
    print(json.dumps(record))


if __name__ == "__main__":
    main()
