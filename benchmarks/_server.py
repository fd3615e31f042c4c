"""A chat server on loopback whose every request takes a fixed time, whatever `n` is.

It runs in a process of its own, so that what it costs is not counted as the client's.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def _reply(body: bytes, serial: int) -> bytes:
    n = json.loads(body).get("n") or 1
    choices = [
        {
            "index": i,
            "message": {
                "role": "assistant",
                # Spread over [0, 1) without order, so that a choice must be made.
                "content": f"candidate {serial + i} quality "
                f"{(serial + i) * 2654435761 % 2**32 / 2**32:.4f}",
            },
            "finish_reason": "stop",
            "logprobs": None,
        }
        for i in range(n)
    ]
    usage = {"prompt_tokens": 9, "completion_tokens": 8 * n, "total_tokens": 9 + 8 * n}
    text = json.dumps(
        {
            "id": f"chatcmpl-{serial}",
            "object": "chat.completion",
            "created": 0,
            "model": "fake",
            "choices": choices,
            "usage": usage,
        }
    ).encode()
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(text)}\r\n\r\n"
    )
    return head.encode() + text


async def _serve(latency: float) -> None:
    serial = 0

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal serial
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                reply = _reply(await reader.readexactly(size), serial)
                serial += reply.count(b'"index"')
                await asyncio.sleep(latency)
                writer.write(reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


@contextmanager
def running(latency: float) -> Iterator[str]:
    """Run the server in a process of its own.

    Args:
        latency: Seconds that each request takes.

    Yields:
        Its base URL.
    """
    command = [sys.executable, str(Path(__file__).resolve()), str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise RuntimeError
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
