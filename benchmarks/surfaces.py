"""What each LangChain surface costs beside the bare policy: `make bench-surfaces`.

The middleware, the chat model and the proxy choose one of n candidates; the reference
is the policy asked for the same n in one request. The proxy runs in this process, so
that its CPU time is counted together with its client's.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import uvicorn
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage

sys.path.insert(0, str(Path(__file__).parent))

from _chat_subjects import Subject, bare, chat, its_hub, on, quality, scores
from _measure import Case, held, measure, show, write
from _server import running

from langchain_agentrm import FunctionRewardModel
from langchain_agentrm.chat_models import ChatAgentRM
from langchain_agentrm.middleware import AgentRMMiddleware
from langchain_agentrm.serving.proxy import create_app
from langchain_agentrm.serving.vllm import free_port

WALL = 1.05
OURS = ("middleware", "chat model", "proxy")


@contextmanager
def proxied(url: str) -> Iterator[str]:
    """Run the proxy in a thread of this process."""
    port = free_port()
    app = create_app(url, FunctionRewardModel(scores))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        thread.join()


def subjects(
    url: str, proxy: str, n: int, loop: asyncio.AbstractEventLoop
) -> dict[str, Subject]:
    """Make the subjects that choose one of `n` candidates."""
    plain = chat(url)
    reward_model = FunctionRewardModel(scores)
    chosen = ChatAgentRM(policy=chat(url), reward_model=reward_model, n=n)
    agent: Any = create_agent(
        chat(url), middleware=[AgentRMMiddleware(reward_model, n=n)]
    )
    client = openai.AsyncOpenAI(base_url=proxy, api_key="none")

    async def langchain(tag: str) -> str:
        result = await plain.agenerate([[HumanMessage(tag)]], n=n)
        return max((g.text for g in result.generations[0]), key=quality)

    async def middleware(tag: str) -> Any:
        return await agent.ainvoke({"messages": [HumanMessage(tag)]})

    async def chat_model(tag: str) -> Any:
        return await chosen.ainvoke(tag)

    async def through_proxy(tag: str) -> Any:
        return await client.chat.completions.create(
            model="fake",
            messages=[{"role": "user", "content": tag}],
            extra_body={"agentrm": {"n": n}},
        )

    out = {
        "LangChain, n=": on(loop, langchain),
        "middleware": on(loop, middleware),
        "chat model": on(loop, chat_model),
        "proxy": on(loop, through_proxy),
        "bare HTTP, n=": bare(url, n),
    }
    if importlib.util.find_spec("its_hub") is not None:
        out["its_hub"] = its_hub(url, n)
    return out


def main() -> None:
    """Measure, print, write; exit code 1 if a limit was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds a request")
    parser.add_argument("--out", type=Path, help="where to write JSON")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    loop = asyncio.new_event_loop()
    limits = dict.fromkeys(OURS, (WALL, None))
    with running(args.latency) as url, proxied(url) as proxy:
        for n in (4, 16, 64):
            name = f"one of {n}"
            case = Case(name, subjects(url, proxy, n, loop), n, limits)
            rows += measure(case, args.rounds)
    loop.close()
    show(rows)
    if args.out:
        write(
            args.out,
            rows,
            command="make bench-surfaces",
            rounds=args.rounds,
            latency=args.latency,
        )
    sys.exit(not all(map(held, rows)))


if __name__ == "__main__":
    main()
