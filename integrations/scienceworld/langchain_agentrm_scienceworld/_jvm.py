"""One Java virtual machine that runs the official simulator, for many sessions."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any, TypeVar

from py4j.java_gateway import (  # type: ignore[import-untyped]
    GatewayParameters,
    JavaGateway,
    launch_gateway,
)
from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]

from langchain_agentrm.errors import ConfigurationError, EnvironmentFailedError

__all__ = ["Answer", "Jvm", "Session", "Where"]

R = TypeVar("R")

# Objects with one identity hash each are listed in the order in which they were made,
# so that two plays of the same actions show the same text.
_EXACT = ("-XX:+UnlockExperimentalVMOptions", "-XX:hashCode=2")
_EXACT_HASH = 1
_SECONDS_TO_END = 5


@dataclass(frozen=True, slots=True)
class Where:
    """Which task a session has loaded."""

    type: str
    variation: int
    simplifications: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the simulator says after an action.

    Attributes:
        text: The observation.
        raw: Its score, 1 at best and negative after a wrong choice.
        completed: Whether it considers the task over.
        moves: Its count of moves; an action that it does not know is none.
    """

    text: str
    raw: float
    completed: bool
    moves: int


class Jvm:
    """A Java process. One call at a time: its sessions share global objects.

    Args:
        java: The Java command.
        options: Options for it.

    Raises:
        ConfigurationError: If Java or the simulator is missing or does not start.
    """

    def __init__(self, java: str, options: Sequence[str]) -> None:
        self.lock = threading.Lock()
        self.dead = False
        self._gateway, self._process = _launch(java, options)
        system = self._gateway.jvm.java.lang.System
        probe = self._gateway.jvm.java.lang.Object()
        self.exact = int(system.identityHashCode(probe)) == _EXACT_HASH

    def session(self) -> Session:
        """Open a session without a task."""
        runtime = self._gateway.jvm.scienceworld.runtime.pythonapi
        return Session(self, self.call(runtime.PythonInterface))

    def call(self, ask: Callable[[], R]) -> R:
        """Ask the process something.

        Raises:
            EnvironmentFailedError: If the simulator raised or the process is gone.
        """
        with self.lock:
            try:
                # Asking a process that has ended would open connections for nothing.
                if self._process.poll() is not None:
                    msg = f"it ended with status {self._process.returncode}"
                    raise ConnectionError(msg)  # noqa: TRY301 - handled like any other
                return ask()
            except Py4JJavaError as error:
                msg = f"ScienceWorld raised {error.java_exception}."
                raise EnvironmentFailedError(
                    msg, remedy="Reset the environment; report it if it repeats."
                ) from error
            except Exception as error:
                self.dead = True
                msg = f"The Java process of ScienceWorld is gone: {error!r}."
                raise EnvironmentFailedError(
                    msg,
                    remedy="Repeat the call: another process is started. If it "
                    "repeats, give it more memory (heap=).",
                    retryable=True,
                ) from error

    def strings(self, ask: Callable[[], Any]) -> list[str]:
        """Ask for a list of texts, and let the process forget the list."""

        def copy() -> list[str]:
            found = ask()
            texts = [str(text) for text in found]
            self._gateway.detach(found)
            return texts

        return self.call(copy)

    def close(self) -> None:
        """End the process."""
        self.dead = True
        if self._process.poll() is None:
            self._gateway.shutdown(raise_exception=False)
        else:
            self._gateway.close()
        if self._process.stdin is not None:
            # It ends when its input does, however busy it is.
            self._process.stdin.close()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Session:
    """One simulated world in a process, at some point of some task's episode."""

    def __init__(self, jvm: Jvm, server: Any) -> None:
        self.jvm = jvm
        self.server = server
        self.where: Where | None = None
        self.texts: tuple[str, ...] = ()
        self.busy = False
        self.used = 0

    def load(self, where: Where, *, gold: bool = False) -> str:
        """Load a task; there is no other way back to its beginning.

        Returns:
            The task's description, as the simulator words it for the agent.
        """
        self.where, self.texts = None, ()

        def ask() -> str:
            # The official wrapper calls `reset` after `load`. It makes the same world
            # a second time, which takes twenty times as long as `load` does.
            self.server.load(where.type, where.variation, where.simplifications, gold)
            # The wrapper's own first move, with which every official episode begins.
            self.server.step("look around")
            return str(self.server.freeActionTaskDesc())

        description = self.jvm.call(ask)
        self.where = where
        return description

    def step(self, text: str) -> Answer:
        """Apply one action."""

        def ask() -> Answer:
            server = self.server
            seen = str(server.step(text))
            return Answer(
                seen,
                float(server.getScore()),
                bool(server.getCompleted()),
                int(server.getNumMoves()),
            )

        try:
            answer = self.jvm.call(ask)
        except EnvironmentFailedError:
            # Half an action may have been applied, so that nobody may go on from here.
            self.where = None
            raise
        self.texts = (*self.texts, text)
        return answer

    def goal(self) -> str:
        """Describe the task in one text."""
        return str(self.jvm.call(self.server.getTaskDescription))

    def look(self) -> str:
        """Describe place and inventory, which takes no move."""
        place = str(self.jvm.call(self.server.freeActionLook))
        return f"{place}\n{self.jvm.call(self.server.freeActionInventory)}"

    def actions(self) -> list[str]:
        """List every action that applies; takes up to some hundred milliseconds."""
        return sorted(
            set(self.jvm.strings(self.server.getValidActionObjectCombinations))
        )

    def gold(self) -> list[str]:
        """Return the simulator's solution, after a `load` that asked for it."""
        return self.jvm.strings(self.server.getGoldActionSequence)


def _launch(java: str, options: Sequence[str]) -> tuple[Any, subprocess.Popen[bytes]]:
    if which(java) is None:
        msg = f"ScienceWorld needs Java, and there is no command {java!r}."
        raise ConfigurationError(
            msg, remedy="Install a JRE of version 11 or later (default-jre-headless)."
        )
    try:
        from scienceworld.constants import (  # type: ignore[import-untyped]
            BASEPATH,
            JAR_PATH,
        )
    except ImportError as error:
        msg = f"The simulator cannot be imported: {error}."
        raise ConfigurationError(
            msg, remedy="pip install langchain-agentrm-scienceworld"
        ) from error
    if not Path(JAR_PATH).is_file():
        msg = f"The simulator is missing: {JAR_PATH}."
        raise ConfigurationError(msg, remedy="Reinstall scienceworld.")
    failure: Exception | None = None
    for more in (_EXACT, ()):
        # A Java that refuses the options plays too, with its lists in any order.
        try:
            port, token, process = launch_gateway(
                classpath=JAR_PATH,
                cwd=BASEPATH,
                java_path=java,
                javaopts=[*options, *more],
                die_on_exit=True,
                enable_auth=True,
                return_proc=True,
            )
        except (OSError, ValueError) as error:
            failure = error
            continue
        # Objects are given back by `strings`: what the collector gives back, at any
        # moment and in any thread, may ask a process that has ended.
        parameters = GatewayParameters(
            port=port, auth_token=token, enable_memory_management=False
        )
        return JavaGateway(gateway_parameters=parameters), process
    msg = f"Java ({java} {' '.join(options)}) did not start: {failure!r}."
    raise ConfigurationError(
        msg, remedy="Run `java -version`, and check the heap size asked for."
    )
