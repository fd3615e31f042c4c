from __future__ import annotations

import pytest

from tests.examples.processes import model_server, requests, run


@pytest.mark.parametrize(
    ("answers", "sent"), [("yes,yes", 2), ("yes,no", 1), ("no,no", 0)]
)
def test_two_questions_are_answered_in_another_process(tmp_path, answers, sent):
    with model_server() as url:

        def go(*more):
            return run("human_approval/main.py", "--base-url", url, *more, cwd=tmp_path)

        questions = go().splitlines()
        assert len(questions) == 2
        assert {q.split()[0] for q in questions} == {"approve?"}
        assert requests(url) == 1
        out = go("--answers", answers)
        # The questions were not sampled again: the second request is the next step's.
        assert requests(url) == 2
    assert out.count("tool: sent the invitation") == sent
    assert out.count("does not want") == 2 - sent
    assert out.splitlines()[-1] == "ai: Done."
