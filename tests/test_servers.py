"""Addresses of servers, and what each kind of server is told of the sampling."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.config import compose
from evalkit.errors import UserError
from evalkit.servers.dialects import RESERVED, sampling_parameters
from evalkit.servers.endpoint import base_url
from evalkit.servers.http import api_key
from evalkit.servers.server import Server


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("http://host:8000", "http://host:8000/v1"),
        ("http://host:8000/", "http://host:8000/v1"),
        ("http://host:8000/v1", "http://host:8000/v1"),
        ("http://host:8000/v1/", "http://host:8000/v1"),
        ("http://host/v1/chat/completions", "http://host/v1"),
        ("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("http://me:pw@host/v1", "http://me:pw@host/v1"),
    ],
)
def test_the_forms_in_which_people_give_an_address(address: str, url: str) -> None:
    assert base_url(address) == url


@pytest.mark.parametrize(
    "address",
    [
        "",
        "host:8000",
        "localhost",
        "ftp://host",
        "http://",
        "http://host:abc/v1",
        "http://[::1",
        "http://a b/v1",
    ],
)
def test_what_is_no_address_is_refused_before_anything_starts(address: str) -> None:
    with pytest.raises(UserError, match=r"--server_address=.*: must be a URL such as"):
        base_url(address)


@given(st.text(st.sampled_from("htps:/[]@.1a ?#%\\")))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    with suppress(UserError):
        assert base_url(text).startswith("http")


def test_the_server_is_embedded_without_an_address_and_vllm_with_one() -> None:
    assert Server.of(None, None, None).kind == "embedded"
    assert Server.of(None, "http://host/v1", None).kind == "vllm"


@pytest.mark.parametrize(
    ("kind", "address", "complaint"),
    [
        ("vlm", None, "--server_type=vlm: must be one of embedded, vllm, sglang, openai"),
        ("embedded", "http://host/v1", "leave out --server_address"),
        ("openai", None, "--server_type=openai: give the --server_address"),
        ("vllm", "host:8000", "--server_address=host:8000: must be a URL"),
    ],
)
def test_flags_that_do_not_fit_together_are_refused(kind: str, address: str | None, complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        Server.of(kind, address, None)
    assert complaint in str(caught.value)


def test_the_key_comes_from_the_environment_ours_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert api_key() is None
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    assert api_key() == "theirs"
    monkeypatch.setenv("EVALKIT_API_KEY", "ours")
    assert api_key() == "ours"


# --- sampling -----------------------------------------------------------------------------------------------


def parameters(server_type: str, *overrides: str) -> dict[str, Any]:
    return sampling_parameters(compose([f"++{each}" for each in overrides]), server_type)


def test_by_default_only_what_has_an_effect_is_sent() -> None:
    assert parameters("vllm") == {"temperature": 0.0, "top_p": 0.95, "max_tokens": 2048}
    assert parameters("sglang") == parameters("vllm")
    # Hosted reasoning models refuse the old name of the limit.
    assert parameters("openai") == {"temperature": 0.0, "top_p": 0.95, "max_completion_tokens": 2048}


def test_llama_cpp_is_told_what_is_off_since_its_own_defaults_are_on() -> None:
    assert parameters("embedded") == {
        "temperature": 0.0,
        "top_p": 0.95,
        "max_tokens": 2048,
        "top_k": 0,
        "min_p": 0.0,
        "repeat_penalty": 1.0,
    }


def test_every_sampling_option_reaches_a_server_of_ones_own() -> None:
    options = (
        "inference.temperature=0.5",
        "inference.top_p=0.6",
        "inference.top_k=7",
        "inference.min_p=0.1",
        "inference.tokens_to_generate=9",
        "inference.repetition_penalty=1.1",
        "inference.presence_penalty=0.2",
        "inference.frequency_penalty=0.3",
        "inference.stop=[x]",
        "inference.top_logprobs=3",
        "inference.reasoning_effort=low",
        "chat_template_kwargs.enable_thinking=false",
    )
    common = {
        "temperature": 0.5,
        "top_p": 0.6,
        "max_tokens": 9,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
        "stop": ["x"],
        "logprobs": True,
        "top_logprobs": 3,
        "reasoning_effort": "low",
        "chat_template_kwargs": {"enable_thinking": False},
        "top_k": 7,
        "min_p": 0.1,
    }
    assert parameters("vllm", *options) == {**common, "repetition_penalty": 1.1}
    assert parameters("embedded", *options) == {**common, "repeat_penalty": 1.1}


@pytest.mark.parametrize("option", ["top_k=5", "min_p=0.1", "repetition_penalty=1.2"])
def test_what_a_hosted_server_does_not_take_is_refused_rather_than_dropped(option: str) -> None:
    # Dropped in silence, two runs would be compared that were sampled differently.
    with pytest.raises(UserError, match=rf"inference\.{option}: hosted OpenAI servers do not take it"):
        parameters("openai", f"inference.{option}")


def test_extra_fields_of_the_body_win_but_not_over_what_evalkit_must_set() -> None:
    assert parameters("vllm", "inference.extra_body={temperature: 1, mine: [2]}") == {
        "temperature": 1,
        "top_p": 0.95,
        "max_tokens": 2048,
        "mine": [2],
    }
    for key in RESERVED:
        with pytest.raises(UserError, match=f"inference.extra_body.{key}: evalkit sets '{key}' itself"):
            parameters("vllm", f"inference.extra_body.{key}=1")
