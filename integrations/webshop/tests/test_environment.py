"""Grammar, limits, styles, splits and state of the environment."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time

import pytest
from langchain_core.messages import AIMessage

from langchain_agentrm import FunctionRewardModel, create_beam_search
from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm.testing._work import counted
from langchain_agentrm.testing.environment import random_walk
from langchain_agentrm.testing.scripted import ScriptedPolicy
from langchain_agentrm_webshop import Settings, WebShop, WebShopFactory, factory
from langchain_agentrm_webshop._actions import read_action
from langchain_agentrm_webshop.expert import demonstrate
from langchain_agentrm_webshop.factory import WebShopFactory as Factory

ETO = WebShopFactory(style="eto")


def begin(shops=factory, place=0):
    env = shops.make()
    return env, env.reset(shops.tasks("test", shops.types("all"))[place])


def test_an_episode() -> None:
    env, start = begin()
    assert start.step_limit == 10
    assert start.observation == (
        f"WebShop [SEP] Instruction: [SEP] {start.goal} [SEP] Search"
    )
    env.step(env.actions()[0])
    results = env.step("click[next >]").observation
    assert " [SEP] Page 2 (Total results: 50) [SEP] < Prev [SEP] Next > [SEP] B0" in (
        results
    )
    opened = env.step(env.actions()[3])
    assert opened.observation.endswith(
        "Rating: N.A. [SEP] Description [SEP] Features [SEP] Reviews [SEP] Buy Now"
    )
    colour = env.actions()[-1]
    assert env.step(colour).observation == opened.observation
    assert env.step("click[Features]").info == {"valid": True, "steps": 5}
    assert env.step("click[< prev]").observation == opened.observation
    bought = env.step("click[Buy Now]")
    assert bought.done
    assert bought.score == bought.progress == bought.info["reward"]
    assert bought.info["tagger"] == env.position()[0].shop.tagger
    assert bought.info["details"]["value"] == bought.score
    assert set(bought.info["details"]) >= {"type", "attributes", "options", "price"}
    assert env.actions() == []
    with pytest.raises(ConfigurationError, match="over after 7 actions"):
        env.step("search[shoes]")


def test_a_purchase_with_the_last_action_counts() -> None:
    env, _ = begin()
    shown = demonstrate(env.task)
    for _ in range(10 - len(shown.steps)):
        assert not env.step("click[nothing]").done
    for _, action in shown.steps:
        answer = env.step(action)
    assert answer.done
    assert answer.success
    assert answer.info["steps"] == 10


@pytest.mark.parametrize(
    "action",
    [
        "buy now",
        "Search[shoes]",
        "search[]",
        "click[ next >]",
        "xx click[next >]",
        "click[search]",
        "search[<r>]",
        "search[<a> soft]",
        "search[<c>]",
        "click[buy now]",
        [{"name": "search", "args": {"words": "shoes"}}],
    ],
    ids=str,
)
def test_what_does_nothing_costs_a_step(action) -> None:
    env, start = begin()
    answer = env.step(action)
    assert answer.observation == start.observation
    assert answer.info == {"valid": False, "steps": 1}


@pytest.mark.parametrize(
    ("action", "total"),
    [
        ("search[ ]", 0),
        ("search[xyzzy]", 0),
        ("search[for every day]", 50),
        ("search[<q> area rug]", 28),
        ("search[<c> fashion]", 224),
        ("search[for every day] please", 50),
        ("search[Every DAY]", 50),
    ],
)
def test_searches(action, total) -> None:
    env, _ = begin()
    assert f"(Total results: {total})" in env.step(action).observation


def test_actions_are_read_as_the_official_pattern_reads_them() -> None:
    pattern = re.compile(r"(.+)\[(.+)\]")
    rng = random.Random(0)
    read = 0
    for _ in range(20_000):
        text = "".join(rng.choices("[]aB \n", k=rng.randint(0, 9)))
        match = pattern.match(text)
        assert read_action(text) == (match and (match[1], match[2].lower())), text
        read += match is not None
    assert read > 500
    # One that looks back over the text at each bracket takes minutes.
    many = 100_000
    began = time.process_time()
    for text in ("[" * many, "[" * many + "]", "a[" * many, "]" * many, "[]" * many):
        read_action(text)
    assert time.process_time() - began < 10


def test_equal_actions_have_equal_keys() -> None:
    env = factory.make()
    assert (
        env.key("click[Buy Now] now") == env.key("click[buy now]") == "click[buy now]"
    )
    assert env.key("Click[buy now]") != env.key("click[buy now]")
    assert env.key(" nothing  at\nall") == "nothing at all"
    assert env.key([{"name": "x", "args": {}}]) == ""


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("search[red shoes]", "search[red shoes]"),
        ("Thought: hm\n\nAction: click[Buy Now]\n", "click[Buy Now]"),
        ("Action:\nclick[< Prev]", "click[< Prev]"),
        ("I think\nsearch[a]", "search[a]"),
        ("Action: a\naction: search[b]", "search[b]"),
        ("thinking\nAction:", None),
        ("", None),
        (" \n ", None),
        ("hm\n" * 5_000 + "search[a]", "search[a]"),
        ("é" * 5_000, None),
    ],
)
def test_parse(text, action) -> None:
    assert factory.make().parse(AIMessage(text)) == action


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("Thought: x\nAction: search[a]\nmore", "search[a]\nmore"),
        ("Action: one Action: two", "one Action: two"),
        ("search[a]", None),
        ("Action:search[a]", None),
        ("Action: ", None),
        ("", None),
    ],
)
def test_parse_as_eto(text, action) -> None:
    assert ETO.make().parse(AIMessage(text)) == action


def test_answers_as_eto() -> None:
    env, start = begin(ETO)
    assert start.observation.startswith("WebShop [SEP] ")
    assert env.step("nothing").observation == f"Observation:\n{start.observation}"
    answer = env.reject(AIMessage("no action here"))
    assert answer.observation == (
        "Observation: Invalid format. The input must contains 'Action: '"
    )
    assert answer.info == {"valid": False, "steps": 2}
    assert len(env.actions_taken) == 2
    twin = ETO.make()
    twin.replay(env.task, env.actions_taken, env.digests)
    assert twin.digests == env.digests
    assert twin.step("nothing").info["steps"] == 3


def test_rejecting_costs_one_step_in_both_styles() -> None:
    env, start = begin()
    answer = env.reject(AIMessage(""))
    assert answer.observation == start.observation
    assert answer.info == {"valid": False, "steps": 1}
    assert len(env.actions_taken) == 1


def test_splits_of_the_generated_goals() -> None:
    every = factory.types("all")
    counts = {s: len(factory.tasks(s, every)) for s in ("train", "dev", "test")}
    assert counts == {"train": 1280, "dev": 160, "test": 160}
    assert {t["seed"] for t in factory.tasks("test", every)} == set(range(160))
    assert {t["type"] for t in factory.tasks("train")} == set(factory.types("held_in"))
    assert {t["type"] for t in factory.tasks("dev")} == {"grocery"}
    assert "garden" in {t["type"] for t in factory.tasks("test")}


def test_splits_of_the_authors_and_of_eto(tmp_path) -> None:
    shops = WebShopFactory(human=False)
    every = shops.types("all")
    assert len(shops.tasks("test", every)) == 500
    assert len(shops.tasks("dev", every)) == 1000
    assert min(t["seed"] for t in shops.tasks("train", every)) == 1500
    (tmp_path / "test_indices.json").write_text(json.dumps([3000, 7, 900]))
    (tmp_path / "train_indices.json").write_text(json.dumps([0, 1, 1, 5]))
    listed = WebShopFactory(human=False, indices=str(tmp_path))
    assert {t["seed"] for t in listed.tasks("test")} == {3000, 7, 900}
    assert {t["seed"] for t in listed.tasks("train")} == {0, 1, 5}
    assert listed.tasks("dev") == []
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "test_indices.json").write_text("[99999999]")
    with pytest.raises(ConfigurationError, match="99999999"):
        WebShopFactory(indices=str(tmp_path / "b")).tasks("test")
    with pytest.raises(ConfigurationError, match="train_indices"):
        WebShopFactory(indices=str(tmp_path / "b")).tasks("train")


def test_prompts_of_a_folder(tmp_path) -> None:
    (tmp_path / "instructions").mkdir()
    inst = tmp_path / "instructions" / "webshop_inst.txt"
    inst.write_text("Shop well.\n", encoding="utf-8")
    _, start = begin(WebShopFactory(prompts=str(tmp_path)))
    assert start.instruction == "Shop well."
    other = tmp_path / "other"
    (other / "icl_examples").mkdir(parents=True)
    (other / "instructions").mkdir()
    (other / "instructions" / "webshop_inst.txt").write_text("Shop.", encoding="utf-8")
    example = [
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    ]
    (other / "icl_examples" / "webshop_icl.json").write_text(json.dumps(example))
    _, start = begin(WebShopFactory(prompts=str(other)))
    assert start.instruction == "Shop."
    assert [turn["content"] for turn in start.examples] == ["hi", "ho"]
    with pytest.raises(ConfigurationError, match=r"webshop_inst\.txt"):
        begin(WebShopFactory(prompts=str(tmp_path / "none")))


def test_refused_options_and_tasks() -> None:
    with pytest.raises(ConfigurationError, match=r"'x'.*\['agentrm', 'eto'\]"):
        WebShop(Settings(style="x"))
    with pytest.raises(ConfigurationError, match="no action"):
        WebShopFactory(step_limit=0)
    with pytest.raises(ConfigurationError, match="colour"):
        WebShopFactory(colour="red")
    with pytest.raises(ConfigurationError, match="one or the other"):
        Factory(Settings(), seed=1)
    task = factory.tasks("test", limit=1)[0]
    with pytest.raises(UnknownTaskError, match="'other'"):
        factory.make().reset({**task, "env": "other"})
    with pytest.raises(UnknownTaskError, match="held"):
        factory.types("held")
    wrong = next(t for t in factory.types("all") if t != task["type"])
    for seed in (task["seed"], -1, 10**9, "7"):
        with pytest.raises(UnknownTaskError, match="such as"):
            factory.task(wrong, seed)


def test_attributes_can_be_looked_at_if_asked_for() -> None:
    shops = WebShopFactory(show_attributes=True)
    env, _ = begin(shops)
    shown = demonstrate(env.task, shops.make())
    for _, action in shown.steps[:2]:
        env.step(action)
    page = env.step("click[attributes]").observation
    assert all(a in page for a in env.goal.attributes)
    assert env.goal.product_category in page


def test_a_search_graph_shops() -> None:
    task = factory.tasks("test", limit=1)[0]
    answers = [f"Action: {action}" for _, action in demonstrate(task).steps]

    def progress(trajectories):
        done = [[turn.action for turn in t.turns] for t in trajectories]
        wanted = [answer.removeprefix("Action: ") for answer in answers]
        return [float(actions == wanted[: len(actions)]) for actions in done]

    graph = create_beam_search(
        ScriptedPolicy(answers=answers),
        FunctionRewardModel(progress),
        factory,
        beam_width=2,
        expansions=len(answers),
    ).compile()
    result = graph.invoke({"task": task})["result"]
    assert result["success"]


def test_fifty_steps_on_another_branch_change_nothing() -> None:
    env, _ = begin()
    env.step("search[shoes]")
    branch = env.fork()
    for i in range(50):
        random_walk(env.fork(), ["search[a red dress]", "click[< prev]"], 9, i)
    again, _ = begin()
    again.step("search[shoes]")
    assert random_walk(branch, ["x"], 9, 1) == random_walk(again, ["x"], 9, 1)


TRACE = """
from langchain_agentrm_webshop import factory
from langchain_agentrm.testing.environment import random_walk
for task in factory.tasks("test", factory.types("all"), 30):
    env = factory.make()
    start = env.reset(task)
    walk = random_walk(env, ["search[soft red shoes]"], 10, task["seed"])
    print(start.goal, start.observation, env.actions_taken, walk)
"""


def test_another_process_with_another_hash_seed_shows_the_same() -> None:
    seen = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", TRACE],
            env={
                **os.environ,
                "PYTHONHASHSEED": hash_seed,
                "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            },
            capture_output=True,
            check=True,
        )
        assert done.stdout.count(b"WebShop [SEP] Instruction") >= 30
        seen.add(hashlib.sha256(done.stdout).hexdigest())
    assert len(seen) == 1


def test_importing_the_package_loads_no_library() -> None:
    code = (
        "import sys, langchain_agentrm_webshop as w; w.factory.make(); "
        "sys.exit(bool({'bm25s', 'thefuzz', 'numpy', 'spacy'} & set(sys.modules)))"
    )
    path = os.pathsep.join(p for p in sys.path if p)
    env = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=False)
    assert done.returncode == 0


def test_forks_and_steps_are_cheap() -> None:
    env, _ = begin()
    env.step("search[shoes]")
    assert counted(env.fork)[1] < 10
    spent = steps = 0
    for place in range(50):
        env, _ = begin(place=place)
        walk, calls = counted(random_walk, env, ["click[< prev]"], 10, place)
        spent, steps = spent + calls, steps + len(walk)
    assert spent / steps < 560
