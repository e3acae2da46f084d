"""How each kind of server wants sampling parameters to be named."""

from __future__ import annotations

from typing import Any

from evalkit.config import InferenceConfig, RunConfig
from evalkit.errors import UserError

RESERVED = ("model", "messages", "stream", "n", "seed")


def sampling_parameters(config: RunConfig, server_type: str) -> dict[str, Any]:
    """The fields of a request's body beside model, messages and seed.

    What has no effect is left out; llama.cpp is told even so, since its own defaults differ.
    """
    inference = config.inference
    fields: dict[str, Any] = {"temperature": inference.temperature, "top_p": inference.top_p}
    if inference.tokens_to_generate is not None:
        # Hosted reasoning models take the new name alone; model servers know the old one.
        name = "max_completion_tokens" if server_type == "openai" else "max_tokens"
        fields[name] = inference.tokens_to_generate
    optional = {
        "presence_penalty": inference.presence_penalty or None,
        "frequency_penalty": inference.frequency_penalty or None,
        "stop": inference.stop or None,
        "reasoning_effort": inference.reasoning_effort,
        "chat_template_kwargs": config.chat_template_kwargs or None,
    }
    if inference.top_logprobs is not None:
        optional |= {"logprobs": True, "top_logprobs": inference.top_logprobs}
    optional |= _not_in_openai(inference, server_type)
    fields |= {key: value for key, value in optional.items() if value is not None}
    if server_type == "openai" and inference.stream:
        raise UserError("inference.stream: hosted servers' replies are not streamed; raise inference.timeout")
    for key in RESERVED:
        if key in inference.extra_body:
            raise UserError(f"inference.extra_body.{key}: evalkit sets {key!r} itself")
    return {**fields, **inference.extra_body}


def _not_in_openai(inference: InferenceConfig, server_type: str) -> dict[str, Any]:
    if server_type == "embedded":
        return {
            "top_k": max(inference.top_k, 0),
            "min_p": inference.min_p,
            "repeat_penalty": inference.repetition_penalty,
        }
    changed = {
        "top_k": inference.top_k if inference.top_k > 0 else None,
        "min_p": inference.min_p or None,
        "repetition_penalty": inference.repetition_penalty if inference.repetition_penalty != 1.0 else None,
    }
    if server_type == "openai":
        for key, value in changed.items():
            if value is not None:
                raise UserError(f"inference.{key}={value}: hosted OpenAI servers do not take it")
        return {}
    return changed
