"""The least an aiohttp client can do with a benchmark's rows: read, base64, splice, send. Run by path.

    floor.py ROWS_FILE BASE_URL IN_FLIGHT

No checks, no content keys, no retries, no log, no scores: what evalkit costs beyond this is evalkit's own.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pybase64


def bodies(rows_file: Path) -> Iterator[bytes]:
    """The rows' request bodies, made as they are asked for."""
    head = b'{"model":"speed-model","max_tokens":2048,"messages":[{"role":"user","content":['
    with rows_file.open("rb") as stream:
        for line in stream:
            row = json.loads(line)
            image = pybase64.b64encode((rows_file.parent / row["image_path"]).read_bytes())
            text = json.dumps(row["question"]).encode()
            yield b"".join(
                (
                    *(head, b'{"type":"image_url","image_url":{"url":"data:image/jpeg;base64,', image),
                    *(b'"}},{"type":"text","text":', text, b"}]}]}"),
                )
            )


async def main(rows_file: Path, base_url: str, in_flight: int) -> None:
    """Send them all."""
    left = bodies(rows_file)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def work() -> None:
            for body in left:
                headers = {"Content-Type": "application/json"}
                async with session.post(f"{base_url}/chat/completions", data=body, headers=headers) as answer:
                    answer.raise_for_status()
                    json.loads(await answer.read())

        await asyncio.gather(*(work() for _ in range(in_flight)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
