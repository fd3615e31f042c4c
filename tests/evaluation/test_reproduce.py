from __future__ import annotations

import io

import pytest
import reproduce
import yaml
from _reproduce_data import subset
from _reproduce_pieces import Piece, is_done
from _reproduce_plan import Plan
from _reproduce_settings import read_settings
from rich.console import Console

from langchain_agentrm._files import read_json, read_jsonl, write_jsonl, write_manifest
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.training.samples import LabelledPath, TaskSamples, read_samples

STUDIES = (
    *("rollouts", "implicit", "kinds", "large", "strong"),
    *("data", "ablation", "robust"),
)


def piece(name, run, *, minutes=1.0, stops="any", study="", reads=()):
    return Piece(name, minutes, run, "game", stops, study, reads)


def finishing(out, name, called=None):
    def run(_told):
        if called is not None:
            called.append(name)
        return write_manifest(
            out / name, stage="x", config={}, inputs={}, counts={}, seconds=0.0
        )

    return run


def work(pieces, out, minutes=float("inf")):
    ledger = reproduce.Ledger(out / reproduce.SPENT)
    deadline = reproduce.time.monotonic() + 60 * minutes
    console = Console(file=io.StringIO())
    return reproduce._work(pieces, out, ledger, deadline, console), ledger


def samples(n_tasks=6):
    tasks = []
    for i in range(n_tasks):
        steps = [("go", "saw it"), ("take", "done now")]
        path = LabelledPath(steps, [(0.5, 2), (1.0, 1)], 1.0, 1)
        task = {"env": "game", "type": "t", "id": f"game-{i}", "seed": i}
        tasks.append(TaskSamples(task, "goal: x", "a room", [path]))
    return tasks


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "made"
    for name in ("train.jsonl", "val.jsonl", "pool.jsonl"):
        write_jsonl(made / name, [task.plain() for task in samples()])
    finishing(tmp_path, "made")(None)
    return made


def labels(path):
    return {
        (task.task["id"], i)
        for task in read_samples(path)
        for p in task.paths
        for i, label in enumerate(p.labels)
        if label
    }


def test_the_budgets_stay_below_three_hours_and_pieces_below_ten_minutes(tmp_path):
    pieces = Plan(read_settings(reproduce.SETTINGS), tmp_path).pieces()
    assert sum(p.minutes for p in pieces) < reproduce.MOST_MINUTES
    assert max(p.minutes for p in pieces if p.stops == "never") <= 10
    names = [p.name for p in pieces]
    assert len(set(names)) == len(names)
    for i, some in enumerate(pieces):
        assert set(some.reads) <= set(names[:i]), some.name


def test_every_study_of_the_report_has_a_run(tmp_path):
    pieces = Plan(read_settings(reproduce.SETTINGS), tmp_path).pieces()
    found = {p.study for p in pieces if p.study}
    assert found == {
        *("main", "kinds", "weak-to-strong", "data", "ablation", "robustness"),
        *("transfer", "offline"),
    }


def test_a_wrong_setting_is_named(tmp_path):
    data = yaml.safe_load(reproduce.SETTINGS.read_text())
    data["environments"]["pddl"]["main"]["minutes"] = 21
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(ConfigurationError, match=r"environments\.pddl\.main\.minutes"):
        read_settings(path)


def test_subsets_are_nested_and_exact(tmp_path, folder):
    for size in (3, 8):
        subset(folder, size, 0, tmp_path / str(size))
    small, large = (labels(tmp_path / n / "train.jsonl") for n in ("3", "8"))
    assert (len(small), len(large)) == (3, 8)
    assert small < large
    with pytest.raises(ConfigurationError, match="13 are asked for"):
        subset(folder, 13, 0, tmp_path / "13")


def test_done_pieces_are_not_done_again(tmp_path):
    called = []
    pieces = [piece(n, finishing(tmp_path, n, called)) for n in ("one", "two")]
    assert work(pieces, tmp_path)[0] == {}
    assert work(pieces, tmp_path)[0] == {}
    assert called == ["one", "two"]


def test_time_up_stops_after_new_work_alone_and_the_next_call_goes_on(tmp_path):
    kept = []

    def run(told):
        told(len(kept), 3)  # says where it begins: nothing is done yet
        while len(kept) < 3:
            kept.append(1)
            told(len(kept), 3)
        return finishing(tmp_path, "one")(told)

    some = piece("one", run)
    for done in (1, 2):
        assert work([some], tmp_path, minutes=0)[0] is None
        assert len(kept) == done
        assert not is_done(tmp_path, some)
    # The last report is of whole work, so there is nothing to stop.
    assert work([some], tmp_path, minutes=0)[0] == {}
    assert is_done(tmp_path, some)


def test_what_cannot_be_stopped_is_not_begun_where_it_does_not_fit(tmp_path):
    first = piece("one", finishing(tmp_path, "one"))
    long = piece("two", finishing(tmp_path, "two"), minutes=9, stops="never")
    assert work([first, long], tmp_path, minutes=5)[0] is None
    assert not is_done(tmp_path, long)
    assert work([first, long], tmp_path, minutes=5)[0] == {}
    assert is_done(tmp_path, long)


def test_an_evaluation_past_its_budget_is_cut_once_and_said(tmp_path):
    def run(told):
        told(0, 2)
        before = reproduce.cpu_seconds()
        while reproduce.cpu_seconds() == before:
            pass
        told(1, 2)
        pytest.fail("it was not cut")

    some = piece("runs/slow", run, minutes=1e-9, study="main")
    failed, ledger = work([some], tmp_path)
    assert failed == {}
    assert ledger.cut == ["runs/slow"]
    assert work([some], tmp_path)[1].cut == ["runs/slow"]


def test_a_piece_that_cannot_work_leaves_the_others_alone(tmp_path):
    def run(_told):
        raise ConfigurationError("No episode came to its end.", remedy="")

    pieces = [
        piece("implicit", run),
        piece("kinds", finishing(tmp_path, "kinds"), reads=("implicit",)),
        piece("data", finishing(tmp_path, "data")),
    ]
    failed, ledger = work(pieces, tmp_path)
    assert failed == {
        "implicit": "No episode came to its end.",
        "kinds": "it reads implicit, which is not there.",
    }
    assert is_done(tmp_path, pieces[2])
    assert set(ledger.seconds) == {"implicit", "data"}


def test_another_scale_in_the_same_folder_is_refused(tmp_path):
    settings = read_settings(reproduce.SETTINGS)
    reproduce._hold(settings, 0.01, tmp_path)
    reproduce._hold(settings, 0.01, tmp_path)
    with pytest.raises(ConfigurationError, match="scale"):
        reproduce._hold(settings, 0.02, tmp_path)


def toy(path, env, studies=()):
    """The frozen settings of one environment, made smaller still."""
    data = yaml.safe_load(reproduce.SETTINGS.read_text())
    data["transfer"] = None
    plan = data["environments"][env]
    data["environments"] = {env: plan}
    for name in {*STUDIES} - {*studies}:
        plan.pop(name, None)
    plan["policy"].update(
        hidden=48, layers=1, epochs=12 if env == "babyai" else 5, val_share=0.3
    )
    plan["policy"]["eval_tasks"] = 0
    if env != "babyai":
        plan["demos"]["n_per_type"] = 16
    if env == "pddl":
        plan["demos"]["types"] = ["blockworld", "gripper"]
    plan["pool"].update(samples=2, tasks=12)
    plan["trees"].update(simulations=3, tasks=24, chunk=12)
    plan["samples"]["val_share"] = 0.3
    plan["rm"]["epochs"] = 1
    plan["main"]["groups"] = ["held_in"]
    plan["offline"]["tasks"] = 8
    for name in studies:
        plan[name]["episodes"] = 1
    if "robust" in studies:
        plan["robust"]["grammars"] = [1, 5]
        plan["robust"]["demos"]["n_per_type"] = 2
        plan["robust"]["policy"].update(hidden=48, layers=1, epochs=1)
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.mark.parametrize(
    ("env", "studies"),
    [
        ("babyai", ("data", "ablation")),
        pytest.param("alfworld", ("robust",), marks=pytest.mark.slow),
        pytest.param("pddl", (), marks=pytest.mark.slow),
    ],
)
def test_an_environment_runs_from_demonstrations_to_the_report(tmp_path, env, studies):
    settings = toy(tmp_path / "toy.yaml", env, studies)
    out, docs = tmp_path / "out", tmp_path / "docs"

    def go():
        reproduce.main(
            out=out, settings=settings, minutes=None, scale=0.01, only=None, workers=1,
            dry_run=False, docs=docs,
        )  # fmt: skip

    go()
    rows = list(read_jsonl(out / "runs" / f"{env}-main" / "episodes.jsonl"))
    assert {"greedy", "best-of-4"} <= {row["method"] for row in rows}
    assert ("beam-2x2" in {row["method"] for row in rows}) == (env != "pddl")
    assert {row["env"] for row in rows} == {env}
    found = read_json(out / "report" / "report.json")
    missing = {s["name"]: s["missing"] for s in found["sections"]}
    own = {"data": "data", "ablation": "ablation", "robust": "robustness"}
    for study, section in own.items():
        assert bool(missing[section]) == (study not in studies)
    assert not missing["main"]
    assert not missing["offline"]
    assert missing["heat"]
    answers = {row[0]: row[2] for row in found["sections"][0]["tables"][0]["rows"]}
    assert answers["the reward model helps"] != "not answerable"
    assert answers["weak to strong"] == "not answerable"
    for study, name in (
        ("data", "more states help log-linearly"),
        ("robust", "robust to perturbed grammars"),
    ):
        assert (answers[name] != "not answerable") == (study in studies)
    page = (docs / "results.md").read_text()
    assert "not answerable here: a judge" in page
    figures = [part.split(")")[0] for part in page.split("](data/results/")[1:]]
    assert figures
    assert all((docs / "data" / "results" / name).exists() for name in figures)
    spent = {p: read_json(p) for p in (out / reproduce.SPENT).iterdir()}
    go()
    assert {p: read_json(p) for p in (out / reproduce.SPENT).iterdir()} == spent
    assert spent
