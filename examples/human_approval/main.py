"""A person approves each chosen tool call; the answers may come days later.

    python examples/model_server.py --port 8900
    python examples/human_approval/main.py --base-url http://127.0.0.1:8900/v1

The first run stops with two questions. The same command with `--answers yes,no` goes on
where it stopped, in a new process, and samples nothing again.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from typing import Any, Literal

from langchain_core.messages import AIMessage, ToolCall, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict

from langchain_agentrm import AgentRMSelector, FunctionRewardModel, Trajectory

PROMPT = "Send what was asked for. When it is sent, answer with one of: Done., Hello."
QUESTION = "Invite Ann and Bob."
WANTED = {("ann", "invitation"), ("bob", "invitation")}


@tool
def send_mail(to: Literal["ann", "bob"], what: Literal["invitation", "bill"]) -> str:
    """Send a mail. It cannot be called back.

    Args:
        to: Who gets it.
        what: What it holds.
    """
    return f"sent the {what} to {to}"


def rate(trajectories: list[Trajectory]) -> list[float]:
    """Stand in for a trained reward model: right mails, each once, then stop."""
    return [_rate(t) for t in trajectories]


def _rate(trajectory: Trajectory) -> float:
    *_, last = trajectory.turns
    mails = re.findall(r'"to": "(\w+)", "what": "(\w+)"', last.action)
    if trajectory.turns[1:]:
        return 1.0 if last.action == "Done." else -1.0
    right = Counter(mails) & Counter(WANTED)
    return float(2 * right.total() - len(mails))


class Call(TypedDict):
    """What the approval node is sent: one tool call, so one question each."""

    call: ToolCall


def route(state: MessagesState) -> list[Send] | str:
    """Send each chosen tool call to an approval of its own."""
    last = state["messages"][-1]
    if isinstance(last, AIMessage) and last.tool_calls:
        return [Send("approve", {"call": call}) for call in last.tool_calls]
    return END


def approve(state: Call) -> dict[str, list[ToolMessage]]:
    """Ask; run the tool only if the answer is yes.

    The interrupt stands after the selector. Inside it, every answer would make the
    node start again and sample again.
    """
    call = state["call"]
    if interrupt({"tool": call["name"], "args": call["args"]}):
        text = str(send_mail.invoke(call["args"]))
    else:
        text = "The user does not want this mail to be sent."
    return {"messages": [ToolMessage(text, tool_call_id=call["id"])]}


def build(base_url: str, saver: Any) -> Any:
    """Make the graph: choose, ask, run."""
    policy = ChatOpenAI(model="any", base_url=base_url, api_key="EMPTY")
    builder = StateGraph(MessagesState)
    AgentRMSelector(
        policy.bind_tools([send_mail]), FunctionRewardModel(rate), expansions=32
    ).add_to(builder, "model")
    builder.add_node("approve", approve, input_schema=Call)
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", route, ["approve", END])
    builder.add_edge("approve", "model")
    return builder.compile(checkpointer=saver, name="mails")


def main() -> None:
    """Start the thread, or answer its questions and go on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", default="http://127.0.0.1:8900/v1")
    parser.add_argument("--database", default="approvals.sqlite")
    parser.add_argument("--answers", default="", help="such as yes,no")
    given = parser.parse_args()
    config: Any = {"configurable": {"thread_id": "mails"}}
    with SqliteSaver.from_conn_string(given.database) as saver:
        graph = build(given.base_url, saver)
        waiting = graph.get_state(config).interrupts
        if waiting:
            answers = [a.strip() == "yes" for a in given.answers.split(",")]
            if len(answers) != len(waiting):
                parser.error(f"give {len(waiting)} answers, such as --answers yes,no")
            pairs = zip(waiting, answers, strict=True)
            asked: Any = Command(resume={i.id: answer for i, answer in pairs})
        else:
            asked = {"messages": [("system", PROMPT), ("user", QUESTION)]}
        out = graph.invoke(asked, config, durability="sync", version="v2")
        for question in out.interrupts:
            print(f"approve? {question.value['tool']} {question.value['args']}")
        if not out.interrupts:
            for message in out.value["messages"][2:]:
                print(f"{message.type}: {message.text or message.tool_calls}")


if __name__ == "__main__":
    main()
