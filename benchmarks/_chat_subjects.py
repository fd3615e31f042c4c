"""One step of search over a chat server: ours, LangChain, its_hub, bare HTTP."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import Awaitable, Callable, Sequence
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI

from langchain_agentrm import AgentRMSelector, FunctionRewardModel, Trajectory
from langchain_agentrm.state import observe

WIDTH = 4
Subject = Callable[[str], object]
"""Takes one step; the text tells it apart from all others."""


def quality(text: str) -> float:
    """Read the score that the server wrote into a candidate."""
    return float(text.rsplit(maxsplit=1)[-1])


def chat(url: str) -> ChatOpenAI:
    """Make the policy that all of LangChain's subjects use."""
    return ChatOpenAI(model="fake", base_url=url, api_key="none", temperature=1.0)  # type: ignore[arg-type]


def scores(trajectories: Sequence[Trajectory]) -> list[float]:
    """Score by the text alone, at no cost."""
    return [quality(t.turns[-1].action) for t in trajectories]


def on(
    loop: asyncio.AbstractEventLoop, step: Callable[[str], Awaitable[Any]]
) -> Subject:
    """Run an async step on a loop that stays."""

    async def run(tag: str) -> Any:
        return await step(tag)

    return lambda tag: loop.run_until_complete(run(tag))


def root_step(url: str, n: int, loop: asyncio.AbstractEventLoop) -> dict[str, Subject]:
    """Make the subjects that choose one of `n` candidates in one state."""
    plain = chat(url)

    async def langchain(tag: str) -> str:
        result = await plain.agenerate([[HumanMessage(f"question {tag}")]], n=n)
        return max((g.text for g in result.generations[0]), key=quality)

    selector = AgentRMSelector(chat(url), FunctionRewardModel(scores), expansions=n)

    async def agentrm(tag: str) -> Any:
        return await selector.ainvoke({"messages": [HumanMessage(f"question {tag}")]})

    subjects = {
        "LangChain, n=": on(loop, langchain),
        "AgentRM": on(loop, agentrm),
        "bare HTTP, n=": bare(url, n),
    }
    if importlib.util.find_spec("its_hub") is not None:
        subjects["its_hub"] = its_hub(url, n)
    return subjects


def bare(url: str, n: int) -> Subject:
    """The floor: one kept connection, one request, the answer's texts."""
    server = urlsplit(url)
    connection = HTTPConnection(server.hostname or "", server.port)
    headers = {"Content-Type": "application/json"}

    def step(tag: str) -> str:
        messages = [{"role": "user", "content": f"question {tag}"}]
        body = json.dumps({"model": "fake", "n": n, "messages": messages})
        connection.request("POST", f"{server.path}/chat/completions", body, headers)
        reply = json.loads(connection.getresponse().read())
        texts = (str(choice["message"]["content"]) for choice in reply["choices"])
        return max(texts, key=quality)

    return step


def its_hub(url: str, n: int) -> Subject:
    """its_hub's best-of-N over its own client, one request a candidate."""
    from its_hub import (
        AbstractOutcomeRewardModel,
        BestOfN,
        OpenAICompatibleLanguageModel,
    )

    class Read(AbstractOutcomeRewardModel):  # type: ignore[misc]
        def score(self, messages: Any, **_: Any) -> list[float]:
            return [quality(conversation[-1].content) for conversation in messages]

        async def ascore(self, messages: Any, **_: Any) -> list[float]:
            return self.score(messages)

    model = OpenAICompatibleLanguageModel(
        endpoint=url, api_key="none", model_name="fake", temperature=1.0
    )
    algorithm = BestOfN(orm=Read())
    return lambda tag: algorithm.infer(model, f"question {tag}", budget=n)


def beam_step(url: str, n: int, loop: asyncio.AbstractEventLoop) -> dict[str, Subject]:
    """Make the subjects that expand four beams by `n / 4` candidates each."""
    plain = chat(url)

    async def langchain(tag: str) -> list[str]:
        prompts = [
            [
                HumanMessage(f"question {tag}"),
                AIMessage(f"action {beam}"),
                HumanMessage("seen"),
            ]
            for beam in range(WIDTH)
        ]
        result = await plain.agenerate([*prompts], n=n // WIDTH)
        texts = [g.text for generations in result.generations for g in generations]
        return sorted(texts, key=quality)[-WIDTH:]

    selector = AgentRMSelector(
        chat(url),
        FunctionRewardModel(scores),
        beam_width=WIDTH,
        expansions=n // WIDTH,
        next_node="step",
    )
    first = {"messages": [HumanMessage("question")]}
    command: Any = loop.run_until_complete(selector.ainvoke(first))
    update: dict[str, Any] = command.update
    nodes: dict[str, Any] = {}
    for send in command.goto:
        nodes |= observe(send.arg["step"], "seen")["nodes"]
    state = {**first, **update, "nodes": nodes}
    if len(nodes) != WIDTH:
        msg = f"{len(nodes)} beams were kept where {WIDTH} are to be measured"
        raise RuntimeError(msg)

    async def agentrm(tag: str) -> Any:
        del tag
        return await selector.ainvoke(state)

    return {"LangChain, n=": on(loop, langchain), "AgentRM": on(loop, agentrm)}
