"""The soak, short in every run and long by `make test-soak`."""

from __future__ import annotations

import pytest

from tests.serving.soak import soak


@pytest.mark.parametrize("requests", [200, pytest.param(5000, marks=pytest.mark.soak)])
def test_every_answer_is_right_or_a_clear_error_and_nothing_leaks(requests):
    seen = soak(requests)
    print(seen)
    answers = dict(seen.answers)
    assert set(answers) <= {"right", "failed", "left", "too late to leave"}, answers
    assert sum(answers.values()) == requests
    assert answers["right"] > 0.8 * requests
    assert answers["failed"] > 0
    assert answers["left"] > 0
    assert seen.metrics['requests_total{status="499"}'] > 0
    assert seen.metrics["in_flight"] == 0
    assert seen.tasks[1] <= seen.tasks[0]
    # Idle connections are let go when the next request comes, so some may be left.
    assert seen.sockets[1] <= seen.sockets[0] + 4
    grown = seen.resident[1] - seen.resident[0]
    assert grown < 8 + requests * 0.002, f"{grown:.1f} MiB more than before"
