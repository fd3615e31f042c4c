"""Tokens of one search tree and of its samples, as a served policy would see them.

Builds trees with the settings of the paper's recipe, the policy being a script: it
follows the expert, and now and then says something else. So depth, calls and merging
are those of a policy of about that skill, and no model is needed. Characters are
counted exactly. Tokens are characters divided by a ratio, and `--texts` writes out what
a tokenizer's ratio can be measured on.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from langchain_core.messages import AIMessage, BaseMessage
from rich.console import Console

from langchain_agentrm._files import write_json, write_jsonl
from langchain_agentrm.environments import registry
from langchain_agentrm.training.store import StoredNode, StoredTree, TreeStore
from langchain_agentrm.training.trees import STORE_FILE, TreesConfig, build_trees
from langchain_agentrm.types import Batch, Candidate, ProposalRequest, TaskRef, Usage

__all__ = ["main"]

_TURN = 5
"""Tokens of Llama 3 around a message: header, role, its end, a break, end of turn."""

_RATIOS = {"alfworld": 3.54, "webshop": 2.90}
"""Characters of a token of Llama 3, measured on what 12 trees read (`--texts`)."""


@dataclass
class Counts:
    """What the policy was asked, and what it said; characters and messages."""

    waves: int = 0
    requests: int = 0
    answers: int = 0
    prompt: int = 0
    prompt_messages: int = 0
    fresh: int = 0
    fresh_messages: int = 0
    said: int = 0
    seen: set[int] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)

    def ask(self, messages: Sequence[BaseMessage]) -> None:
        """Count a prompt, and what of it no earlier prompt began with."""
        self.requests += 1
        prefix = 0
        for message in messages:
            text = str(message.text)
            prefix = hash((prefix, message.type, text))
            self.prompt += len(text)
            self.prompt_messages += 1
            if prefix not in self.seen:
                self.seen.add(prefix)
                self.fresh += len(text)
                self.fresh_messages += 1
                self.texts.append(text)


class Script:
    """Follows the expert at times, and else says what an expert said elsewhere."""

    def __init__(
        self, experts: dict[str, list[str]], skill: float, thought: int, counts: Counts
    ) -> None:
        self.experts = experts
        self.skill = skill
        self.thought = ("I have to think about what to do next. " * 99)[:thought]
        self.counts = counts
        self.words = sorted({a for actions in experts.values() for a in actions})

    def propose(self, requests: Sequence[ProposalRequest]) -> Batch[list[Candidate]]:
        """Answer by the request's seed."""
        items = []
        self.counts.waves += 1
        for request in requests:
            self.counts.ask(request.messages)
            rng = random.Random(request.seed)
            texts = [self._say(request.messages, rng) for _ in range(request.n)]
            self.counts.answers += len(texts)
            self.counts.said += sum(map(len, texts))
            items.append([Candidate(AIMessage(t), request.parent) for t in texts])
        return Batch(items, Usage(len(requests), len(requests), len(requests)))

    async def apropose(
        self, requests: Sequence[ProposalRequest]
    ) -> Batch[list[Candidate]]:
        """The same."""
        return self.propose(requests)

    def _say(self, messages: Sequence[BaseMessage], rng: random.Random) -> str:
        said = [str(m.text) for m in messages if m.type == "ai"]
        opening = str(messages[-1 - 2 * len(said)].text)
        plan = self.experts[opening]
        done = 0
        for text in said:
            done += done < len(plan) and text.endswith(f"Action: {plan[done]}")
        follows = done < len(plan) and rng.random() < self.skill
        action = plan[done] if follows else rng.choice(self.words)
        return f"Thought: {self.thought}\nAction: {action}"


def _samples(tree: StoredTree, least: int) -> list[int]:
    """Characters of each state that may become a sample, as a reward model reads it."""
    nodes = {node.node_id: node for node in tree.nodes}
    opening = len(tree.goal) + len(tree.observation)

    def length(node: StoredNode) -> int:
        total, at = opening + len(node.action), node
        while at.parent is not None and nodes[at.parent].parent is not None:
            at = nodes[at.parent]
            total += len(at.action) + len(at.observation or "")
        return total

    return [
        length(node)
        for node in tree.nodes
        if node.parent is not None
        and not node.invalid
        and (node.n >= least or (node.done and node.n))
    ]


def measure(
    env: str, trees: int, skill: float, thought: int, ratio: float | None
) -> tuple[dict[str, Any], list[str]]:
    """Build trees of one environment and count.

    Args:
        env: Registry name.
        trees: How many.
        skill: How often the policy does what the expert does.
        thought: Characters that the policy thinks before each action.
        ratio: Characters of a token; None: as measured, else 4.

    Returns:
        The row, and the different texts that the policy read.
    """
    ratio = ratio or _RATIOS.get(env, 4.0)
    factory: Any = registry.get(env)
    types = factory.types("held_in")
    counts = Counts()
    experts: dict[str, list[str]] = {}
    episodes = 0.0
    tasks: list[TaskRef] = factory.tasks("train", types, trees)
    for task in tasks:
        demo = factory.demonstrate(task)
        start = demo.start
        text = "\n".join(p for p in (start.goal, start.observation) if p)
        experts[text] = [action for _, action in demo.steps]
        told = len(start.instruction) + len(start.goal)
        told += sum(len(seen) + thought + len(did) + 18 for seen, did in demo.steps)
        episodes += told / ratio + _TURN * (1 + 2 * len(demo.steps))
    # One tree at a time, so that a call of the policy is a wave of one tree.
    config = TreesConfig.paper(env=env, tasks=trees, chunk=1)
    script = Script(experts, skill, thought, counts)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        done = build_trees(config, out, out, make_proposer=lambda: script)
        with TreeStore(out / STORE_FILE) as store:
            found = [_samples(tree, 3) for tree in store.trees()]
    states = [length for lengths in found for length in lengths]
    tokens = {
        "prompt": (counts.prompt / ratio + _TURN * counts.prompt_messages) / trees,
        "prompt_fresh": (counts.fresh / ratio + _TURN * counts.fresh_messages) / trees,
        "said": (counts.said / ratio + counts.answers) / trees,
        "expert_episode": episodes / trees,
        "sample": sum(states) / max(1, len(states)) / ratio,
    }
    row = {
        "env": env,
        "trees": trees,
        "characters_per_token": ratio,
        "waves_per_tree": counts.waves / trees,
        "requests_per_tree": counts.requests / trees,
        "answers_per_tree": counts.answers / trees,
        "samples_per_tree": len(states) / trees,
        "expert_steps": sum(map(len, experts.values())) / trees,
        "tokens_per_tree": tokens,
        "characters": {
            name: getattr(counts, name) for name in ("prompt", "fresh", "said")
        },
        "counts": done["counts"],
    }
    return row, counts.texts


def main(
    trees: Annotated[int, typer.Option(help="Trees an environment.")] = 12,
    skill: Annotated[float, typer.Option(help="How often the expert is heard.")] = 0.6,
    thought: Annotated[int, typer.Option(help="Characters of a thought.")] = 120,
    ratio: Annotated[
        float | None, typer.Option(help="Characters of a token; else as measured.")
    ] = None,
    envs: Annotated[str, typer.Option(help="Names, by commas.")] = "alfworld,webshop",
    texts: Annotated[Path | None, typer.Option(help="Write the texts here.")] = None,
    out: Annotated[Path, typer.Option(help="File of results.")] = Path(
        "docs/data/tree_tokens.json"
    ),
) -> None:
    """Count, print and write."""
    rows, all_texts = [], []
    for env in envs.split(","):
        row, said = measure(env, trees, skill, thought, ratio)
        rows.append(row)
        all_texts += [{"env": env, "text": text} for text in said]
        Console().print_json(json.dumps(row))
    about = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "python -m benchmarks.tree_tokens",
        "settings": {"skill": skill, "thought": thought},
        "search": TreesConfig.paper().plain(),
    }
    write_json(out, {**about, "rows": rows})
    if texts is not None:
        write_jsonl(texts, all_texts)


if __name__ == "__main__":
    typer.run(main)
