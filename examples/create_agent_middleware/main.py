"""An agent of `create_agent` whose answers are chosen by a reward model: one line more.

python examples/model_server.py --port 8900
python examples/create_agent_middleware/main.py --base-url http://127.0.0.1:8900/v1
"""

from __future__ import annotations

import argparse
import re
from typing import Any, Literal

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from langchain_agentrm import AgentRMMiddleware, FunctionRewardModel, Trajectory

DEGREES = {"Bern": 17, "Genoa": 26, "Lyon": 21, "Turin": 23}
PROMPT = (
    "Look up what you need. At the end answer with one of: Bern, Genoa, Lyon, Turin"
)
QUESTION = "Which of the four towns is the warmest today?"


@tool
def weather(town: Literal["Bern", "Genoa", "Lyon", "Turin"]) -> str:
    """Look up a town's temperature.

    Args:
        town: The town.
    """
    print(f"  looked up {town}")
    return f"{town}: {DEGREES[town]} degrees"


def rate(trajectories: list[Trajectory]) -> list[float]:
    """Stand in for a trained reward model: ask for what is not known, then conclude."""
    return [_rate(t) for t in trajectories]


def _rate(trajectory: Trajectory) -> float:
    *_, last = trajectory.turns
    seen = "\n".join(turn.observation for turn in trajectory.turns)
    known = {town: int(t) for town, t in re.findall(r"(\w+): (\d+) degrees", seen)}
    asked = set(re.findall(r'"town": "(\w+)"', last.action))
    if asked:
        return float(len(asked - set(known)))
    warmest = max(known, key=lambda town: known[town], default="")
    return 9.0 if len(known) == len(DEGREES) and last.action == warmest else -1.0


def build(base_url: str) -> Any:
    """Make the agent; without the line `middleware=` it is the plain one."""
    return create_agent(
        ChatOpenAI(model="any", base_url=base_url, api_key="EMPTY"),
        [weather],
        system_prompt=PROMPT,
        middleware=[AgentRMMiddleware(FunctionRewardModel(rate), n=8)],
    )


def main() -> None:
    """Ask one question; show each choice, and what it cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", default="http://127.0.0.1:8900/v1")
    agent = build(parser.parse_args().base_url)
    given = {"messages": [("user", QUESTION)]}
    last: Any = None
    for part in agent.stream(given, stream_mode="updates", version="v2"):
        for update in part["data"].values():
            for message in update["messages"]:
                if message.type == "ai":
                    last = message
                    choice = message.response_metadata["agentrm"]
                    scores = ", ".join(f"{score:.0f}" for score in choice["scores"])
                    print(
                        f"step {choice['step']}: kept {choice['score']:.0f} of {scores}"
                    )
    print(f"answer: {last.text}")


if __name__ == "__main__":
    main()
