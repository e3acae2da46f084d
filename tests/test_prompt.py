"""Prompts: placeholders beside JSON, images at their place, and errors that name file, line and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from evalkit.errors import UserError
from evalkit.images import BadImage, ImageSource
from evalkit.prompt import Message, Prompt, PromptConfig, Template, list_yaml, load_prompt
from evalkit.rows import Row

NAMES = st.sampled_from(["question", "problem", "x", "_y", "größe"])


def row(**fields: Any) -> Row:
    return Row(fields, str(fields.get("id", 7)), Path("rows.jsonl"), 7)


def prompt(user: str = "{question}", **keys: Any) -> Prompt:
    suffix = keys.pop("suffix", "")
    return Prompt(PromptConfig(user=user, **keys), "p.yaml", suffix=suffix)


def rendered(made: Prompt, **fields: Any) -> list[Message]:
    return made.render(row(**fields), "/data")


def user_parts(made: Prompt, **fields: Any) -> list[str]:
    """The user message's parts; images as ``<name>``."""
    parts = rendered(made, **fields)[-1].parts
    return [part if isinstance(part, str) else f"<{Path(part.location).name}>" for part in parts]


# --- templates ----------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.one_of(
            st.text(st.characters(exclude_characters="{}", exclude_categories=["Cs"])),
            st.sampled_from(["{{", "}}"]),
            NAMES.map("{{{}}}".format),
        )
    ),
    st.text(),
)
def test_what_str_format_takes_is_filled_as_str_format_does(pieces: list[str], value: str) -> None:
    # NeMo-Skills fills its prompts so; they must mean the same here.
    text = "".join(pieces)
    values = dict.fromkeys(["question", "problem", "x", "_y", "größe"], value)
    assert Template(text).fill(values) == text.format(**values)


WITHOUT_BRACES = st.text(st.characters(exclude_characters="{}", exclude_categories=["Cs"]), max_size=5)
JSON_OBJECTS = st.dictionaries(
    WITHOUT_BRACES,
    st.recursive(
        st.none() | st.integers() | WITHOUT_BRACES,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WITHOUT_BRACES, inner, max_size=2),
        max_leaves=4,
    ),
    max_size=3,
)


@given(JSON_OBJECTS, st.sampled_from([None, 2]))
@example({"json": 1}, None)
@example({}, None)
@example({"a": {"b": {}}}, None)
def test_literal_json_stays_as_it_is_and_a_placeholder_beside_it_is_filled(
    value: dict[str, Any], indent: int | None
) -> None:
    literal = json.dumps(value, indent=indent)
    assert Template(f"{literal}\n{{question}}").fill({"question": "Why?"}) == f"{literal}\nWhy?"


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ('{"answer": "{x}"}', '{"answer": "X"}'),
        ('{"answer": {x}}', '{"answer": X}'),
        ('Write {"a": 1}, not {{x}}.', 'Write {"a": 1}, not {x}.'),
        ("{{x}}", "{x}"),
        ("a } alone, {x}", "a } alone, X"),
        ("an open { and {x}", "an open { and X"),
        ("{x!r} {{x}} {", "{x!r} {x} {"),
        ("{x!r}", "{x!r}"),  # no formatting: JSON such as {a:1} must not be read as one
        ("{x:>3}", "{x:>3}"),
        ("{x.y}", "{x.y}"),
        ("{x!r} {x:>3} {x.y} {x[0]} {0} {x}", "{x!r} {x:>3} {x.y} {x[0]} {0} X"),
        (r"\frac{1}{2} {x}", r"\frac{1}{2} X"),
    ],
)
def test_braces_that_are_no_placeholder_are_text(text: str, filled: str) -> None:
    assert Template(text).fill({"x": "X"}) == filled


@given(st.text())
def test_any_text_is_a_template(text: str) -> None:
    template = Template(text)
    template.fill(dict.fromkeys(template.names, ""))


@given(st.text())
@example("{x}")
@example("{{x}}")
@example("{examples}")
@example("{")
def test_values_are_never_expanded_again(value: str) -> None:
    # A question about code has braces of its own.
    for text in ("{x}{y}", '{"a": 1}{x}{y}'):
        assert Template(text).fill({"x": value, "y": "!"}).endswith(value + "!")


def test_values_that_are_not_text_are_written_as_json() -> None:
    fields = {"a": 1.5, "b": ["é", None], "c": {"d": True}}
    assert Template("{a} {b} {c}").fill(fields) == '1.5 ["é", null] {"d": true}'


# --- rendering ----------------------------------------------------------------------------------------------


def test_a_system_message_comes_first_and_an_empty_one_not_at_all() -> None:
    with_system = rendered(prompt(system="You are {role}."), question="Q", role="kind")
    assert with_system == [Message("system", ("You are kind.",)), Message("user", ("Q",))]
    assert rendered(prompt(), question="Q") == [Message("user", ("Q",))]


def test_the_suffix_follows_the_text_as_it_stands() -> None:
    assert user_parts(prompt(suffix=" {x} /no_think"), question="Q") == ["Q {x} /no_think"]


def test_a_placeholder_that_is_no_field_names_row_prompt_line_and_the_nearest_field(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("# a comment\nuser: |-\n  Look.\n  {qestion}\n")
    with pytest.raises(UserError) as caught:
        load_prompt(str(path), []).render(row(id="a", question="Q"), "/data")
    message = str(caught.value)
    assert message.startswith("rows.jsonl:7: ")
    assert f"{{qestion}} ({path}:4) is not a field" in message
    assert "did you mean {question}?" in message
    assert "{{qestion}}" in message  # how to write the text itself


def test_a_field_without_a_value_is_told_apart_from_one_that_is_not_there() -> None:
    with pytest.raises(UserError, match="has no value") as caught:
        rendered(prompt(), question=None)
    assert "did you mean {question}" not in str(caught.value)


def test_falsy_values_are_values() -> None:
    assert user_parts(prompt("{a}{b}{c}"), a=0, b=False, c="") == ["0false"]


# --- images -------------------------------------------------------------------------------------------------


def test_images_stand_before_the_text_or_after_it() -> None:
    fields = {"question": "Q", "image_path": ["1.png", "2.png"]}
    assert user_parts(prompt(image_field="image_path"), **fields) == ["<1.png>", "<2.png>", "Q"]
    after = prompt(image_field="image_path", image_position="after")
    assert user_parts(after, **fields) == ["Q", "<1.png>", "<2.png>"]


def test_a_single_image_need_not_be_a_list() -> None:
    assert user_parts(prompt(image_field="image_path"), question="Q", image_path="1.png") == ["<1.png>", "Q"]


def test_image_tokens_put_each_image_at_its_place_and_the_others_where_the_prompt_says() -> None:
    made = prompt(image_field="i", image_position="after")
    fields = {"question": "<image 2> is like <image 1>?", "i": ["1.png", "2.png", "3.png"]}
    assert user_parts(made, **fields) == ["<2.png>", " is like ", "<1.png>", "?", "<3.png>"]


def test_a_second_token_of_an_image_is_text_since_the_image_is_sent_once() -> None:
    made = prompt(image_field="i")
    assert user_parts(made, question="<image 1> or <image 1>", i="1.png") == ["<1.png>", " or <image 1>"]


def test_image_tokens_are_text_in_a_prompt_without_images() -> None:
    assert user_parts(prompt(), question="<image 1>", image_path="1.png") == ["<image 1>"]


@given(
    st.integers(1, 4),
    st.lists(st.one_of(st.text(st.characters(exclude_characters="<")), st.integers(1, 4)), max_size=8),
    st.sampled_from(["before", "after"]),
)
def test_every_image_is_sent_once_and_no_text_is_lost(
    count: int, pieces: list[str | int], position: str
) -> None:
    pieces = [each for each in pieces if isinstance(each, str) or each <= count]
    text = "".join(each if isinstance(each, str) else f"<image {each}>" for each in pieces)
    made = prompt(image_field="i", image_position=position)
    (message,) = rendered(made, question=text, i=[f"{number}.png" for number in range(1, count + 1)])
    images = [Path(part.location).stem for part in message.parts if isinstance(part, ImageSource)]
    assert sorted(images) == [str(number) for number in range(1, count + 1)]
    named = list(dict.fromkeys(str(each) for each in pieces if isinstance(each, int)))
    assert [each for each in images if each in named] == named
    for number in named:
        text = text.replace(f"<image {number}>", "", 1)
    assert "".join(part for part in message.parts if isinstance(part, str)) == text


@pytest.mark.parametrize("token", ["<image 3>", "<image 0>"])
def test_a_token_without_its_image_is_an_error_with_the_row(token: str) -> None:
    with pytest.raises(UserError, match=rf"rows\.jsonl:7: {token} is asked for, and the row has 2 image"):
        rendered(prompt(image_field="i"), question=f"<image 1> {token}", i=["a", "b"])


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "is missing"),
        ({"i": None}, "is missing"),
        ({"i": []}, "is missing"),
        ({"i": 5}, "is 5, not a path or a list of paths"),
        ({"i": ["a", None]}, "not a path or a list of paths"),
    ],
)
def test_a_row_without_the_image_is_an_error_not_a_question_without_one(
    fields: dict[str, Any], complaint: str
) -> None:
    # A benchmark of images, answered without them, would look like a bad model.
    with pytest.raises(UserError, match=complaint) as caught:
        rendered(prompt(image_field="i"), question="Q", **fields)
    assert "rows.jsonl:7: the prompt's image_field 'i' (p.yaml)" in str(caught.value)


def test_an_image_outside_the_data_folder_is_told_with_its_row() -> None:
    with pytest.raises(BadImage, match=r"^rows\.jsonl:7: \.\./a\.png"):
        rendered(prompt(image_field="i"), question="Q", i="../a.png")


# --- few-shot examples --------------------------------------------------------------------------------------

FEW_SHOT = {"prefix": "Examples:\n", "template": "Q: {q} A: {{{a}}}\n", "suffix": "Now:\n"}


def test_few_shot_examples_stand_where_the_prompt_says() -> None:
    examples = [{"q": "1+1", "a": "2"}, {"q": "{x}", "a": "3"}]
    made = prompt("{examples}{question}", few_shot_examples={**FEW_SHOT, "examples": examples})
    assert user_parts(made, question="Q") == ["Examples:\nQ: 1+1 A: {2}\nQ: {x} A: {3}\nNow:\nQ"]


def test_without_examples_nothing_stands_there() -> None:
    assert user_parts(prompt("{examples}{question}", few_shot_examples=FEW_SHOT), question="Q") == ["Q"]


def test_examples_can_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "sums.yaml").write_text(yaml.safe_dump([{"q": "1+1", "a": "2"}]))
    config = {"user": "{examples}{question}", "few_shot_examples": {**FEW_SHOT, "examples_type": "sums"}}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(config))
    made = load_prompt("p", [tmp_path])
    assert user_parts(made, question="Q") == ["Examples:\nQ: 1+1 A: {2}\nNow:\nQ"]


@pytest.mark.parametrize("content", ["q: 1", "- 1", "[", "\t- a"])
def test_a_file_that_holds_no_examples_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "sums.yaml").write_text(content)
    (tmp_path / "p.yaml").write_text("user: u\nfew_shot_examples: {examples_type: sums}\n")
    with pytest.raises(UserError, match=r"sums\.yaml: "):
        load_prompt("p", [tmp_path])


def test_an_example_without_a_field_of_the_template_is_an_error() -> None:
    with pytest.raises(UserError, match=r"p\.yaml: a few-shot example has no field 'a'"):
        prompt(few_shot_examples={**FEW_SHOT, "examples": [{"q": "1"}]})


# --- files --------------------------------------------------------------------------------------------------


def test_the_users_folders_come_before_the_built_in_ones(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name / "vlm").mkdir(parents=True)
        (tmp_path / name / "vlm" / "p.yaml").write_text(f"user: {name}")
    (tmp_path / "second" / "only.yaml").write_text("user: only")
    folders = [tmp_path / "first", tmp_path / "second"]
    assert load_prompt("vlm/p", folders).config.user == "first"
    assert load_prompt("only", folders).config.user == "only"
    assert load_prompt(str(tmp_path / "second" / "vlm" / "p.yaml"), folders).config.user == "second"
    assert list_yaml(folders) == ["only", "vlm/p"]


def test_an_unknown_name_gets_the_nearest_one_and_a_path_does_not(tmp_path: Path) -> None:
    (tmp_path / "general.yaml").write_text("user: u")
    with pytest.raises(UserError, match=r"prompt 'genral' .*did you mean general\?"):
        load_prompt("genral", [tmp_path])
    with pytest.raises(UserError, match=r"prompt genral\.yaml: there is no such file"):
        load_prompt("genral.yaml", [tmp_path])


def test_system_and_user_text_can_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("user: u\nsystem: s\n")
    made = load_prompt("p", [tmp_path], system="", user="{question}!", suffix="?")
    assert rendered(made, question="Q") == [Message("user", ("Q!?",))]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("usr: u", "user: Field required"),
        ("user: u\nimage_feild: i", "unknown key image_feild; did you mean image_field?"),
        ("user: u\nfew_shot_examples: {prefx: a}", "did you mean few_shot_examples.prefix?"),
        ("user: u\nimage_position: above", "image_position: "),
        ("user: 5", "user: "),
        ("- user", "is a mapping"),
        ("user: [", "not YAML"),
        ("", "is a mapping"),
    ],
)
def test_a_wrong_prompt_file_is_one_line_with_its_name_and_key(
    content: str, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        load_prompt(str(path), [])
    assert str(caught.value).startswith(f"{path}: ")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_prompt_of_nemo_skills_works_unchanged(tmp_path: Path) -> None:
    # Its vlm/mmmu-pro, with the braces of its other prompts.
    (tmp_path / "p.yaml").write_text(
        "image_field: image_path\nimage_position: before\n\nuser: |-\n"
        "  Put your answer in \\boxed{{}}.\n\n  {problem}\n"
    )
    made = load_prompt("p", [tmp_path])
    assert user_parts(made, problem="A. {x}\nB. y", image_path="images/1.png") == [
        "<1.png>",
        "Put your answer in \\boxed{}.\n\nA. {x}\nB. y",
    ]
