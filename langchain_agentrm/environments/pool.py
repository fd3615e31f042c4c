"""Live environments, by search and node, outside the graph's state."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import TypeVar

from langchain_core.messages import AIMessage

from langchain_agentrm.environments.base import (
    Environment,
    EnvironmentFactory,
    Start,
)
from langchain_agentrm.errors import (
    AgentRMError,
    ConfigurationError,
    EnvironmentFailedError,
    ForkError,
    is_retryable,
)
from langchain_agentrm.types import Action, TaskRef, Transition

__all__ = ["BranchPool"]

R = TypeVar("R")


class BranchPool:
    """Branches of running searches; a missing one is rebuilt by a checked replay.

    Keyed by (search, node), so that two runs of one compiled graph never touch each
    other's environments. Repeating a step is safe: it forks the parent again, and a
    step that already ran in this process is answered from the branch it made.

    Args:
        factory: Makes environments.
        max_branches: Live branches kept over all searches; the least recently used are
            closed, and replayed if they are needed again.
    """

    def __init__(
        self, factory: EnvironmentFactory, *, max_branches: int = 1024
    ) -> None:
        """Hold the factory; no engine starts yet."""
        self.factory = factory
        self.max_branches = max_branches
        self._live: OrderedDict[tuple[str, str], Environment] = OrderedDict()
        self._answers: dict[tuple[str, str], Transition] = {}
        self._listed: OrderedDict[tuple[str, str], tuple[str, ...]] = OrderedDict()
        self._lock = threading.RLock()
        self._grammar: Environment | None = None
        self.replays = 0

    @property
    def grammar(self) -> Environment:
        """An environment without a task, for reading actions out of messages."""
        with self._lock:
            if self._grammar is None:
                self._grammar = self.factory.make()
            return self._grammar

    def check_width(self, branches: int) -> None:
        """Refuse searches that execute more than one branch where none can be made.

        Raises:
            ConfigurationError: If the environment can be neither copied nor replayed.
        """
        spec = self.factory.spec
        forks = spec.fork == "copy" or (spec.fork == "replay" and spec.replayable)
        if branches > 1 and not forks:
            msg = (
                f"Environment {self.factory.name!r} cannot be branched "
                f"(fork={spec.fork!r}, replayable={spec.replayable}), and this search "
                f"executes {branches} branches."
            )
            raise ConfigurationError(
                msg,
                remedy="Use beam_width=1, which only runs the chosen action, or an "
                "environment that forks.",
            )

    def start(self, search: str, root: str, task: TaskRef) -> Start:
        """Reset an environment to `task` as the root of a search.

        Raises:
            UnknownTaskError: If the task does not exist.
            EnvironmentFailedError: If the engine raised.
        """
        env = self.factory.make()
        start = self._guard(env, "reset", task, lambda: env.reset(task))
        with self._lock:
            self._put((search, root), env)
        return start

    def step(
        self,
        search: str,
        parent: str,
        node: str,
        task: TaskRef,
        actions: Sequence[Action],
        digests: Sequence[str],
        action: Action | AIMessage,
    ) -> Transition | None:
        """Run `action` in a branch of its own.

        Args:
            search: Search id.
            parent: Node whose state is branched.
            node: Node that the action leads to.
            task: The task.
            actions: Actions that lead to `parent`.
            digests: Digests of the observations on the way, the first one included.
            action: What to run; a message without action is shown to the
                environment's `reject`.

        Returns:
            What the environment answered; None if it rejects without an answer.

        Raises:
            EnvironmentFailedError: If the engine raised.
            ForkError: If the branch is gone and must not be replayed.
        """
        done = self._answers.get((search, node))
        if done is not None:
            return done
        env = self._branch(search, parent, task, actions, digests)
        if isinstance(action, AIMessage):
            answer = self._guard(env, "reject", task, lambda: env.reject(action))
        else:
            answer = self._guard(env, "step", task, lambda: env.step(action))
        with self._lock:
            self._put((search, node), env)
            if answer is not None:
                self._answers[search, node] = answer
        return answer

    def actions(
        self,
        search: str,
        node: str,
        task: TaskRef,
        actions: Sequence[Action],
        digests: Sequence[str],
    ) -> tuple[str, ...]:
        """List what a node's state admits; its engine is asked once.

        Args:
            search: Search id.
            node: The node.
            task: The task.
            actions: Actions that lead to it.
            digests: Digests of the observations on the way, the first one included.

        Returns:
            Admissible actions; empty where the engine lists none.

        Raises:
            EnvironmentFailedError: If the engine raised.
            ForkError: If the branch is gone and must not be replayed.
        """
        at = (search, node)
        with self._lock:
            known = self._listed.get(at)
            live = self._live.get(at)
        if known is not None:
            return known
        env = live or self._replayed(search, task, actions, digests)
        told = self._guard(env, "actions", task, env.actions)
        listed = tuple(told or ())
        with self._lock:
            if live is None:
                self._put(at, env)
            self._listed[at] = listed
            while len(self._listed) > self.max_branches:
                self._listed.popitem(last=False)
        return listed

    def _branch(
        self,
        search: str,
        parent: str,
        task: TaskRef,
        actions: Sequence[Action],
        digests: Sequence[str],
    ) -> Environment:
        spec = self.factory.spec
        with self._lock:
            env = self._live.get((search, parent))
            stuck = spec.fork == "none" or (
                spec.fork == "replay" and not spec.replayable
            )
            if env is not None and stuck:
                # Only one branch exists (check_width), so it moves on with its child.
                return self._live.pop((search, parent))
        if env is not None:
            try:
                return self._guard(env, "fork", task, env.fork)
            except Exception:
                # The guard closed it; a retry must not find it here.
                with self._lock:
                    self._live.pop((search, parent), None)
                raise
        return self._replayed(search, task, actions, digests)

    def _replayed(
        self,
        search: str,
        task: TaskRef,
        actions: Sequence[Action],
        digests: Sequence[str],
    ) -> Environment:
        if not self.factory.spec.replayable:
            msg = (
                f"The branch of search {search} is gone, and {self.factory.name!r} "
                "forbids replay."
            )
            raise ForkError(
                msg, remedy="Such a search must end in the process that began it."
            )
        env = self.factory.make()
        self.replays += 1
        self._guard(env, "replay", task, lambda: env.replay(task, actions, digests))
        return env

    def _guard(
        self, env: Environment, what: str, task: TaskRef, call: Callable[[], R]
    ) -> R:
        alone = nullcontext() if self.factory.spec.thread_safe else self._lock
        try:
            with alone:
                return call()
        except AgentRMError:
            env.close()
            raise
        except Exception as error:
            env.close()
            msg = (
                f"Environment {self.factory.name!r} raised {type(error).__name__} in "
                f"{what} of task {task['id']!r}: {error}."
            )
            # A repeated step forks or replays the parent again, so that nothing is run
            # twice in one engine.
            raise EnvironmentFailedError(
                msg,
                remedy="The search can be resumed from its last checkpoint.",
                retryable=self.factory.spec.replayable and is_retryable(error),
            ) from error

    def _put(self, at: tuple[str, str], env: Environment) -> None:
        self._live[at] = env
        self._live.move_to_end(at)
        while len(self._live) > self.max_branches:
            key, old = self._live.popitem(last=False)
            self._answers.pop(key, None)
            old.close()

    def retain(self, search: str, nodes: Iterable[str]) -> None:
        """Close all branches of a search but those of `nodes`."""
        keep = set(nodes)
        with self._lock:
            dead = [k for k in self._live if k[0] == search and k[1] not in keep]
            for k in dead:
                self._live.pop(k).close()
            for k in [k for k in self._answers if k[0] == search and k[1] not in keep]:
                del self._answers[k]

    def release(self, search: str) -> None:
        """Close all branches of a search."""
        self.retain(search, ())
        with self._lock:
            for k in [k for k in self._listed if k[0] == search]:
                del self._listed[k]

    def close(self) -> None:
        """Close everything."""
        with self._lock:
            for env in self._live.values():
                env.close()
            self._live.clear()
            self._answers.clear()
            self._listed.clear()
            if self._grammar is not None:
                self._grammar.close()
                self._grammar = None

    def __len__(self) -> int:
        """Number of live branches."""
        return len(self._live)
