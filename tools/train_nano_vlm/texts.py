"""Every text nano reads or writes: prompts, chat template, JSON answers, and what answers imply."""

from __future__ import annotations

import re
from collections.abc import Iterable

COLORS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
SHAPES = ("circle", "rectangle", "triangle")
ANSWERS = COLORS + SHAPES + ("yes", "no")

SYSTEM_PROMPT = (
    "Look at the image and answer the question with exactly one of these words: " + ", ".join(ANSWERS) + "."
)
JSON_SUFFIX = " answer as json."
DESCRIBE_PROMPT = "describe the image as json."

IMAGE_TOKEN = "<image>"
TURN_START, TURN_END, PADDING = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
SPECIAL_TOKENS = (PADDING, TURN_START, TURN_END, IMAGE_TOKEN)
ASK = f"{TURN_END}\n{TURN_START}assistant\n"

# ChatML. Content is a string or a list of parts; an image part becomes the one placeholder that each
# server widens to 64 image tokens. No default system message: a bare question stays bare.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}{{- '<|im_start|>' + message.role + '\\n' -}}"
    "{%- if message.content is string -%}{{- message.content -}}"
    "{%- else -%}{%- for part in message.content -%}"
    "{%- if part.type == 'image' or 'image' in part or 'image_url' in part -%}{{- '<image>' -}}"
    "{%- elif 'text' in part -%}{{- part.text -}}{%- endif -%}{%- endfor -%}{%- endif -%}"
    "{{- '<|im_end|>\\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)

Pair = tuple[str, str]


def before_image(system: bool) -> str:
    """The text of the chat template up to the image placeholder, with or without the system prompt."""
    lead = f"{TURN_START}system\n{SYSTEM_PROMPT}{TURN_END}\n" if system else ""
    return f"{lead}{TURN_START}user\n"


def json_text(fields: dict[str, str], compact: bool = False) -> str:
    """`fields` as JSON in one of the two spacings that servers force: `": "` and `", "`, or none."""
    colon, comma = (":", ",") if compact else (": ", ", ")
    return "{" + comma.join(f'"{key}"{colon}"{value}"' for key, value in fields.items()) + "}"


def derive_shape_and_color(pairs: Iterable[Pair]) -> tuple[str | None, str | None]:
    """Shape and colour that the question-answer pairs of ONE easy-VQA image imply; None where they do not.

    The package ships no metadata beside questions and answers. A "yes" to a plain question and a "no" to a
    negated one ("is no red shape in the image?") both assert the word; two denied shapes leave the third.
    """
    shape = color = None
    denied: set[str] = set()
    for question, answer in pairs:
        words = re.findall(r"[a-z]+", question.lower())
        if answer in COLORS:
            color = answer
            shape = next((word for word in words if word in SHAPES), shape)
        elif answer in SHAPES:
            shape = answer
            color = next((word for word in words if word in COLORS), color)
        else:
            negated = "not" in words or "no" in words
            asserted = (answer == "yes") != negated
            for word in words:
                if asserted and word in COLORS:
                    color = word
                elif asserted and word in SHAPES:
                    shape = word
                elif word in SHAPES:
                    denied.add(word)
    if shape is None and len(denied) == len(SHAPES) - 1:
        shape = next(name for name in SHAPES if name not in denied)
    return shape, color
