"""Why a candidate has its score: signals, verdicts, citations, and who chose them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_agentrm.reward_agent.router import Route
from langchain_agentrm.reward_agent.types import Verdict, answer_of, request_of
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Score

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["Explanation"]

_SHOWN = 100
_MARKS = {True: "+", False: "-", None: "?"}


@dataclass(frozen=True, slots=True)
class Explanation:
    """What `RewardAgent` knows of one candidate.

    Attributes:
        trajectory: The candidate.
        score: Its score, or why it has none.
        rank: Its place among the distinct candidates of its group, 1 for the best;
            equal scores share a place. None without a score.
        rivals: How many distinct candidates its group has, itself among them.
        signals: Every value there is of it, by name.
        used: The signals that the judger joined: those that all candidates have.
        left_out: For each signal that was not joined, why.
        verdicts: What each verifier that ran said, its findings and citations with it.
        route: The verifiers that were chosen, and by whom.
    """

    trajectory: Trajectory
    score: Score
    rank: int | None
    rivals: int
    signals: Mapping[str, float] = field(default_factory=dict)
    used: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    route: Route = field(default_factory=lambda: Route((), ""))

    def as_dict(self) -> dict[str, Any]:
        """Write it as plain JSON: request and answer instead of the trajectory.

        Returns:
            A dictionary of texts, numbers, lists and dictionaries.
        """
        return {
            "request": request_of(self.trajectory),
            "answer": answer_of(self.trajectory),
            "group": self.trajectory.group,
            "score": self.score.value,
            "error": self.score.error,
            "rank": self.rank,
            "rivals": self.rivals,
            "signals": dict(self.signals),
            "used": list(self.used),
            "left_out": dict(self.left_out),
            "verdicts": {
                name: _plain(asdict(verdict)) for name, verdict in self.verdicts.items()
            },
            "route": _plain(asdict(self.route)),
        }

    def __str__(self) -> str:
        """Write it as lines for a terminal."""
        return "\n".join(self._lines())

    def __rich__(self) -> Text:
        """Show the same text in rich, brackets in answers and all."""
        from rich.text import Text

        return Text(str(self))

    def _lines(self) -> list[str]:
        place = f"{self.rank} of {self.rivals}" if self.rank else "no place"
        score = self.score
        worth = f"score {score.value:.6g}" if score.value is not None else score.error
        out = [f"{place}, {worth}: {_short(answer_of(self.trajectory))}"]
        chosen = ", ".join(self.route.names) or "no verifier"
        out.append(f"  chosen: {chosen} ({self.route.reason})")
        if self.route.error:
            out.append(f"  router: {_short(self.route.error)}")
        for name, value in self.signals.items():
            unused = (
                "" if name in self.used or name not in self.left_out else ", unused"
            )
            out.append(f"  {name}: {value:.6g}{unused}")
            out += _details(self.verdicts.get(name))
        for name, why in self.left_out.items():
            out.append(f"  {name} left out: {_short(why)}")
        return out


def _details(verdict: Verdict | None) -> list[str]:
    if verdict is None:
        return []
    out = [f"    {_short(verdict.reason)}"] if verdict.reason else []
    for finding in verdict.findings:
        detail = f" ({_short(finding.detail)})" if finding.detail else ""
        out.append(f"    {_MARKS[finding.passed]} {_short(finding.check)}{detail}")
    out += [
        f"    [{passage.source}] {_short(passage.text)}" for passage in verdict.passages
    ]
    return out


def _short(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 3]}..."


def _plain(value: Any) -> Any:
    """Tuples as lists, as JSON has them."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return value
