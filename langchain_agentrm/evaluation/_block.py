"""One block of a suite: some tasks of an environment, one policy, one seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from langchain_agentrm.environments import registry
from langchain_agentrm.environments._options import with_options
from langchain_agentrm.environments.base import EnvironmentFactory
from langchain_agentrm.errors import (
    CheckpointError,
    ConfigurationError,
    UnknownTaskError,
    is_retryable,
)
from langchain_agentrm.evaluation.chunks import Chunk
from langchain_agentrm.evaluation.naming import Method
from langchain_agentrm.evaluation.records import Draw, Record
from langchain_agentrm.evaluation.suite_config import (
    EnvironmentChoice,
    EvalConfig,
    PolicyChoice,
    RewardModelChoice,
    fits,
)
from langchain_agentrm.reward_models.base import RewardModel
from langchain_agentrm.reward_models.kept import KeptRewardModel
from langchain_agentrm.sampling.base import Proposer
from langchain_agentrm.types import TaskRef

__all__ = ["Block", "Done", "Installed", "Parts", "expected", "play"]

NO_RM = "-"
"""Stands in rows for the reward model of a method that has none."""

_loaded: dict[tuple[str, ...], Any] = {}


class Parts(Protocol):
    """Where a block's environment and models come from; must be picklable."""

    def factory(self, choice: EnvironmentChoice) -> EnvironmentFactory:
        """Find an environment."""
        ...

    def proposer(self, choice: PolicyChoice) -> Proposer:
        """Make or find a policy."""
        ...

    def reward_model(self, choice: RewardModelChoice) -> RewardModel:
        """Make or find a reward model."""
        ...


class Installed:
    """What is installed and what lies in folders; each model is loaded once."""

    def factory(self, choice: EnvironmentChoice) -> EnvironmentFactory:
        """Find a registered environment and give it its options."""
        return with_options(registry.get(choice.env), choice.options)

    def proposer(self, choice: PolicyChoice) -> Proposer:
        """Load a policy, once a process."""
        at = ("policy", choice.model, choice.base_url or "")
        if at not in _loaded:
            from langchain_agentrm.chat_models.factory import chat_model
            from langchain_agentrm.engine import as_proposer

            _loaded[at] = as_proposer(
                chat_model(choice.model, base_url=choice.base_url)
            )
        found: Proposer = _loaded[at]
        _forget(found)
        return found

    def reward_model(self, choice: RewardModelChoice) -> RewardModel:
        """Load a reward model, once a process; with `keep` it is shown that alone."""
        implicit = choice.kind == "implicit"
        word = f"implicit:{choice.model}" if implicit else choice.model
        at = ("rm", word, choice.base_url or "")
        if at not in _loaded:
            from langchain_agentrm.reward_models.factory import reward_model

            _loaded[at] = reward_model(word, base_url=choice.base_url)
        found: RewardModel = _loaded[at]
        _forget(found)
        if choice.keep in {"action", "observation"}:
            return KeptRewardModel(found, choice.keep)
        return found


def _forget(model: object) -> None:
    """Drop what a model in this process keeps of the texts of earlier blocks.

    Scores depend on it, far below what they resolve: without it a run that goes on
    after a kill would not end in the same bytes.
    """
    for part in (model, getattr(model, "model", None)):
        forget = getattr(part, "forget", None)
        if callable(forget):
            forget()


@dataclass(frozen=True, slots=True)
class Block:
    """What is played in one go; picklable.

    Attributes:
        config: Settings of the suite.
        env: Position of the environment in the settings.
        policy: Name of the policy.
        seed: Run seed.
        tasks: Group and task.
        parts: Where environment and models come from.
    """

    config: EvalConfig
    env: int
    policy: str
    seed: int
    tasks: Sequence[tuple[str, TaskRef]]
    parts: Parts


@dataclass(slots=True)
class Done:
    """A block's rows for `episodes.jsonl` and `pools.jsonl`."""

    episodes: list[dict[str, Any]] = field(default_factory=list)
    pools: list[dict[str, Any]] = field(default_factory=list)


def expected(config: EvalConfig, env: EnvironmentChoice) -> list[tuple[Method, str]]:
    """Methods of an environment, each with the name of its reward model."""
    names = [name for name, rm in config.reward_models.items() if fits(rm, env)]
    return [
        (method, name)
        for method in config.parsed
        for name in (names if method.guided else [NO_RM])
    ]


def play(block: Block) -> Done:
    """Play a block; what fails for a task is recorded with it.

    A wrong setting and a failure that a retry may mend (a server that is down) stop
    the suite instead: neither says anything of the task, and a later run goes on.

    Args:
        block: What to play.

    Returns:
        Its rows.
    """
    player = _Player(block)
    done = Done()
    for method, rm in expected(block.config, player.env):
        for record in player.records(method, rm):
            done.episodes.append(player.row(method, rm, record))
    done.pools = player.pools()
    player.close()
    return done


class _Player:
    """The chunk of all tasks, and one chunk a task once something has failed."""

    def __init__(self, block: Block) -> None:
        config = block.config
        self.block = block
        self.env = config.environments[block.env]
        self.group = {task["id"]: group for group, task in block.tasks}
        self.tasks = [task for _, task in block.tasks]
        self.factory = block.parts.factory(self.env)
        self.proposer = block.parts.proposer(config.policies[block.policy])
        self.size = max((m.n for m in config.parsed if m.pooled), default=0)
        self.models = {
            name: block.parts.reward_model(choice)
            for name, choice in config.reward_models.items()
            if fits(choice, self.env) and any(m.guided for m in config.parsed)
        }
        self._chunks: dict[str, Chunk] = {}

    def _chunk(self, tasks: Sequence[TaskRef]) -> Chunk:
        at = tasks[0]["id"] if len(tasks) == 1 else ""
        if at not in self._chunks:
            settings = self.block.config.method_settings(self.block.seed)
            self._chunks[at] = Chunk(
                self.factory, tasks, self.proposer, settings, pool_size=self.size
            )
        return self._chunks[at]

    def close(self) -> None:
        for chunk in self._chunks.values():
            chunk.close()

    def records(self, method: Method, rm: str) -> list[Record | _Failed]:
        model = self.models.get(rm)
        try:
            return list(self._chunk(self.tasks).records(method, model))
        except Exception as error:
            if _stops(error):
                raise
        out: list[Record | _Failed] = []
        for task in self.tasks:
            try:
                out += self._chunk([task]).records(method, model)
            except Exception as error:
                if _stops(error):
                    raise
                out.append(_Failed(task, f"{type(error).__name__}: {error}"))
        return out

    def row(self, method: Method, rm: str, found: Record | _Failed) -> dict[str, Any]:
        record, task, failure = None, None, ""
        if isinstance(found, _Failed):
            task, failure = found.task, found.error
        else:
            record, task = found, self._task(found.task)
        return {
            "method": method.name,
            "policy": self.block.policy,
            "rm": rm,
            "env": self.env.name,
            "task": task["env"],
            "task_id": task["id"],
            "type": task["type"],
            "group": self.group[task["id"]],
            "seed": self.block.seed,
            "N": method.n,
            "W1": method.w1,
            "W2": method.w2,
            **_figures(record),
            "failure": failure,
        }

    def _task(self, name: str) -> TaskRef:
        return next(task for task in self.tasks if task["id"] == name)

    def pools(self) -> list[dict[str, Any]]:
        if not self.size:
            return []
        out = []
        for task, draws, values in self._draws():
            row = {
                "policy": self.block.policy,
                "env": self.env.name,
                "task": task["env"],
                "task_id": task["id"],
                "type": task["type"],
                "group": self.group[task["id"]],
                "seed": self.block.seed,
                "draws": [_plain(draw) for draw in draws],
                "values": values,
            }
            out.append(row)
        return out

    def _draws(self) -> Iterator[tuple[TaskRef, Sequence[Draw], dict[str, Any]]]:
        """The draws that methods have made; nothing is played for them again."""
        for task in self.tasks:
            chunk, at = self._chunks.get(task["id"]), 0
            if chunk is None:
                chunk, at = self._chunks.get(""), self.tasks.index(task)
            if chunk is None or not chunk.has_pool:
                yield task, [], {}
                continue
            values = {
                name: [draw.value for draw in chunk.draws(model)[at]]
                for name, model in self.models.items()
                if chunk.has_values(model)
            }
            yield task, chunk.draws()[at], values


@dataclass(frozen=True, slots=True)
class _Failed:
    task: TaskRef
    error: str


def _stops(error: Exception) -> bool:
    wrong = ConfigurationError | CheckpointError | UnknownTaskError | ImportError
    return isinstance(error, wrong) or is_retryable(error)


def _figures(record: Record | None) -> dict[str, Any]:
    """A failed episode scores nothing, and its cost is not known."""
    if record is None:
        names = ("score", "held", "progress", "success", "steps")
        costs = ("policy_calls", "policy_tokens", "rm_calls", "rm_tokens")
        unknown = dict.fromkeys((*costs, "env_steps", "wall_s"))
        return {**dict.fromkeys(names, 0), **unknown}
    return {
        "score": round(record.score, 6),
        "held": round(record.held, 6),
        "progress": round(record.progress, 6),
        "success": round(record.success, 6),
        "steps": record.steps,
        "policy_calls": round(record.policy_calls, 2),
        "policy_tokens": round(record.policy_tokens, 1),
        "rm_calls": round(record.rm_calls, 2),
        "rm_tokens": round(record.rm_tokens, 1),
        "env_steps": round(record.env_steps, 1),
        "wall_s": round(record.seconds, 4),
    }


def _plain(draw: Draw) -> Mapping[str, Any]:
    plain = asdict(draw)
    del plain["value"]
    return {**plain, "logprob": round(draw.logprob, 5)}
