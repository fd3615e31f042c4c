"""The part of the conformance suite that needs no episode: types, splits, tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import get_args

import pytest

from langchain_agentrm.environments.base import EnvironmentFactory, Split
from langchain_agentrm.errors import UnknownTaskError
from langchain_agentrm.types import TaskRef

__all__ = ["TaskConformance"]


class TaskConformance:
    """What every environment's factory must say of its tasks, as tests."""

    def test_factory_has_all_parts(self, factory: EnvironmentFactory) -> None:
        """The registry accepts it."""
        assert isinstance(factory, EnvironmentFactory)
        assert isinstance(factory.name, str)
        assert factory.name
        assert factory.make().spec == factory.spec

    def test_groups_of_types_are_apart(self, factory: EnvironmentFactory) -> None:
        """No type is both held in and held out, or chosen on and tested on."""
        held_in, held_out = (
            set(factory.types("held_in")),
            set(factory.types("held_out")),
        )
        dev, every = set(factory.types("dev")), factory.types("all")
        assert not held_in & held_out
        assert not dev & (held_in | held_out)
        assert held_in | held_out | dev <= set(every)
        assert len(set(every)) == len(every)

    def test_splits_are_disjoint(self, factory: EnvironmentFactory) -> None:
        """No task is in two splits, nor twice in one."""
        seen: set[str] = set()
        for split in get_args(Split):
            ids = [task["id"] for task in factory.tasks(split, factory.types("all"))]
            assert len(set(ids)) == len(ids)
            assert not seen & set(ids)
            seen |= set(ids)

    def test_tasks_are_round_robin_in_a_fixed_order(
        self, factory: EnvironmentFactory
    ) -> None:
        """A prefix of the tasks has every type equally often, whoever asks."""
        types = factory.types("all")
        tasks = factory.tasks("test", types)
        assert factory.tasks("test", types) == tasks
        for limit in {0, 1, len(types), len(types) + 1}:
            assert factory.tasks("test", types, limit) == tasks[:limit]
        first = [task["type"] for task in tasks[: len(types)]]
        assert len(set(first)) == len(first)

    def test_task_references_are_plain_json(
        self, factory: EnvironmentFactory, tasks: Sequence[TaskRef]
    ) -> None:
        """A task survives JSON and is named again by type and seed."""
        for task in tasks:
            assert json.loads(json.dumps(task)) == task
            assert set(task) == {"env", "type", "id", "seed"}
            assert task["env"] == factory.name
            assert task["type"] in factory.types("all")
            assert factory.task(task["type"], task["seed"]) == task

    def test_unknown_task_is_an_error_of_its_own(
        self, factory: EnvironmentFactory
    ) -> None:
        """What does not exist is refused with UnknownTaskError."""
        nowhere: TaskRef = {
            "env": factory.name,
            "type": "no such type",
            "id": "no such id",
            "seed": 0,
        }
        with pytest.raises(UnknownTaskError):
            factory.task("no such type", 0)
        with pytest.raises(UnknownTaskError):
            factory.tasks("test", ["no such type"])
        with pytest.raises(UnknownTaskError):
            factory.tasks("no such split")  # type: ignore[arg-type]
        with pytest.raises(UnknownTaskError):
            factory.make().reset(nowhere)
