"""A tool-calling graph whose model node samples eight answers and keeps the best one.

python examples/model_server.py --port 8900
python examples/drop_in_node/main.py --base-url http://127.0.0.1:8900/v1
"""

from __future__ import annotations

import argparse
import re
from typing import Any, Literal

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from langchain_agentrm import AgentRMSelector, FunctionRewardModel, Trajectory
from langchain_agentrm.events import is_event

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
    """Make the graph: `add_to` stands where `add_node("model", call_model)` stood."""
    policy = ChatOpenAI(model="any", base_url=base_url, api_key="EMPTY")
    selector = AgentRMSelector(
        policy.bind_tools([weather]), FunctionRewardModel(rate), expansions=8
    )
    builder = StateGraph(MessagesState)
    selector.add_to(builder, "model")
    builder.add_node("tools", ToolNode([weather]))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    return builder.compile(name="towns")


def main() -> None:
    """Ask one question; show what was sampled and what was kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", default="http://127.0.0.1:8900/v1")
    graph = build(parser.parse_args().base_url)
    given = {"messages": [("system", PROMPT), ("user", QUESTION)]}
    modes = ["custom", "values"]
    last: Any = None
    for part in graph.stream(given, stream_mode=modes, version="v2"):
        if part["type"] == "values":
            last = part["data"]["messages"][-1]
        elif is_event(part["data"]) and part["data"]["event"] == "agentrm.step":
            print(f"step {part['data']['step']}")
            for candidate in part["data"]["candidates"]:
                mark = "*" if candidate["kept"] else " "
                shown = f"{candidate['score']:5.1f} x{candidate['votes']}"
                print(f"  {mark} {shown}  {candidate['action']}")
    print(f"answer: {last.text}")


if __name__ == "__main__":
    main()
