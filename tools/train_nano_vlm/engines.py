"""Two ways to get nano's greedy answers: an OpenAI-compatible server, or transformers in this process."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

MAX_TOKENS = 16
BATCH = 128


@dataclass(frozen=True)
class Request:
    """One question about one picture; `constraint` holds further fields of the request body."""

    image: bytes
    question: str
    truth: str
    system: str | None
    constraint: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Names the question in saved answers: same picture, same words, same key."""
        return f"{hashlib.sha256(self.image).hexdigest()[:16]} {self.question}"

    def messages(self, image_part: dict[str, Any]) -> list[dict[str, Any]]:
        """The chat, with the picture as the engine wants it."""
        user = {"role": "user", "content": [image_part, {"type": "text", "text": self.question}]}
        return [{"role": "system", "content": self.system}, user] if self.system else [user]


class Server:
    """Asks a server, `in_flight` requests at a time over as many kept connections."""

    def __init__(self, address: str, in_flight: int):
        self.host = urlsplit(address).netloc
        self.in_flight, self.local = in_flight, threading.local()

    def __call__(self, requests: list[Request]) -> list[str]:
        with ThreadPoolExecutor(self.in_flight) as pool:
            return list(pool.map(self.ask, requests))

    def ask(self, request: Request) -> str:
        """The answer's text. Raises RuntimeError with the server's words where it refuses."""
        url = "data:image/png;base64," + base64.b64encode(request.image).decode()
        messages = request.messages({"type": "image_url", "image_url": {"url": url}})
        body = {"model": "nano", "messages": messages, "temperature": 0, "max_tokens": MAX_TOKENS}
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPConnection(self.host, timeout=120)
        connection = self.local.connection
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body | request.constraint), headers)
        response = connection.getresponse()
        text = response.read()
        if response.status != http.client.OK:
            raise RuntimeError(f"HTTP {response.status}: {text[:500].decode(errors='replace')}")
        return str(json.loads(text)["choices"][0]["message"]["content"])


class Transformers:
    """Answers by `generate` in float32, through the folder's own processor and chat template."""

    def __init__(self, folder: Path):
        from transformers import AutoProcessor, LlavaForConditionalGeneration

        self.processor = AutoProcessor.from_pretrained(folder)
        self.processor.tokenizer.padding_side = "left"
        self.model = LlavaForConditionalGeneration.from_pretrained(folder, dtype="float32").eval()

    def __call__(self, requests: list[Request]) -> list[str]:
        return list(self.answers(requests))

    def answers(self, requests: list[Request]) -> Iterator[str]:
        """Answers in order, a batch at a time."""
        for start in range(0, len(requests), BATCH):
            batch = requests[start : start + BATCH]
            prompts = [
                self.processor.apply_chat_template(
                    ask.messages({"type": "image"}), add_generation_prompt=True, tokenize=False
                )
                for ask in batch
            ]
            images = [Image.open(io.BytesIO(ask.image)).convert("RGB") for ask in batch]
            inputs = self.processor(text=prompts, images=images, return_tensors="pt", padding=True)
            tokens = self.model.generate(**inputs, max_new_tokens=MAX_TOKENS, do_sample=False)
            written = tokens[:, inputs["input_ids"].shape[1] :]
            yield from self.processor.tokenizer.batch_decode(written, skip_special_tokens=True)
