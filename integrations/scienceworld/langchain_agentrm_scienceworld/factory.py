"""The registry entry: names tasks and makes environments; starts no Java."""

from __future__ import annotations

import os
from collections.abc import Sequence

from langchain_agentrm.environments.base import Demonstration, Split
from langchain_agentrm.environments.tasks import TypeGroup, check_known, round_robin
from langchain_agentrm.errors import UnknownTaskError
from langchain_agentrm.types import TaskRef
from langchain_agentrm_scienceworld import catalogue
from langchain_agentrm_scienceworld.environment import (
    NAME,
    Options,
    ScienceWorld,
    locate,
)
from langchain_agentrm_scienceworld.forms import load_labels

__all__ = ["ScienceWorldFactory", "factory"]

Folder = str | os.PathLike[str]

_GROUPS = {
    "held_in": catalogue.HELD_IN,
    "held_out": catalogue.HELD_OUT,
    "dev": catalogue.DEV,
    "all": catalogue.ALL,
}


class ScienceWorldFactory:
    """The registry entry `"scienceworld"`.

    Args:
        form: `"eto"` or `"agentboard"`.
        simplifications: What the simulator makes easier, comma-separated as it names
            it; None means what the form's benchmark uses.
        step_limit: Actions per episode; None means the form's.
        move_limit: The simulator's own moves after which an episode ends; None means
            the form's.
        list_actions: Whether `actions()` lists what applies, which is slow.
        prompts: AgentRM's prompt folder (`eval_agent/prompt`).
        labels: AgentBoard's label file, for its form.
        java: The Java command.
        heap: Memory of a Java process for objects, such as `"1g"`.
        jvms: Java processes at most.
        sessions: Simulated worlds at most in each process.

    Raises:
        ConfigurationError: If there is no such form, or it lacks its labels.
    """

    name = NAME
    spec = ScienceWorld.spec

    def __init__(
        self,
        *,
        form: str = "eto",
        simplifications: str | None = None,
        step_limit: int | None = None,
        move_limit: int | None = None,
        list_actions: bool = False,
        prompts: Folder | None = None,
        labels: Folder | None = None,
        java: str = "java",
        heap: str = "1g",
        jvms: int = 1,
        sessions: int = 8,
    ) -> None:
        self.options = Options(
            form=form,
            simplifications=simplifications,
            step_limit=step_limit,
            move_limit=move_limit,
            list_actions=list_actions,
            prompts=None if prompts is None else os.fspath(prompts),
            labels=None if labels is None else os.fspath(labels),
            java=java,
            heap=heap,
            jvms=jvms,
            sessions=sessions,
        )

    def types(self, group: TypeGroup) -> list[str]:
        """Task types of a group.

        Raises:
            UnknownTaskError: If there is no such group.
        """
        check_known([group], _GROUPS, "group of ScienceWorld task types")
        return [type_ for type_ in _GROUPS[group] if self._playable(type_)]

    def tasks(
        self, split: Split, types: Sequence[str] | None = None, limit: int | None = None
    ) -> list[TaskRef]:
        """Tasks of a split in a fixed order, round robin over the types.

        Args:
            split: `"train"`, `"dev"` or `"test"`, the official ones.
            types: Task types; None means the held-in ones for train, and for dev and
                test the group of that split: the dev types, or held in plus held out.
                AgentBoard's form has its labelled tasks as test split and no other.
            limit: How many tasks at most.

        Returns:
            The tasks.

        Raises:
            UnknownTaskError: If a task type or the split does not exist.
        """
        default = {
            "train": self.types("held_in"),
            "dev": self.types("dev"),
            "test": [*self.types("held_in"), *self.types("held_out")],
        }
        check_known([split], default, "split")
        if types is None:
            types = default[split]
            if self.options.rules.progress and split == "test":
                types = self.types("all")
        seeds = {type_: self._variations(split, type_) for type_ in types}
        return [self._ref(type_, seed) for type_, seed in round_robin(seeds, limit)]

    def _variations(self, split: Split, type_: str) -> Sequence[int]:
        self._check_type(type_)
        numbers = catalogue.SIZES[type_].split(split)
        if not self.options.rules.progress or self.options.labels is None:
            return numbers
        if split != "test":
            return ()
        labels = load_labels(self.options.labels)
        return [variation for name, variation in labels if name == type_]

    def task(self, type_: str, seed: int) -> TaskRef:
        """Name one task by type and variation.

        Raises:
            UnknownTaskError: If there is no such task.
        """
        self._check_type(type_)
        ref = self._ref(type_, seed)
        locate(ref, self.options)
        self.options.label(type_, seed)
        return ref

    def demonstrate(self, task: TaskRef) -> Demonstration | None:
        """Play the simulator's own solution; None where it does not solve the task."""
        from langchain_agentrm_scienceworld.expert import demonstrate

        shown = demonstrate(task, self.make())
        return shown if shown.success else None

    def make(self) -> ScienceWorld:
        """Make an environment that has not been reset."""
        return ScienceWorld(self.options)

    def close(self) -> None:
        """End the Java processes of all ScienceWorld environments of this process."""
        from langchain_agentrm_scienceworld._pool import close_pools

        close_pools()

    def _ref(self, type_: str, variation: int) -> TaskRef:
        return TaskRef(
            env=NAME,
            type=type_,
            id=f"{type_}:{variation}:{self.options.easier}",
            seed=variation,
        )

    def _check_type(self, type_: str) -> None:
        if type_ not in catalogue.SIZES or not self._playable(type_):
            msg = f"ScienceWorld has no task type {type_!r} with these rules."
            raise UnknownTaskError(msg, remedy=f"Choose one of {self.types('all')}.")

    def _playable(self, type_: str) -> bool:
        circuit = "power-component" in type_ or "conductivity" in type_
        return not (circuit and "noElectricalAction" in self.options.easier)


factory = ScienceWorldFactory()
"""The registry entry, as the entry point names it."""
