"""An agent that shops in WebShop, each step chosen by a reward model.

python examples/webshop_agent/main.py --task garden:0
python examples/webshop_agent/main.py --first 10
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from shopping_rules import rate

from langchain_agentrm import AgentRMSelector, FunctionRewardModel, TaskRef
from langchain_agentrm.chat_models.factory import chat_model
from langchain_agentrm.environments import registry
from langchain_agentrm.environments.base import Environment
from langchain_agentrm.events import is_event
from langchain_agentrm.reward_models.base import RewardModel
from langchain_agentrm.reward_models.factory import reward_model
from langchain_agentrm.search import SearchOptions
from langchain_agentrm.state import BeamState, StepInput, observe
from langchain_agentrm.testing.scripted import ScriptedPolicy

LIMIT = 10
OFFER = "\n\nPossible actions:\n"


@dataclass
class Asked:
    """What one run of the graph is about; `offer` lists what can be done, each step."""

    task: TaskRef
    offer: bool


def build(
    policy: Runnable[Any, Any], rewards: RewardModel, **options: Any
) -> StateGraph[Any, Any, Any, Any]:
    """Make the agent: `reset`, then `select` and `act` in turn."""
    factory = registry.get("webshop")

    def shown(env: Environment, text: str, offer: bool) -> str:
        return text + OFFER + "\n".join(env.actions() or []) if offer else text

    def reset(state: BeamState, runtime: Runtime[Asked]) -> dict[str, Any]:
        del state
        env = factory.make()
        start = env.reset(runtime.context.task)
        text = shown(env, f"{start.goal}\n{start.observation}", runtime.context.offer)
        return {"messages": [("system", start.instruction), ("user", text)]}

    def act(state: StepInput, runtime: Runtime[Asked]) -> dict[str, Any]:
        step = state["step"]
        action, content = step["node"]["action"], step["node"]["content"]
        # Every beam acts in an engine of its own, brought to where the beam stands.
        env = factory.make()
        env.replay(runtime.context.task, step["actions"])
        seen = env.reject(AIMessage(content)) if action is None else env.step(action)
        if seen is None:
            return dict(observe(step, "", done=True))
        return dict(
            observe(
                step,
                shown(env, seen.observation, runtime.context.offer),
                done=seen.done,
                success=seen.success,
                score=seen.score,
                progress=seen.progress,
            )
        )

    builder = StateGraph(BeamState, context_schema=Asked)
    builder.add_node("reset", reset)
    builder.add_node("act", act, input_schema=StepInput)
    selector = AgentRMSelector(
        policy,
        rewards,
        max_steps=LIMIT,
        next_node="act",
        grammar=factory.make(),
        **options,
    )
    selector.add_to(builder, "select")
    builder.add_edge(START, "reset")
    builder.add_edge("reset", "select")
    builder.add_edge("act", "select")
    return builder


def guess(messages: list[BaseMessage], rng: random.Random) -> str:
    """Stand in for a chat model: take a possible action at random, or search for words.

    The store offers a search for the whole wish; others are made of some of its words.
    """
    *_, offered = str(messages[-1].text).rpartition(OFFER)
    action = rng.choice(offered.splitlines())
    if not action.startswith("search["):
        return action
    words = action[len("search[") : -1].split()
    first = rng.randrange(len(words))
    return f"search[{' '.join(words[first : first + rng.randint(2, 8)])}]"


def tell(event: Any) -> None:
    """Print a step: candidates with scores and votes, `*` before those kept."""
    if event["event"] == "agentrm.step":
        print(f"step {event['step']}")
        ranked = sorted(event["candidates"], key=lambda c: -(c["score"] or 0.0))
        for candidate in ranked[:8]:
            score = "  none" if candidate["score"] is None else candidate["score"]
            mark = "*" if candidate["kept"] else " "
            print(f"  {mark} {score:6.3} x{candidate['votes']}  {candidate['action']}")
        if len(ranked) > 8:
            print(f"    and {len(ranked) - 8} more")
    elif event["event"] == "agentrm.transition":
        print(f"    > {event['observation'].partition(OFFER)[0]}")


def find(name: str) -> TaskRef:
    """Read `TYPE:SEED`."""
    kind, _, seed = name.partition(":")
    return registry.get("webshop").task(kind, int(seed))


def main() -> None:
    """Do one task step by step, or the first test tasks with a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", metavar="TYPE:SEED", default="")
    parser.add_argument("--first", type=int, help="do the first so many test tasks")
    parser.add_argument("--w1", type=int, default=6, help="beams kept")
    parser.add_argument("--w2", type=int, default=16, help="answers drawn for each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--policy", default="random", help="openai:MODEL, or a folder")
    parser.add_argument("--base-url", help="the policy's server")
    parser.add_argument("--reward-model", default="rules", help="as `agentrm run` has")
    parser.add_argument("--reward-url", help="the reward model's server")
    parser.add_argument("--offer", action="store_true", help="list the actions")
    given = parser.parse_args()

    offline, by_rules = given.policy == "random", given.reward_model == "rules"
    graph = build(
        ScriptedPolicy(answers=guess)
        if offline
        else chat_model(given.policy, base_url=given.base_url),
        FunctionRewardModel(rate)
        if by_rules
        else reward_model(given.reward_model, base_url=given.reward_url),
        beam_width=given.w1,
        expansions=given.w2,
        seed=given.seed,
        # A finished beam that leads is enough where the rules say how far others are.
        search=SearchOptions(early_stop=0.0) if by_rules else None,
    ).compile(name="shopper")
    tasks = registry.get("webshop").tasks("test", limit=given.first or 1)
    if given.task:
        tasks = [find(given.task)]
    solved, earned = 0, 0.0
    for task in tasks:
        print(f"task {task['type']}:{task['seed']}")
        result: Any = {}
        for event in graph.stream(
            {"messages": []},
            {"recursion_limit": 2 * LIMIT + 10},
            context=Asked(task, offline or given.offer),
            stream_mode="custom",
        ):
            if is_event(event) and event["event"] == "agentrm.end":
                result = event["result"]
            elif is_event(event) and not given.first:
                tell(event)
        solved += result["success"]
        earned += result["episode_score"]
        word = "solved" if result["success"] else "not solved"
        print(f"{word}, score {result['episode_score']:.2f}; the best way:")
        print(*(f"  {action}" for action in result["actions"]), sep="\n")
    print(f"{solved} of {len(tasks)} solved, mean score {earned / len(tasks):.2f}")


if __name__ == "__main__":
    main()
