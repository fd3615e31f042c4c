"""Sessions for any number of environments: few, reused, brought up by replay."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from langchain_agentrm_scienceworld._jvm import Answer, Jvm, Session, Where

__all__ = ["Pool", "Settings", "close_pools", "get_pool"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How many Java processes and sessions there may be.

    Attributes:
        java: The Java command.
        heap: Its memory for objects, as Java writes it.
        jvms: Processes at most, for each set of simplifications.
        sessions: Sessions at most in each process; each takes some 20 MB.
    """

    java: str = "java"
    heap: str = "1g"
    jvms: int = 1
    sessions: int = 8


class Pool:
    """Sessions by where they are; an environment borrows one for each call.

    An environment is a task and the actions taken, so that forking it costs nothing. A
    session that stands exactly there is used; else one is brought there, and whoever
    it served before is brought up again when it is needed.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.replayed = 0
        self._sessions: list[Session] = []
        self._jvms: list[Jvm] = []
        self._opening = 0
        self._clock = 0
        self._changed = threading.Condition()

    @contextmanager
    def at(
        self,
        where: Where,
        texts: Sequence[str],
        check: Callable[[int, Answer, Session], None],
    ) -> Iterator[Session]:
        """Borrow a session that stands after `texts`.

        Args:
            where: The task.
            texts: Actions taken in it.
            check: Called with the index of each action that had to be repeated, its
                answer and the session; raises if it is not what was seen before.

        Yields:
            The session.

        Raises:
            ConfigurationError: If Java is missing or does not start.
            EnvironmentFailedError: If the simulator raised or the process is gone.
        """
        wanted = tuple(texts)
        session = self._borrow(where, wanted)
        try:
            if session.where != where or session.texts != wanted[: len(session.texts)]:
                session.load(where)
            while len(session.texts) < len(wanted):
                i = len(session.texts)
                check(i, session.step(wanted[i]), session)
                self.replayed += 1
            yield session
        except BaseException:
            # What went wrong may have happened in the middle of a change.
            session.where = None
            raise
        finally:
            self._give_back(session)

    def fresh(self, where: Where) -> tuple[str, str, str]:
        """Load a task anew.

        Returns:
            The simulator's description, the goal, and what is seen and held.
        """
        session = self._borrow(where, None)
        try:
            return session.load(where), session.goal(), session.look()
        except BaseException:
            session.where = None
            raise
        finally:
            self._give_back(session)

    def gold(self, where: Where) -> list[str]:
        """Let the simulator solve a task."""
        session = self._borrow(where, None)
        try:
            session.load(where, gold=True)
            return session.gold()
        finally:
            session.where = None
            self._give_back(session)

    @property
    def exact(self) -> bool:
        """Whether texts are the same in every replay."""
        return all(jvm.exact for jvm in self._jvms)

    @property
    def processes(self) -> int:
        """Java processes running."""
        return len(self._jvms)

    def close(self) -> None:
        """End all processes; environments go on in new ones when they are used."""
        with self._changed:
            jvms, self._jvms, self._sessions = self._jvms, [], []
            self._changed.notify_all()
        for jvm in jvms:
            jvm.close()

    def _borrow(self, where: Where, texts: tuple[str, ...] | None) -> Session:
        with self._changed:
            while True:
                self._drop_dead()
                session = self._choose(where, texts)
                if session is not None:
                    self._clock += 1
                    session.busy, session.used = True, self._clock
                    return session
                room = self.settings.jvms * self.settings.sessions
                if len(self._sessions) + self._opening < room:
                    self._opening += 1
                    break
                self._changed.wait()
        try:
            session = self._open()
        finally:
            with self._changed:
                self._opening -= 1
                self._changed.notify_all()
        return session

    def _choose(self, where: Where, texts: tuple[str, ...] | None) -> Session | None:
        idle = [session for session in self._sessions if not session.busy]
        if texts is not None:
            for session in idle:
                if session.where == where and session.texts == texts:
                    return session
        full = len(self._sessions) + self._opening >= (
            self.settings.jvms * self.settings.sessions
        )
        lost = [session for session in idle if session.where is None]
        if lost:
            return lost[0]
        if not full or not idle:
            return None
        if texts is not None:
            behind = [
                session
                for session in idle
                if session.where == where
                and session.texts == texts[: len(session.texts)]
            ]
            if behind:
                return max(behind, key=lambda session: len(session.texts))
        return min(idle, key=lambda session: session.used)

    def _open(self) -> Session:
        with self._changed:
            crowd = {id(jvm): 0 for jvm in self._jvms}
            for session in self._sessions:
                crowd[id(session.jvm)] += 1
            free = [x for x in self._jvms if crowd[id(x)] < self.settings.sessions]
            jvm = min(free, key=lambda x: crowd[id(x)], default=None)
            if jvm is None or (
                len(self._jvms) < self.settings.jvms
                and all(session.busy for session in self._sessions)
            ):
                # Under the lock, so that two threads do not start one each.
                jvm = Jvm(self.settings.java, (f"-Xmx{self.settings.heap}",))
                self._jvms.append(jvm)
            session = jvm.session()
            self._clock += 1
            session.busy, session.used = True, self._clock
            self._sessions.append(session)
            return session

    def _give_back(self, session: Session) -> None:
        with self._changed:
            session.busy = False
            self._changed.notify_all()

    def _drop_dead(self) -> None:
        for jvm in [jvm for jvm in self._jvms if jvm.dead]:
            self._jvms.remove(jvm)
            self._sessions = [x for x in self._sessions if x.jvm is not jvm]
            jvm.close()


_pools: dict[tuple[int, Settings, str], Pool] = {}
_lock = threading.Lock()


def get_pool(settings: Settings, simplifications: str) -> Pool:
    """Return this process's pool for a set of simplifications.

    The simulator keeps the simplifications in a global object, so that sessions with
    different ones must not share a Java process; neither may a forked Python process
    use its parent's connection.
    """
    key = (os.getpid(), settings, simplifications)
    with _lock:
        return _pools.setdefault(key, Pool(settings))


def close_pools() -> None:
    """End all Java processes that this process started."""
    with _lock:
        mine = [key for key in _pools if key[0] == os.getpid()]
        pools = [_pools.pop(key) for key in mine]
    for pool in pools:
        pool.close()


atexit.register(close_pools)
