from __future__ import annotations

import importlib.util
import json

import pytest
from typer.testing import CliRunner

from langchain_agentrm.cli.eval import app
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.evaluation import suite
from tests.evaluation.suites import both, write_run

needs_models = pytest.mark.skipif(
    importlib.util.find_spec("langchain_agentrm_mini_models") is None
    or importlib.util.find_spec("langchain_agentrm_babyai") is None
    or importlib.util.find_spec("torch") is None,
    reason="the BabyAI environment, its models or torch are not installed",
)
needs_plots = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None,
    reason="plots need the extra `train`",
)


@pytest.fixture
def asked(monkeypatch):
    """Settings that a command asks to be run; nothing is run."""
    seen = {}

    def record(settings, out, **options):
        seen.update(settings=settings, out=out, **options)
        out.mkdir(exist_ok=True)
        (out / suite.EPISODES_FILE).write_text("")
        counts = {"episodes": 0, "failures": 1, "first_failure": "E: it fell"}
        return {"counts": counts, "seconds": 1.0}

    monkeypatch.setattr(suite, "run_suite", record)
    return seen


def run(*words):
    return CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)


def test_options_make_a_suite(asked, tmp_path):
    done = run(
        *("run", "--out", tmp_path / "o", "--env", "alfworld", "--env", "babyai"),
        *("--option", "style=eto", "--perturbations", "0,3", "--episodes", "7"),
        *("--methods", "greedy, best-of-3", "--seeds", "1,2", "--block", "4"),
        *("--policy", "big=openai:m", "--policy", "small", "--base-url", "http://h/v1"),
        *("--reward-model", "judge:openai:m", "--reward-url", "http://r/v1"),
    )
    assert done.exit_code == 0, done.output
    made = asked["settings"]
    assert [e.name for e in made.environments] == [
        f"{env}+style=eto+perturbation={n}"
        for env in ("alfworld", "babyai")
        for n in (0, 3)
    ]
    assert {e.episodes for e in made.environments} == {7}
    assert made.methods == ("greedy", "best-of-3")
    assert made.seeds == (1, 2)
    assert made.policies["big"].base_url == "http://h/v1"
    assert made.policies["small"].base_url is None
    (judge,) = made.reward_models.values()
    assert (judge.kind, judge.base_url) == ("judge", "http://r/v1")
    assert asked["block"] == 4
    assert "E: it fell" in done.output


def test_options_win_over_a_file(asked, tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_text("environments: [{env: babyai}]\nseeds: [5]\nmethods: [greedy]\n")
    assert run("run", path, "--out", tmp_path / "o", "--seeds", "9").exit_code == 0
    made = asked["settings"]
    assert (made.seeds, made.methods) == ((9,), ("greedy",))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "a"], "--seeds 'a'"),
        (["--option", "x"], "--option 'x'"),
        (["--methods", "magic"], "'magic'"),
        (["--policy", "a/x", "--policy", "b/x"], "'x'"),
        (["--backend", "cloud"], "'cloud'"),
    ],
)
def test_wrong_options_are_named(asked, tmp_path, words, said):
    with pytest.raises(ConfigurationError) as error:
        run("run", "--out", tmp_path, *words)
    assert said in str(error.value)


def test_options_of_an_environment_need_one(asked, tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_text("environments: [{env: babyai}]")
    with pytest.raises(ConfigurationError, match="--episodes"):
        run("run", path, "--out", tmp_path, "--episodes", "3")


@needs_plots
def test_a_report_says_what_was_not_measured(tmp_path):
    folder = write_run(tmp_path / "run", both(10, 0.2, 0.6))
    done = run("report", folder, "--out", tmp_path / "out", "--title", "Mine <b>")
    assert done.exit_code == 0, done.output
    assert "Not measured in these runs: Test-time scaling" in done.output
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<title>Mine &lt;b&gt;</title>" in page


@needs_models
@needs_plots
def test_a_real_run_and_its_report(tmp_path):
    out = tmp_path / "run"
    words = ("--episodes", 1, "--methods", "greedy,best-of-2,beam-1x2")
    done = run("run", "--out", out, *words, "--env", "babyai", "--workers", 1)
    assert done.exit_code == 0, done.output
    rows = [json.loads(x) for x in (out / "episodes.jsonl").read_text().splitlines()]
    # One of each group, and one of the type set aside.
    assert len(rows) == 3 * 3
    assert all(r["policy_tokens"] > 0 for r in rows)
    assert run("report", out, "--out", tmp_path / "report").exit_code == 0
    assert "beam-1x2" in (tmp_path / "report" / "report.md").read_text()
