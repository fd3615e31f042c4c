"""Reports: what each section shows, what it asks for, and what is refused."""

from __future__ import annotations

import base64
import csv
import json
import re
from html.parser import HTMLParser

import pytest

pytest.importorskip("matplotlib", reason="plots need the extra `train`")

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.evaluation.analysis import (
    OFFLINE_FILE,
    OfflineConfig,
    analyse_offline,
)
from langchain_agentrm.evaluation.report import write_report
from langchain_agentrm.evaluation.report._claims import claims
from langchain_agentrm.evaluation.report._data import (
    difference,
    load_runs,
)
from langchain_agentrm.evaluation.suite import run_suite
from langchain_agentrm.testing.scripted import ScriptedRewardModel
from tests.evaluation.suites import Game, both, config, row, write_run


def section(data, name):
    return next(s for s in data["sections"] if s["name"] == name)


def claim(folders, name):
    found = {c.name: c for c in claims(load_runs(folders))}
    return found[name]


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A suite over the game and its report."""
    folder = tmp_path_factory.mktemp("real")
    methods = ("greedy", "random-of-8", "likelihood-of-8", "best-of-8", "beam-2x2")
    run_suite(config(methods=methods), folder / "run", workers=0, parts=Game())
    return folder, write_report([folder / "run"], folder / "out")


def test_every_table_of_a_real_run_is_there(real):
    _, data = real
    titles = [t["title"] for t in section(data, "main")["tables"]]
    assert titles == [
        "scripted (policy p)",
        "scripted, held-in (policy p)",
        "scripted, held-out (policy p)",
        "scripted by task type (policy p), mean score %",
    ]
    table = section(data, "main")["tables"][0]
    rows = {r[0]: dict(zip(table["columns"], r, strict=True)) for r in table["rows"]}
    assert next(iter(rows)) == "greedy"
    assert rows["best-of-8"]["n"] == 8
    assert rows["greedy"]["minus greedy"] is None
    guided = rows["best-of-8"]
    wanted = (
        guided["score %, micro"]["value"] - rows["greedy"]["score %, micro"]["value"]
    )
    assert guided["minus greedy"]["value"] == pytest.approx(wanted)


def test_the_page_is_one_file_that_loads_nothing(real):
    folder, data = real
    page = (folder / "out" / "report.html").read_text()
    assert not re.search(
        r"<script|<link|@import|url\(|src=\"(?!data:)|http-equiv", page
    )
    names = [f["name"] for s in data["sections"] for f in s["figures"]]
    assert len(names) == len(set(names)) >= 4
    shown = re.findall(r"src=\"data:image/svg\+xml;base64,([^\"]+)\"", page)
    assert len(shown) == len(names)
    for text in shown:
        picture = base64.b64decode(text).decode()
        assert picture.lstrip().startswith("<?xml")
        assert "<script" not in picture

    class Balanced(HTMLParser):
        def __init__(self):
            super().__init__()
            self.stack = []

        def handle_starttag(self, tag, attrs):
            if tag not in {"meta", "img"}:
                self.stack.append(tag)

        def handle_endtag(self, tag):
            assert self.stack.pop() == tag

    parser = Balanced()
    parser.feed(page)
    assert parser.stack == []


def test_every_figure_has_its_points_beside_it(real):
    folder, data = real
    for s in data["sections"]:
        for figure in s["figures"]:
            path = folder / "out" / "figures" / f"{figure['name']}.csv"
            with path.open() as stream:
                assert len(list(csv.DictReader(stream))) == len(figure["data"]) > 0
            assert path.with_suffix(".svg").exists()


def test_markdown_links_its_figures_and_says_what_was_not_measured(real):
    folder, _ = real
    text = (folder / "out" / "report.md").read_text()
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (folder / "out" / link).exists()
    assert "## Perturbed action grammars\n\nNot measured. Run ALFWorld" in text
    for line in text.splitlines():
        assert not line.startswith("|") or line.endswith("|")


def test_the_same_runs_make_the_same_report(real, tmp_path):
    folder, _ = real
    write_report([folder / "run"], tmp_path)
    for name in ("report.html", "report.md", "report.json"):
        assert (tmp_path / name).read_bytes() == (folder / "out" / name).read_bytes()


def test_the_curve_over_n_is_of_all_subsets(real):
    folder, data = real
    points = section(data, "scaling")["figures"][0]["data"]
    curve = {p["x"]: p["value"] for p in points if p["series"] == "best-of-N, r"}
    assert list(curve) == [1, 2, 4, 8]
    rows = load_runs([folder / "run"]).select(method="best-of-8")
    assert curve[8] == pytest.approx(sum(r["score"] for r in rows) / len(rows))
    chance = {p["x"]: p["value"] for p in points if p["series"] == "random"}
    assert curve[1] == pytest.approx(chance[1])
    oracle = {p["x"]: p["value"] for p in points if p["series"] == "oracle-of-N"}
    assert all(oracle[n] >= curve[n] - 1e-9 for n in curve)


def test_an_unfinished_run_is_reported_as_such(tmp_path):
    run = write_run(tmp_path / "run", both(4, 0.5, 0.5))
    assert "not finished" in write_report([run], tmp_path / "out")["runs"][0]


@pytest.mark.parametrize(
    ("greedy", "guided", "answer"),
    [(0.2, 0.8, "yes"), (0.8, 0.2, "no"), (0.5, 0.5, "not shown")],
)
def test_answers_follow_the_rule(tmp_path, greedy, guided, answer):
    run = write_run(tmp_path / "run", both(60, greedy, guided))
    found = claim([run], "the reward model helps")
    assert found.answer == answer
    assert found.estimates[0].value == pytest.approx(guided - greedy)
    assert "60 tasks" in found.evidence
    other = claim([run], "weak to strong")
    assert other.answer == "not answerable"
    assert "trees_from" in other.evidence


def test_parts_that_disagree_are_said_to(tmp_path):
    rows = both(60, 0.4, 0.9)
    rows += [row("beam-5x5", i, float(i < 6)) for i in range(60)]
    run = write_run(tmp_path / "run", rows)
    assert claim([run], "the reward model helps").answer == "in part"
    assert claim([run], "beam > best-of-N").answer == "no"


def test_a_claim_takes_the_beam_that_most_environments_have(tmp_path):
    rows = both(40, 0.2, 0.8) + both(40, 0.2, 0.8, env="f", task="f")
    for i in range(40):
        rows += [row("beam-5x5", i, 1.0), row("beam-5x2", i, 0.0)]
        rows.append(row("beam-5x2", i, 0.0, env="f", task="f"))
    some = ({"env": "e"}, {"env": "f"})
    run = write_run(tmp_path / "run", rows, environments=some)
    found = claim([run], "beam > best-of-N")
    assert "beam-5x2 minus best-of-5" in found.evidence
    assert found.estimates[0].tasks == 80
    assert found.answer == "no"


def test_kinds_of_reward_models_are_compared_on_the_same_tasks(tmp_path):
    rows = [row("greedy", i, 0.0) for i in range(40)]
    for rm, share in (("x", 0.9), ("i", 0.5), ("j", 0.1)):
        rows += [row("best-of-5", i, float(i < share * 40), rm=rm) for i in range(40)]
    models = {"x": {}, "i": {"kind": "implicit"}, "j": {"kind": "judge"}}
    run = write_run(tmp_path / "run", rows, reward_models=models)
    found = claim([run], "explicit > implicit > judge")
    assert found.answer == "yes"
    assert [e.value for e in found.estimates] == pytest.approx([0.4, 0.4])


def test_held_out_types_and_environments(tmp_path):
    rows = both(40, 0.2, 0.8, group="held_out") + both(40, 0.5, 0.5, env="f", task="f")
    models = {"r": {"trained_on": ["e"]}}
    run = write_run(
        tmp_path / "run",
        rows,
        environments=({"env": "e"}, {"env": "f"}),
        reward_models=models,
    )
    assert claim([run], "gain on held-out task types").answer == "yes"
    assert claim([run], "gain on a held-out environment").answer == "not shown"


def test_perturbations_are_paired_by_task(tmp_path):
    labels = [{"env": "a", "options": {"perturbation": str(n)}} for n in range(6)]
    names = [f"a+perturbation={n}" for n in range(6)]
    rows = both(50, 0.4, 0.8, env=names[0])
    for name in names[1:]:
        rows += both(50, 0.1, 0.78, env=name)
    run = write_run(tmp_path / "run", rows, environments=labels)
    found = claim([run], "robust to perturbed grammars")
    assert found.answer == "yes"
    assert found.estimates[0].value == pytest.approx(0.1 - 0.02)
    assert found.estimates[0].tasks == 50
    data = write_report([run], tmp_path / "out")
    table = section(data, "robustness")["tables"][0]
    assert table["columns"][1:] == [
        "unperturbed", "P1", "P2", "P3", "P4", "P5", "mean of P", "sd over P"
    ]  # fmt: skip
    assert table["rows"][1][-2:] == ["78.0", "0.0"]
    main = section(data, "main")["tables"]
    assert main[0]["title"] == "a+perturbation=0 (policy p)"


def test_data_scaling_ablation_and_transfer(tmp_path):
    rows = []
    for policy, base in (("p", 10), ("q", 20)):
        rows += [row("greedy", i, float(i < base), policy=policy) for i in range(50)]
        for rm, gain in (("small", 5), ("big", 20)):
            rows += [
                row("best-of-5", i, float(i < base + gain), policy=policy, rm=rm)
                for i in range(50)
            ]
    models = {
        "small": {"states": 1000, "keep": "action", "trees_from": "p"},
        "big": {"states": 4000, "keep": "all", "trees_from": "p"},
    }
    run = write_run(tmp_path / "run", rows, policies=("p", "q"), reward_models=models)
    data = write_report([run], tmp_path / "out")
    found = claim([run], "more states help log-linearly")
    assert found.estimates[0].value == pytest.approx(0.15)
    assert found.answer == "yes"
    left = claim([run], "actions carry most of the state").estimates[0]
    assert left.value == pytest.approx(-0.1)
    weak = section(data, "weak-to-strong")["tables"][0]["rows"]
    gains = {(r[0], r[1]): r[-1]["value"] for r in weak}
    assert gains["big", "q"] == pytest.approx(0.4)
    assert claim([run], "weak to strong").answer == "yes"
    assert section(data, "ablation")["tables"][0]["rows"][0][0] == "action"
    assert len(section(data, "data")["figures"][0]["data"]) == 2


def test_the_heat_map_of_models_trained_on_one_task(tmp_path):
    rows = []
    for env in ("e", "f"):
        rows += [
            row("greedy", i, float(i < 20), env=env, policy="p") for i in range(50)
        ]
        for rm in ("re", "rf"):
            gain = 20 if rm[1] == env else 10
            rows += [
                row("best-of-5", i, float(i < 20 + gain), env=env, rm=rm)
                for i in range(50)
            ]
        for policy in ("pe", "pf"):
            score = 30 if policy[1] == env else 5
            rows += [
                row("greedy", i, float(i < score), env=env, policy=policy)
                for i in range(50)
            ]
    run = write_run(
        tmp_path / "run",
        rows,
        environments=({"env": "e"}, {"env": "f"}),
        policies={"p": {}, "pe": {"trained_on": ["e"]}, "pf": {"trained_on": ["f"]}},
        reward_models={"re": {"trained_on": ["e"]}, "rf": {"trained_on": ["f"]}},
    )
    data = write_report([run], tmp_path / "out")
    first, second = section(data, "heat")["figures"]
    values = {(d["trained_on"], d["env"]): d["value"] for d in first["data"]}
    assert values == pytest.approx(
        {("re", "e"): 0.4, ("re", "f"): 0.2, ("rf", "e"): 0.2, ("rf", "f"): 0.4}
    )
    assert {d["value"] for d in second["data"]} == {0.2, -0.3}
    found = claim([run], "one task: policy narrow, reward model broad")
    assert found.answer == "yes"
    assert len(found.estimates) == 4


def test_differences_are_paired_by_task_and_seed():
    left = [row("a", 1, 1.0), row("a", 2, 1.0, seed=1), row("a", 3, 1.0)]
    right = [row("b", 1, 0.25), row("b", 2, 0.0), row("b", 3, 0.75)]
    found = difference(left, right)
    assert (found.value, found.n) == (0.5, 2)
    assert difference(left, []) is None


def refused(folders, said):
    with pytest.raises(ConfigurationError) as error:
        load_runs(folders)
    assert said in str(error.value)


def test_runs_that_contradict_each_other_are_refused(tmp_path):
    one = write_run(tmp_path / "one", both(3, 0.5, 0.5))
    refused([one, one], "twice")
    other = write_run(tmp_path / "other", [], reward_models={"r": {"kind": "judge"}})
    refused([one, other], "reward_models 'r'")
    moved = write_run(tmp_path / "moved", [], models={"p": "another digest"})
    refused([one, moved], "policies 'p'")
    (tmp_path / "empty").mkdir()
    refused([tmp_path / "empty"], "episodes.jsonl")
    broken = write_run(tmp_path / "broken", [{"method": "greedy"}])
    refused([broken], "Line 1")


def test_runs_of_two_machines_are_one_report(tmp_path):
    one = write_run(tmp_path / "one", both(3, 0.5, 0.5))
    more = both(3, 0.5, 0.5, env="f")
    two = write_run(tmp_path / "two", more, environments=({"env": "f"},))
    data = write_report([one, two], tmp_path / "out")
    first = section(data, "main")["tables"][0]
    assert first["title"] == "all environments (policy p)"
    assert first["rows"][0][2] == 6


SAMPLES = [
    {
        "task": {"env": "e", "type": "t", "id": f"t{i}", "seed": i},
        "goal": f"Reach {3 + i % 4}.",
        "observation": "0",
        "paths": [
            {
                "steps": [[f"add {k}", "seen"], ["add 1", "seen"]],
                "labels": [[0.2 * k + 0.01 * i, 3], [0.3 * k, 2] if k != 2 else None],
                "score": 1.0,
                "count": 1,
            }
            for k in (1, 2, 3)
        ],
    }
    for i in range(12)
]


def value_of(trajectory):
    return 0.2 * int(trajectory.turns[0].action.split()[1])


@pytest.fixture
def samples(tmp_path):
    path = tmp_path / "val.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in SAMPLES))
    return path


def test_offline_analysis_reaches_the_report(samples, tmp_path):
    settings = OfflineConfig(reward_model="scripted", name="r")
    model = ScriptedRewardModel(value_of)
    done = analyse_offline(settings, samples, tmp_path / "off", reward_model=model)
    assert done["counts"] == {"states": 60, "failed": 0}
    data = write_report([tmp_path / "off"], tmp_path / "out")
    table = section(data, "offline")["tables"][0]
    assert table["rows"][0][table["columns"].index("sibling accuracy")]["value"] == 1
    assert any(f["name"] == "siblings-r" for f in section(data, "offline")["figures"])
    assert section(data, "calibration")["tables"]
    assert "Run `agentrm eval run`" in section(data, "main")["missing"]


def test_offline_analysis_goes_on_where_it_was_stopped(samples, tmp_path, monkeypatch):
    settings = OfflineConfig(reward_model="scripted", name="r")
    monkeypatch.setattr("langchain_agentrm.evaluation.analysis._BATCH", 2)
    whole, out = tmp_path / "whole", tmp_path / "out"
    analyse_offline(
        settings, samples, whole, reward_model=ScriptedRewardModel(value_of)
    )

    def stop(done, total):
        if done >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyse_offline(
            settings,
            samples,
            out,
            reward_model=ScriptedRewardModel(value_of),
            progress=stop,
        )
    second = ScriptedRewardModel(value_of)
    analyse_offline(settings, samples, out, reward_model=second)
    assert second.calls == 4
    for name in (OFFLINE_FILE, "scored.jsonl"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    with pytest.raises(ConfigurationError, match="gap"):
        analyse_offline(settings.model_copy(update={"gap": 0.3}), samples, out)


def test_a_reward_model_that_scores_nothing_is_an_error(samples, tmp_path):
    settings = OfflineConfig(reward_model="scripted", name="broken")
    model = ScriptedRewardModel(lambda t: float("nan"))
    with pytest.raises(ConfigurationError, match="broken scored none of 60"):
        analyse_offline(settings, samples, tmp_path / "off", reward_model=model)


def test_the_control_is_one_of_most_environments(tmp_path):
    rows = [
        row(method, i, score, env=env, task=env)
        for env, easy in (("e", 0.5), ("f", 0.0))
        for i in range(4)
        for method, score in (
            ("greedy", easy),
            ("best-of-5", easy + 0.4),
            ("vote-of-5", easy + 0.1),
            *((("random-of-5", 0.6),) if easy else ()),
        )
    ]
    environments = ({"env": "e"}, {"env": "f"})
    write_run(tmp_path / "run", rows, environments=environments)
    found = claim([tmp_path / "run"], "it is the reward model that helps")
    # The random one has the higher mean, in the easy environment alone.
    assert "best-of-5 minus vote-of-5 +30.0" in found.evidence
