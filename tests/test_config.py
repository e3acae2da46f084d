"""The config: what ``++key=value`` sets, in which order layers win, and what is refused before a run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import initialize
from hydra.core.global_hydra import GlobalHydra
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from evalkit.config import Protocol, RunConfig, as_plain, compose, known_keys, wrap_arguments
from evalkit.errors import UserError


def refusal(overrides: Sequence[str] = (), **layers: Any) -> str:
    """The message with which a config is refused; it is one line."""
    with pytest.raises(UserError) as caught:
        compose(overrides, **layers)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# --- text ---------------------------------------------------------------------------------------------------


TEXT_KEYS = ("prompt_suffix", "system_message", "user_message", "end_reasoning_string", "generation_key")

AWKWARD_TEXTS = (
    "</think>",
    " Think first. ",  # Hydra would cut the blanks off
    "1e3",  # Hydra would make it 1000.0
    "true",
    "[a, b]",
    "{answer: 1}",
    r"\boxed{${x}$}",  # LaTeX, not an interpolation
    r"\${x}",
    "it's",
    "a, b",
    "C:\\folder\\",
    "a=b",
    "???x",
    "glob(*)",
    "",
)

LETTERS = st.one_of(st.sampled_from("\\'\"${}[]()<>,=: 1e~"), st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.text(LETTERS), min_size=len(TEXT_KEYS), max_size=len(TEXT_KEYS)))
@settings(max_examples=15)  # of five texts each
@example(list(AWKWARD_TEXTS[:5]))
@example(list(AWKWARD_TEXTS[5:10]))
@example(list(AWKWARD_TEXTS[10:]))
def test_text_reaches_a_text_key_as_it_was_typed(texts: list[str]) -> None:
    for text in texts:
        assume(text[:1] not in ("'", '"') and text != "null" and text.strip() != "???")
    config = as_plain(compose([f"++{key}={text}" for key, text in zip(TEXT_KEYS, texts, strict=True)]))
    assert [config[key] for key in TEXT_KEYS] == texts


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("'two words'", "two words"),
        ('" blanks "', " blanks "),
        ("'null'", "null"),
        (r"'it\'s'", "it's"),
        ("'a' and 'b'", "'a' and 'b'"),  # not one quoted value, so text as it stands
        ("'unbalanced", "'unbalanced"),
    ],
)
def test_a_text_that_is_quoted_as_a_whole_loses_its_quotes(typed: str, value: str) -> None:
    assert compose([f"++system_message={typed}"]).system_message == value


def test_null_takes_an_optional_text_away() -> None:
    layers = [("benchmark b", {"system_message": "of the benchmark"})]
    assert compose(["++system_message=null"], layers=layers).system_message is None
    assert "++prompt_suffix=null" in refusal(["++prompt_suffix=null"])


def test_three_question_marks_are_refused_since_hydra_takes_them_for_nothing() -> None:
    # They would be dropped in silence.
    assert "++prompt_suffix=???" in refusal(["++prompt_suffix=???"])


# --- lists and mappings -------------------------------------------------------------------------------------


def test_lists_of_quoted_texts_with_spaces_and_signs() -> None:
    assert compose(["++inference.stop=['two words', '</think>', x]"]).inference.stop == [
        "two words",
        "</think>",
        "x",
    ]


def test_a_list_with_bare_signs_says_that_quotes_are_needed() -> None:
    message = refusal(["++inference.stop=[</think>]"])
    assert "++inference.stop=[</think>]" in message
    assert "quotes" in message


def test_free_keys_take_any_mapping_and_layers_add_to_it() -> None:
    config = compose(
        ["++inference.extra_body.guided.regex='a|b'", "++chat_template_kwargs.enable_thinking=false"],
        layers=[("benchmark b", {"inference": {"extra_body": {"seed_of": [1, 2]}}})],
    )
    assert config.inference.extra_body == {"seed_of": [1, 2], "guided": {"regex": "a|b"}}
    assert config.chat_template_kwargs == {"enable_thinking": False}


def test_a_later_list_replaces_an_earlier_one() -> None:
    layers = [("benchmark b", {"inference": {"stop": ["a", "b"]}})]
    assert compose(["++inference.stop=[c]"], layers=layers).inference.stop == ["c"]


# --- order --------------------------------------------------------------------------------------------------


def test_command_line_beats_file_beats_benchmark_beats_defaults(tmp_path: Path) -> None:
    config = compose(
        ["++inference.temperature=4"],
        layers=[("benchmark b", {"inference": {"temperature": 2, "top_p": 0.2, "top_k": 2}})],
        config_file=written(tmp_path, "inference: {temperature: 3, top_p: 0.3}"),
    )
    inference = config.inference
    assert (inference.temperature, inference.top_p, inference.top_k, inference.min_p) == (4, 0.3, 2, 0)


def test_of_two_overrides_of_a_key_the_later_wins() -> None:
    assert compose(["++max_samples=5", "++max_samples=7"]).max_samples == 7


def test_what_run_yaml_records_can_be_given_back_as_a_config_file(tmp_path: Path) -> None:
    config = compose(["++protocol=official", "++inference.stop=['</s>']", "++prompt_suffix= x: 'y'"])
    path = written(tmp_path, yaml.safe_dump(as_plain(config)))
    assert compose(config_file=path) == config
    assert config.protocol is Protocol.official


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("inference.temprature", "inference.temperature"),
        ("temperature", "inference.temperature"),  # NeMo-Skills users forget the group
        ("maxsamples", "max_samples"),
        ("prompt-suffix", "prompt_suffix"),
        ("retry.attempt", "retry.attempts"),
        ("inference.stop.0", "inference.stop"),
        ("inference.stop.first", "inference.stop"),
        ("prompt_suffix.x", "prompt_suffix"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_right_one(wrong: str, right: str, tmp_path: Path) -> None:
    assert f"unknown key {wrong}; did you mean {right}?" in refusal([f"++{wrong}=1"])
    nested: Any = 1
    for part in reversed(wrong.split(".")):
        nested = {part: nested}
    assert f"did you mean {right}?" in refusal(layers=[("benchmark b", nested)])
    path = written(tmp_path, yaml.safe_dump(nested))
    message = refusal(config_file=path)
    assert str(path) in message
    assert f"did you mean {right}?" in message


@settings(max_examples=50)
@given(st.from_regex(r"[a-z_]{1,12}(\.[a-z_]{1,12}){0,2}", fullmatch=True), st.sampled_from(["", "+", "++"]))
@example("hydra.run.dir", "++")  # Hydra has it, and would take it without a word
@example("hydra.run.dir", "")
@example("defaults", "++")
def test_every_key_that_is_not_ours_is_refused_by_name(key: str, plus: str) -> None:
    groups = {each.rpartition(".")[0] for each in known_keys()}
    assume(key not in known_keys() and key not in groups)
    assume(not key.startswith(("inference.extra_body.", "chat_template_kwargs.")))
    assert f"unknown key {key};" in refusal([f"{plus}{key}=1"])


@pytest.mark.parametrize("override", ["++=1", "=", "+", "++max_samples", "~max_samples", "", "++ =1"])
def test_an_override_without_a_key_or_a_value_is_refused(override: str) -> None:
    assert refusal([override]).startswith(("unknown key ", f"{override}: an override reads ++key=value"))


@pytest.mark.parametrize(
    "override",
    [
        "++max_samples=ten",
        "++max_samples=10.5",
        "++max_samples=true",
        "++max_samples=[1]",
        "++inference.temperature=warm",
        "++inference.temperature=0.1,0.2",  # a sweep to Hydra
        "++inference.stop=word",
        "++inference.extra_body=5",
        "++inference=5",
        "++server=null",
        "++skip_filled=maybe",
        "++protocol=lenient",
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_its_key(override: str) -> None:
    assert refusal([override]).startswith(f"{override}: ")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("inference: {temperature: warm}", "inference.temperature"),
        ("max_samples: true", "max_samples"),
        ("prompt_suffix: null", "prompt_suffix"),
        ("inference: null", "inference"),
        ("inference: {stop: word}", "inference.stop"),
        ("inference: {extra_body: null}", "inference.extra_body"),
        ("max_samples: 2000-01-01", "max_samples"),
    ],
)
def test_a_wrong_type_in_a_file_is_refused_with_file_and_key(text: str, key: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    assert refusal(config_file=path).startswith(f"{path}: {key}: ")


@pytest.mark.parametrize(
    "override",
    [
        "++max_samples=0",
        "++max_concurrent_requests=0",
        "++inference.temperature=-0.1",
        "++inference.temperature=nan",
        "++inference.temperature=inf",
        "++inference.tokens_to_generate=0",
        "++retry.attempts=0",
        "++image_limits.max_pixels=0",
    ],
)
def test_a_value_that_no_run_can_have_is_refused(override: str) -> None:
    key, _, value = override.removeprefix("++").partition("=")
    assert refusal([override]).startswith(f"{key}={value}: must be")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("- a", "must be a mapping"),
        ("just text", "must be a mapping"),
        ("a: [", "not YAML"),
        ("prompt_suffix: !!python/object:os.system {}", "not YAML"),
        (b"prompt_suffix: \xff\xfe", "not YAML"),
    ],
)
def test_a_file_that_is_no_config_is_refused_by_name(
    content: str | bytes, complaint: str, tmp_path: Path
) -> None:
    message = refusal(config_file=written(tmp_path, content))
    assert message.startswith(f"--config_file={tmp_path / 'config.yaml'}: {complaint}")


def test_a_missing_config_file_is_refused_by_name(tmp_path: Path) -> None:
    assert f"--config_file={tmp_path / 'no.yaml'}: No such file" in refusal(config_file=tmp_path / "no.yaml")


def test_an_empty_config_file_changes_nothing(tmp_path: Path) -> None:
    assert compose(config_file=written(tmp_path, "# nothing yet\n")) == RunConfig()


# --- around -------------------------------------------------------------------------------------------------


def test_composing_leaves_the_hydra_of_a_calling_program_alone() -> None:
    with initialize(config_path=None, version_base="1.3"):
        compose(["++max_samples=1"])
        assert GlobalHydra.instance().is_initialized()
    compose(["++max_samples=1"])
    assert not GlobalHydra.instance().is_initialized()


def test_wrapped_arguments_are_split_as_a_shell_does() -> None:
    assert wrap_arguments("""++a.b=1 ++c='two words' ++d="</think>" ++e=[1,2]""") == [
        "++a.b=1",
        "++c=two words",
        "++d=</think>",
        "++e=[1,2]",
    ]
    with pytest.raises(UserError, match="No closing quotation"):
        wrap_arguments("++a='b")


@given(st.text(max_size=20))
def test_text_quoted_for_a_shell_survives_wrap_arguments(text: str) -> None:
    assert wrap_arguments(f"++a={shlex.quote(text)}") == [f"++a={text}"]
