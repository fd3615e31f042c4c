"""Counters and times in Prometheus' text format."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_BOUNDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
_COUNTERS = {
    "requests_total": "Chat requests by HTTP status; 499 is a client that left.",
    "upstream_requests_total": "Requests to the upstream.",
    "candidates_total": "Candidates: drawn, distinct among the sound, unsound.",
    "tokens_total": "Tokens: of the prompts, of all candidates, of the reward model.",
    "fallbacks_total": "Answers in the policy's own order.",
}
_TIMES = {
    "request_seconds": "Time of chat requests.",
    "score_seconds": "Time of scoring, retries included.",
}
_PREFIX = "agentrm_proxy_"


class Metrics:
    """What happened since the start; used from one event loop.

    Attributes:
        in_flight: Chat requests in work.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self._counts: Counter[tuple[str, str]] = Counter()
        self._times = {name: _Histogram() for name in _TIMES}

    def count(self, name: str, by: float = 1, **labels: str) -> None:
        """Add to a counter.

        Args:
            name: One of the counters.
            by: How much, 0 or more.
            **labels: Of words from a fixed set: each combination is kept for good.
        """
        inner = ",".join(f'{k}="{v}"' for k, v in sorted(labels.items()))
        self._counts[name, f"{{{inner}}}" if inner else ""] += by  # type: ignore[assignment]

    def time(self, name: str, seconds: float) -> None:
        """Note how long something took."""
        self._times[name].add(seconds)

    def text(self) -> str:
        """Write all of them."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        yield from _head("in_flight", "gauge", "Chat requests in work.")
        yield f"{_PREFIX}in_flight {self.in_flight}"
        for name, text in _COUNTERS.items():
            yield from _head(name, "counter", text)
            for (kind, labels), value in sorted(self._counts.items()):
                if kind == name:
                    yield f"{_PREFIX}{name}{labels} {value}"
        for name, text in _TIMES.items():
            yield from _head(name, "histogram", text)
            yield from self._times[name].lines(_PREFIX + name)


class _Histogram:
    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(_BOUNDS, seconds)] += 1
        self._sum += seconds

    def lines(self, name: str) -> Iterator[str]:
        total = 0
        for bound, count in zip((*_BOUNDS, "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._sum:.6f}"
        yield f"{name}_count {total}"


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {_PREFIX}{name} {text}"
    yield f"# TYPE {_PREFIX}{name} {kind}"
