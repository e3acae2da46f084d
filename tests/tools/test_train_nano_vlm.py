"""nano's training code: what answers imply, that packing changes nothing, that files match the card."""

import hashlib
import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # tools/ is run by hand and not installed

from tools.train_nano_vlm import texts  # noqa: E402

TRAINING = ("torch", "transformers", "easy_vqa")
MISSING = [name for name in TRAINING if find_spec(name) is None]
needs_training = pytest.mark.skipif(
    bool(MISSING), reason=f"tools/train_nano_vlm/requirements.txt is not installed: no {', '.join(MISSING)}"
)
needs_gguf = pytest.mark.skipif(find_spec("gguf") is None, reason="needs the gguf package")
SHIPPED = ROOT / "evalkit" / "servers" / "nano"


@pytest.mark.parametrize(
    ("pairs", "derived"),
    [
        ([("what is the blue shape?", "circle")], ("circle", "blue")),
        ([("what color is the triangle?", "red")], ("triangle", "red")),
        ([("what shape is in the image?", "rectangle")], ("rectangle", None)),
        ([("is there a teal shape?", "yes")], (None, "teal")),
        ([("is there a teal shape?", "no")], (None, None)),
        # Denying an absence asserts a presence, affirming one does not.
        ([("is there not a circle?", "no")], ("circle", None)),
        ([("is there not a circle?", "yes")], (None, None)),
        ([("is no red shape present?", "no")], (None, "red")),
        # Of three shapes two are denied, each in its own way: the third is left.
        ([("is there a circle?", "no"), ("is no triangle present?", "yes")], ("rectangle", None)),
    ],
)
def test_shape_and_color_follow_from_answers(pairs, derived):
    assert texts.derive_shape_and_color(pairs) == derived


@pytest.mark.parametrize("compact", [False, True])
def test_json_answers_parse_in_both_spacings(compact):
    text = texts.json_text({"color": "red", "shape": "circle"}, compact)
    assert json.loads(text) == {"color": "red", "shape": "circle"}
    assert (" " in text) is not compact


@pytest.mark.parametrize("system", [False, True])
@pytest.mark.parametrize("parts", [False, True], ids=["string", "parts"])
def test_training_prefix_is_what_the_chat_template_renders(system, parts):
    jinja2 = pytest.importorskip("jinja2", reason="renders the chat template")
    user = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "is there a circle?"}]}
    wording = [{"type": "text", "text": texts.SYSTEM_PROMPT}] if parts else texts.SYSTEM_PROMPT
    messages = [{"role": "system", "content": wording}] * system + [user]
    rendered = jinja2.Template(texts.CHAT_TEMPLATE).render(messages=messages, add_generation_prompt=True)
    expected = f"{texts.before_image(system)}{texts.IMAGE_TOKEN}is there a circle?{texts.ASK}"
    assert rendered == expected


@needs_training
def test_a_segment_attends_to_prefix_and_itself_only():
    from tools.train_nano_vlm.packing import Segment, pack

    segments = [Segment([5], [6], [True], "open"), Segment([7], [8, 9], [True, False], "open")]
    batch = pack([[1, 2]], [segments])
    assert batch.positions[0, :7].tolist() == [0, 1, 2, 3, 2, 3, 4]
    assert batch.labels[0, :7].tolist() == [-100, -100, -100, 6, -100, 8, -100]
    mask = batch.mask[0, 0]
    seen = [mask[row].nonzero().flatten().tolist() for row in range(8)]
    assert seen[:7] == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 4], [0, 1, 4, 5], [0, 1, 4, 5, 6]]
    assert mask.any(1).all(), "a padded position that attends to nothing turns the whole row into NaN"


@needs_training
def test_packed_questions_score_as_they_do_alone():
    import torch

    from tools.train_nano_vlm.lessons import Lessons
    from tools.train_nano_vlm.model import build_model, predict
    from tools.train_nano_vlm.packing import pack
    from tools.train_nano_vlm.tokenizer import build_tokenizer

    torch.manual_seed(0)
    tokenizer = build_tokenizer(["what is the blue shape?", "is there a circle?"])
    model, lessons = build_model(tokenizer).eval(), Lessons(tokenizer)
    row = lessons.exam_row([("what is the blue shape?", "circle"), ("is there a circle?", "yes")], 2)
    pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    prefix = lessons.prefix(system=True)
    with torch.no_grad():
        together = predict(model, pixels, pack([prefix], [row]), bf16=False).logits
        alone = [predict(model, pixels, pack([prefix], [[part]]), bf16=False).logits for part in row]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


@needs_training
def test_compact_json_is_cut_where_a_schema_forces_the_quote():
    from tools.train_nano_vlm.lessons import Lessons
    from tools.train_nano_vlm.tokenizer import build_tokenizer

    tokenizer = build_tokenizer(["is there a circle?"])
    segment = Lessons(tokenizer).json_answer("is there a circle?", "yes", compact=True)
    pieces = tokenizer.convert_ids_to_tokens(segment.answer)
    assert pieces == ['{"', "answer", '":', '"', "yes", '"}', texts.TURN_END]
    assert segment.labelled == [True, True, True, False, True, True, True]


@needs_training
def test_augmented_images_keep_their_shape_whole():
    import numpy as np
    import torch

    from tools.train_nano_vlm.data import Augmenter, shape_box

    image = torch.full((3, 64, 64), 240, dtype=torch.uint8)
    image[:, 3:23, 40:60] = 10
    augment = Augmenter(image[None], np.random.default_rng(0), shrink_share=0.0)
    places = set()
    for variant in augment(np.zeros(50, dtype=int)):
        left, right, top, bottom = shape_box(variant)
        assert (right - left, bottom - top) == (19, 19)
        assert int((variant[0] == 10).sum()) == 400
        places.add((left, top))
    assert len(places) > 40


@needs_gguf
def test_rotary_order_pairs_the_rows_that_transformers_rotates_together():
    import numpy as np

    from tools.train_nano_vlm.gguf_files import rope_order

    rows = np.arange(16)[:, None]  # two heads of eight: transformers rotates 0 with 4, ggml neighbours
    assert rope_order(rows, 2)[:, 0].tolist() == [0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15]


def test_shipped_weights_are_those_of_the_model_card():
    card = (SHIPPED / "README.md").read_text()
    for name in ("nano.gguf", "nano-mmproj.gguf", "hf/model.safetensors"):
        assert hashlib.sha256((SHIPPED / name).read_bytes()).hexdigest() in card, name


def test_shipped_template_is_the_one_nano_was_trained_with():
    assert (SHIPPED / "hf" / "chat_template.jinja").read_text() == texts.CHAT_TEMPLATE
