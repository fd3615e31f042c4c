"""Stage `audit`: how good the labels are, told by rolling states out once more.

A reward model can order siblings no better than its labels do. The audit says how well
a perfect model would do against them, and so whether to spend on rollouts or on the
model.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from langchain_agentrm._conversation import opening_messages
from langchain_agentrm._files import (
    file_digest,
    finished,
    read_json,
    read_jsonl,
    same_settings,
    write_json,
    write_jsonl,
    write_manifest,
)
from langchain_agentrm.environments.base import EnvironmentFactory, digest
from langchain_agentrm.errors import ConfigurationError, ReplayMismatchError
from langchain_agentrm.metrics import bootstrap, mean, sibling_accuracy
from langchain_agentrm.sampling.base import Proposer
from langchain_agentrm.training._config import (
    Progress,
    StageConfig,
    find_factory,
    silent,
    unit,
)
from langchain_agentrm.training._effects import run_searches
from langchain_agentrm.training._policy import MakeProposer, find_policy
from langchain_agentrm.training._walks import turn
from langchain_agentrm.training.episodes import Node, Tree, rollout_steps
from langchain_agentrm.training.store import StoredNode, StoredTree, TreeStore
from langchain_agentrm.training.trees import STORE_FILE

__all__ = ["AUDIT_FILE", "AuditConfig", "audit_labels"]

AUDIT_FILE = "audit.json"
_SETTINGS = "settings.json"
_CHUNK = 40


class AuditConfig(StageConfig):
    """Settings of stage `audit`."""

    states: int = Field(default=200, ge=2, description="States, in whole families.")
    rerolls: int = Field(default=64, ge=2, description="Fresh episodes of a state.")
    min_visits: int = Field(
        default=1, ge=1, description="Visits a label needs, unless the episode ended."
    )
    gap: float = Field(
        default=0.1, gt=0, description="Least difference of siblings that counts."
    )
    temperature: float | None = Field(
        default=None, gt=0, description="Of the episodes; by default the trees' own."
    )
    policy_hash: str = Field(
        default="", description="Digest of the policy's folder, or the served name."
    )


@dataclass(frozen=True, slots=True)
class _Family:
    """States that follow from one state by different actions."""

    tree: StoredTree
    parent: int
    children: tuple[StoredNode, ...]


def audit_labels(
    config: AuditConfig,
    trees: Path,
    policy: Path | str,
    out: Path,
    *,
    base_url: str | None = None,
    in_flight: int = 8,
    factory: EnvironmentFactory | None = None,
    make_proposer: MakeProposer | None = None,
    progress: Progress = silent,
) -> dict[str, object]:
    """Roll a sample of stored states out again and compare with their labels.

    The sample is made of whole families of siblings. States at which the episode ended
    have exact labels; they count among siblings, and not in the error. A run that was
    stopped goes on with the next chunk of families.

    Args:
        config: Settings.
        trees: Folder of stage `trees`.
        policy: Folder of the policy that made the trees, or `openai:MODEL`.
        out: Output folder; gets `audit.json`.
        base_url: Server of an `openai:` policy.
        in_flight: States that a served policy is asked about at once.
        factory: The environment; by default the one that the trees name.
        make_proposer: Makes another policy.
        progress: Told about each chunk.

    Returns:
        The manifest; its counts are the report. `label_rmse`, and `label_rmse_net` with
        the noise of the new episodes taken off; `sibling_ceiling`, the accuracy of a
        perfect model against the labels, with its interval over tasks; and
        `label_accuracy`, how often labels order siblings as the new episodes do.

    Raises:
        ConfigurationError: If no state has siblings, the audit was begun with other
            settings, or the policy is another than that of the trees.
    """
    name = ""
    if make_proposer is None:
        make_proposer, name = find_policy(policy, base_url)
    config = config.model_copy(update={"policy_hash": name})
    source = file_digest(trees / "manifest.json")
    settings = {**config.plain(), "trees": source}
    done = finished(out, settings)
    if done is not None:
        return done
    _begin(out, settings)
    began = time.monotonic()
    with TreeStore(trees / STORE_FILE) as store:
        made = store.config
        same_settings(
            {"policy": made.get("policy_hash", "")}, {"policy": name}, where=trees.name
        )
        families = list(_sample(store.trees(), config))
    if not families:
        msg = f"No state of {trees} has two labelled actions."
        raise ConfigurationError(
            msg, remedy="Build more trees, or lower the audit's min_visits."
        )
    temperature = config.temperature
    if temperature is None:
        temperature = made.get("rollout_temperature", made.get("temperature", 1.0))
    chunks = [families[i : i + _CHUNK] for i in range(0, len(families), _CHUNK)]
    options = made.get("options", {}) if factory is None else {}
    found = find_factory(made.get("env", ""), factory, options)
    proposer: Proposer | None = None
    rows: list[dict[str, Any]] = []
    for number, chunk in enumerate(chunks):
        path = out / f"chunk-{number:04d}.jsonl"
        if not path.exists():
            proposer = proposer or make_proposer()
            some = _reroll(chunk, found, proposer, config, temperature, in_flight)
            write_jsonl(path, some)
        rows += read_jsonl(path)
        progress(number + 1, len(chunks))
    report = _report(rows, config)
    write_json(out / AUDIT_FILE, report)
    return write_manifest(
        out,
        stage="audit",
        config=settings,
        inputs={"trees": source, "policy": name},
        counts=report,
        seconds=time.monotonic() - began,
        outputs=[AUDIT_FILE],
    )


def _begin(out: Path, settings: Mapping[str, Any]) -> None:
    path = out / _SETTINGS
    if path.exists():
        same_settings(read_json(path), settings, where=out.name)
    else:
        write_json(path, settings)


def _sample(trees: Iterator[StoredTree], config: AuditConfig) -> Iterator[_Family]:
    """Take families in an order that depends on their names alone."""
    known: list[tuple[float, _Family]] = []
    for tree in trees:
        if tree.status == "tainted":
            continue
        families: dict[int, list[StoredNode]] = defaultdict(list)
        for node in tree.nodes:
            enough = node.n >= config.min_visits or (node.done and node.n)
            if node.parent is not None and enough and not node.invalid:
                families[node.parent].append(node)
        for parent, children in families.items():
            if len(children) > 1:
                place = unit(config.seed, "audit", tree.task["id"], parent)
                known.append((place, _Family(tree, parent, tuple(children))))
    known.sort(key=lambda pair: pair[0])
    states = 0
    for _, family in known:
        if states >= config.states:
            return
        states += len(family.children)
        yield family


def _reroll(
    families: Sequence[_Family],
    factory: EnvironmentFactory,
    proposer: Proposer,
    config: AuditConfig,
    temperature: float,
    in_flight: int,
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    played: list[tuple[dict[str, Any], Tree]] = []
    for family in families:
        for node in family.children:
            row: dict[str, Any] = {
                "task": family.tree.task["id"],
                "family": f"{family.tree.tree_id}/{family.parent}",
                "node": node.node_id,
                "depth": node.depth,
                "label": node.w / node.n,
                "n": node.n,
                "ended": node.done,
                "rerolls": 0,
                "fresh": node.reward if node.done else None,
                "variance": 0.0,
                "lost": 0,
            }
            rows.append(row)
            if not node.done:
                played.append((row, _stand(family.tree, node, factory)))
    run_searches(
        [
            rollout_steps(
                tree, config.rerolls, seed=config.seed, temperature=temperature
            )
            for _, tree in played
        ],
        proposer,
        in_flight=in_flight,
        threads=factory.spec.thread_safe,
    )
    for row, tree in played:
        n = tree.root.n
        ends = [node for node in tree.nodes if node.over]
        if n > 1:
            value = tree.root.w / n
            squares = sum(node.n * (node.score - value) ** 2 for node in ends)
            row.update(fresh=value, variance=squares / (n - 1))
        row.update(rerolls=n, lost=tree.lost)
        tree.release()
    return rows


def _stand(stored: StoredTree, node: StoredNode, factory: EnvironmentFactory) -> Tree:
    """Reach a stored state again, and make a tree whose root it is."""
    path = [node]
    while (above := path[-1].parent) is not None and above != 0:
        path.append(stored.nodes[above])
    path.reverse()
    env = factory.make()
    shown = [stored.observation, *(step.observation or "" for step in path)]
    try:
        start = env.replay(
            stored.task,
            [step.to_run() for step in path],
            [digest(env.normalise(text)) for text in shown],
        )
    except ReplayMismatchError:
        env.close()
        raise
    # The name tells its draws from those of the search and of other states.
    name = f"\x1daudit {node.node_id}"
    root = Node(0, None, "", "", name, node.depth, node.observation, env=env)
    root.messages = opening_messages(
        start.instruction, start.goal, start.observation, start.examples
    )
    for step in path:
        spoken = step.said or ""
        root.messages += turn(step.to_run(), spoken, step.observation or "", step.depth)
    return Tree(stored.task, start, root, [root])


def _report(rows: Sequence[Mapping[str, Any]], config: AuditConfig) -> dict[str, Any]:
    rated = [row for row in rows if row["fresh"] is not None]
    open_ = [row for row in rated if not row["ended"]]
    squares = [(row["label"] - row["fresh"]) ** 2 for row in open_]
    noise = [row["variance"] / row["rerolls"] for row in open_]
    ceiling, pairs, low, high = _accuracy(rated, "fresh", "label", config)
    reverse, others, below, above = _accuracy(rated, "label", "fresh", config)
    return {
        "states": len(rows),
        "open_states": len(open_),
        "unanswered": len(rows) - len(rated),
        "tasks": len({row["task"] for row in rated}),
        "rerolls": config.rerolls,
        "label_rmse": round(math.sqrt(mean(squares)), 4),
        "label_rmse_net": round(math.sqrt(max(0.0, mean(squares) - mean(noise))), 4),
        "fresh_sd": round(_deviation([row["fresh"] for row in open_]), 4),
        "label_bias": round(mean([r["label"] - r["fresh"] for r in open_]), 4),
        "sibling_ceiling": round(ceiling, 4),
        "sibling_ceiling_low": round(low, 4),
        "sibling_ceiling_high": round(high, 4),
        "sibling_pairs": pairs,
        "label_accuracy": round(reverse, 4),
        "label_accuracy_low": round(below, 4),
        "label_accuracy_high": round(above, 4),
        "label_pairs": others,
    }


def _accuracy(
    rows: Sequence[Mapping[str, Any]], guess: str, truth: str, config: AuditConfig
) -> tuple[float, int, float, float]:
    """Accuracy over all pairs of siblings, and its interval over tasks."""
    families: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        families[row["task"], row["family"]].append((row[guess], row[truth]))
    by_task: dict[Hashable, list[float]] = defaultdict(list)
    for (task, _), family in families.items():
        for i, one in enumerate(family):
            for other in family[i + 1 :]:
                right, counted = sibling_accuracy([[one, other]], gap=config.gap)
                if counted:
                    by_task[task].append(right)
    overall, pairs = sibling_accuracy(list(families.values()), gap=config.gap)
    return overall, pairs, *bootstrap(by_task, seed=config.seed)


def _deviation(values: Sequence[float]) -> float:
    middle = mean(values)
    return math.sqrt(mean([(x - middle) ** 2 for x in values]))
