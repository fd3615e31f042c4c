"""The two forms, the five perturbations, the instruction and the prompt folder."""

from __future__ import annotations

import json
import random
import re
import time

import pytest
from langchain_core.messages import AIMessage

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.testing._work import counted
from langchain_agentrm.testing.environment import MALFORMED_ACTIONS
from langchain_agentrm_alfworld import ALFWorldFactory
from langchain_agentrm_alfworld._expert import plan
from langchain_agentrm_alfworld._tables import tables
from langchain_agentrm_alfworld.expert import demonstrate
from langchain_agentrm_alfworld.forms import AGENTBOARD, ETO, without_place
from langchain_agentrm_alfworld.perturb import PERTURBATIONS, Perturbation
from langchain_agentrm_alfworld.prompts import published

TYPES = tables().types


@pytest.fixture(autouse=True)
def _generated(monkeypatch):
    monkeypatch.delenv("ALFWORLD_DATA", raising=False)


def begin(type_="pick_clean_then_place_in_recep", seed=400_000, **options):
    factory = ALFWorldFactory(options.pop("style", "eto"), **options)
    env = factory.make()
    return env, env.reset(factory.task(type_, seed))


def test_start_shows_room_goal_and_rules() -> None:
    _, start = begin()
    assert start.observation.startswith("You are in the middle of a room. ")
    assert start.goal.startswith("Your task is to: ")
    assert "-=" not in start.observation + start.goal
    assert start.step_limit == 40
    assert "move OBJECT to RECEPTACLE - put down" in start.instruction
    assert "check valid actions" not in start.instruction
    _, start = begin(style="agentboard", generation="put")
    assert start.step_limit == 30
    assert "put OBJECT in/on RECEPTACLE - put down" in start.instruction
    assert "check valid actions" in start.instruction


def test_every_action_of_the_instruction_is_of_the_engine() -> None:
    _, start = begin()
    said = re.findall(r"^([a-z]+)\b.* - ", start.instruction, re.MULTILINE)
    listed = set()
    for seed in range(3):
        for type_ in TYPES:
            env, _ = begin(type_, seed)
            for command in plan(env.world()):
                listed |= {action.split()[0] for action in env.actions()}
                env.step(command)
    assert set(said) - {"slice"} <= listed
    assert listed - {"slice", "help"} == set(said) - {"slice"}


def test_eto_scores_success_and_ends_with_it() -> None:
    env, _ = begin()
    commands = plan(env.world())
    transitions = [env.step(command) for command in commands]
    assert [t.done for t in transitions] == [False] * (len(commands) - 1) + [True]
    assert {t.score for t in transitions[:-1]} == {0.0}
    last = transitions[-1]
    assert (last.score, last.progress, last.success) == (1.0, 1.0, True)
    assert last.info == {"valid": True, "steps": len(commands), "won": True}
    assert env.actions() == []
    with pytest.raises(ConfigurationError, match=r"over after \d+ .* reset"):
        env.step("look")


@pytest.mark.parametrize("type_", TYPES)
def test_agentboard_counts_subgoals_once_and_keeps_them(type_) -> None:
    factory = ALFWorldFactory("agentboard", step_limit=200)
    for seed in range(5):
        env = factory.make()
        env.reset(factory.task(type_, seed))
        parts = 2 if type_ == "pick_and_place_simple" else 3
        progress = [env.step(command).progress for command in plan(env.world())]
        assert progress == sorted(progress)
        assert set(progress) <= {i / parts for i in range(parts + 1)}
        assert set(progress) >= {1 / parts, 1.0}


def test_agentboard_look_repeats_the_last_place() -> None:
    env, start = begin(style="agentboard")
    assert env.step("look").observation == start.observation
    seen = env.step("go to sinkbasin 1").observation
    env.step("inventory")
    assert env.step("look").observation == seen
    assert env.step("go to nowhere 1").observation == "Nothing happens."
    assert env.step("look.").observation == seen
    plain, _ = begin()
    plain.step("go to sinkbasin 1")
    assert plain.step("look").observation.startswith("You are facing the sinkbasin 1.")


def test_agentboard_lists_actions_for_a_step() -> None:
    env, _ = begin(style="agentboard")
    listed = env.actions()
    transition = env.step("check valid actions.")
    assert transition.info == {"valid": True, "steps": 1, "won": False}
    assert transition.observation == (
        f"Choose an action from these valid actions: {', '.join(listed)}"
    )
    assert listed[-1] == "check valid actions"
    plain, _ = begin()
    assert plain.step("check valid actions").observation == "Nothing happens."
    assert "check valid actions" not in plain.actions()


@pytest.mark.parametrize(
    ("action", "command"),
    [
        (" look. ", "look"),
        ("look..", "look"),
        ("put apple 1 in fridge 1", "put apple 1 in/on fridge 1"),
        ("put apple 1 on table 1.", "put apple 1 in/on table 1"),
        ("put apple 1 in/on fridge 1", "put apple 1 in/on fridge 1"),
        ("go to desk 1", "go to desk 1"),
    ],
)
def test_agentboard_tidies_actions(action, command) -> None:
    assert AGENTBOARD.command(action) == command
    assert ETO.command(action) == action.strip()


def test_keys_do_not_merge_what_runs_differently() -> None:
    env, _ = begin()
    assert env.key(" look ") == env.key("look")
    assert len({env.key(x) for x in ("look", "Look", "look.", "lo ok")}) == 4
    assert AGENTBOARD.key("put a in b on c") == "put a in/on b in/on c"


def test_older_games_do_not_show_where_one_arrives() -> None:
    assert without_place("You arrive at loc 12. On the desk 1") == "On the desk 1"
    env, _ = begin(generation="put")
    assert env.step("go to sinkbasin 1").observation.startswith("On the sinkbasin 1, ")
    env, _ = begin(generation="move")
    text = env.step("go to sinkbasin 1").observation
    assert text.startswith("You arrive at sinkbasin 1. On the ")


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("go to desk 1", "go to desk 1"),
        ("Thought: hm\n Action: go to desk 1\n", "go to desk 1"),
        ("Action: look\nAction: go to desk 1\nObservation: no", "go to desk 1"),
        ("I think so. Action:\ngo to desk 1", "go to desk 1"),
        ("I think\nso", None),
        ("Action:", None),
        (" \n", None),
        ("x" * 4097, None),
        ("\u00e9" * 2049, None),
        ("a\x00b", "a\ufffdb"),
    ],
)
def test_parse(text, action) -> None:
    assert ALFWorldFactory().make().parse(AIMessage(text)) == action


def test_a_message_without_action_costs_a_step_and_replays() -> None:
    factory = ALFWorldFactory()
    for style, answer in (
        ("eto", "Error Input. Your input must contains 'Action: '"),
        ("agentboard", "Nothing happens."),
    ):
        env, _ = begin(style=style)
        transition = env.reject(AIMessage("I think\nso"))
        assert transition.observation == answer
        assert transition.info == {"valid": False, "steps": 1, "won": False}
        env.step("look")
        twin = ALFWorldFactory(style).make()
        task = factory.task("pick_clean_then_place_in_recep", 400_000)
        twin.replay(task, env.actions_taken, env.digests)
        assert twin.digests == env.digests
        assert len(env.digests) == 3


@pytest.mark.parametrize("number", PERTURBATIONS)
def test_perturbed_actions_are_undone_and_the_usual_ones_refused(number) -> None:
    changed = set()
    for type_ in TYPES:
        env, _ = begin(type_, 7, perturbation=number, step_limit=200)
        world = env.world()
        rewrite = Perturbation(number, world.names.values())
        for command in plan(world):
            listed = env.actions()
            usual = env._episode.position.commands()
            assert [rewrite.command(action) for action in listed] == usual
            for action, plain in zip(listed, usual, strict=True):
                if action != plain:
                    assert rewrite.command(plain) is None
                    changed.add(action.split()[0])
            refused = env.surface(command) != command
            if refused:
                assert env.fork().step(command).observation == "Nothing happens."
            transition = env.step(env.surface(command))
            assert transition.info["valid"]
        assert transition.success
    expected = {
        1: {"clean", "heat", "cool"},
        2: {"move"},
        3: {"from"},
        4: {"go", "take", "open", "close", "use", "examine", "clean", "heat", "cool"},
        5: {"move", "from", "open", "close", "use", "examine", "clean", "heat", "cool"},
    }
    assert changed >= expected[number]
    assert number > 3 or changed == expected[number]


def test_perturbed_texts() -> None:
    env, start = begin(perturbation=4, style="agentboard")
    assert re.search(r"a sinkbasin1\b", start.observation)
    assert not re.search(r"sinkbasin \d", start.observation)
    assert '"cabinet 1"' in start.instruction
    env.step("go to sinkbasin1")
    listing = env.step("check valid actions").observation
    assert "examine sinkbasin1" in listing
    assert not re.search(r"[a-z] \d", listing)
    _, start = begin(perturbation=5)
    for action in (
        "move to RECEPTACLE",
        "from RECEPTACLE take OBJECT",
        "clean OBJECT using RECEPTACLE",
        "move OBJECT to RECEPTACLE",
    ):
        assert f"\n{action} - " in start.instruction
    env, _ = begin(perturbation=3)
    help_ = env.step("help").observation
    assert "  from (receptacle) take (object):" in help_
    assert "take (object) from" not in help_


def test_only_known_names_are_joined() -> None:
    rewrite = Perturbation(4, ["cabinet 1", "cabinet 12"])
    text = "cabinet 1, cabinet 12, cabinet 2, loc 1, xcabinet 1"
    assert rewrite.text(text) == "cabinet1, cabinet12, cabinet 2, loc 1, xcabinet 1"
    assert rewrite.command("go to cabinet12") == "go to cabinet 12"
    assert rewrite.command("go to cabinet 12") is None
    assert rewrite.command("go to cabinet2") == "go to cabinet2"


def test_progress_is_the_same_under_a_perturbation() -> None:
    factory = ALFWorldFactory("agentboard", perturbation=5, step_limit=200)
    for type_ in TYPES:
        assert demonstrate(factory.task(type_, 3), factory.make()).score == 1.0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"style": "agentrm"}, r"style 'agentrm'.*'eto'"),
        ({"engine": "jericho"}, r"engine 'jericho'.*'native'"),
        ({"perturbation": 6}, r"perturbation 6.*\[1, 2, 3, 4, 5\]"),
        ({"generation": "lift"}, r"generation 'lift'.*'put'"),
        ({"step_limit": 0}, "step_limit=0"),
    ],
)
def test_unknown_options_name_the_known_ones(options, error) -> None:
    with pytest.raises(ConfigurationError, match=error):
        ALFWorldFactory(**options)


@pytest.fixture
def labelled(tmp_path):
    rows = []
    factory = ALFWorldFactory("agentboard")
    tasks = factory.tasks("test", limit=2)
    row = {
        "goal": "g",
        "subgoals": [r"On the \w+ 1, you see", "You pick up the"],
        "difficulty": "easy",
        "additional_info": {"description": tasks[0]["id"]},
    }
    rows.append(json.dumps(row))
    (tmp_path / "test.jsonl").write_text("\n".join(rows) + "\n\n")
    return tmp_path, tasks


def test_labels_of_agentboard_are_read(labelled) -> None:
    from langchain_agentrm_alfworld.forms import read_labels

    folder, tasks = labelled
    assert read_labels(folder) == read_labels(folder / "test.jsonl")
    assert len(read_labels(folder)[tasks[0]["id"]]) == 2
    (folder / "other.jsonl").write_text('{"subgoals": ["("]}\n')
    with pytest.raises(ConfigurationError, match="labels"):
        read_labels(folder / "other.jsonl")
    with pytest.raises(ConfigurationError, match="labels"):
        read_labels(folder / "none.jsonl")


@pytest.fixture
def prompts(tmp_path):
    """A folder laid out as AgentRM's, with words of our own."""
    for name in ("instructions", "icl_examples"):
        (tmp_path / name).mkdir()
    for ending in ("", "_perturb1", "_perturb2_with"):
        text = f"Play{ending} {{obj}}.\n"
        (tmp_path / f"instructions/alfworld_ab_inst{ending}.txt").write_text(text)
    (tmp_path / "instructions/alfworld_inst.txt").write_text("Play it.")
    turns = [[{"role": "user", "content": str(i)}] for i in range(6)]
    for ending in ("", "_perturb1", "_perturb2"):
        path = tmp_path / f"icl_examples/alfworld_ab_icl{ending}.json"
        path.write_text(json.dumps(turns))
    (tmp_path / "icl_examples/alfworld_icl.json").write_text(json.dumps(turns[:1]))
    return tmp_path


def test_published_prompts_are_taken_by_path(prompts) -> None:
    env, start = begin(prompts=prompts)
    assert start.instruction == "Play it."
    # Published prompts speak the older grammar.
    assert env.world().wording.put == "put {o} in/on {r}"
    assert begin(prompts=prompts, style="agentboard")[1].instruction == "Play {obj}."
    for number, said in ((1, "Play_perturb1 {obj}."), (2, "Play_perturb2_with {obj}.")):
        assert begin(prompts=prompts, perturbation=number)[1].instruction == said
    folder = str(prompts)
    assert published(folder, ETO, 0, TYPES[2])[1][0]["content"] == "0"
    shown = [published(folder, AGENTBOARD, 0, t)[1][0]["content"] for t in TYPES]
    assert shown == ["0", "5", "1", "2", "3", "4"]
    assert begin(prompts=prompts, style="agentboard")[1].examples
    with pytest.raises(ConfigurationError, match="perturbation 5"):
        begin(prompts=prompts, perturbation=5)
    with pytest.raises(ConfigurationError, match=r"missing .*perturb3_with"):
        begin(prompts=prompts, perturbation=3)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_broken_prompts_are_named(prompts, text) -> None:
    (prompts / "icl_examples/alfworld_icl.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"alfworld_icl\.json"):
        published(str(prompts), ETO, 0, TYPES[0])


def test_ten_thousand_random_actions() -> None:
    rng = random.Random(0)
    env = ALFWorldFactory("agentboard", perturbation=5).make()
    tasks = ALFWorldFactory().tasks("train", limit=60)
    answered = 0
    while answered < 10_000:
        env.reset(rng.choice(tasks))
        other, over = env.fork(), False
        before = other.actions()
        while not over:
            possible = env.actions()
            text = rng.choice(
                [
                    rng.choice(MALFORMED_ACTIONS),
                    "".join(chr(rng.randrange(0x11_0000)) for _ in range(20)),
                    f"from {'cabinet1 ' * 900} take {'.' * 300}",
                    rng.choice(possible),
                    rng.choice(possible)[1:],
                ]
            )
            transition = env.step(text)
            assert transition.info["valid"] is (env.key(text) in possible)
            assert transition.observation
            over = transition.done
            answered += 1
        assert other.actions() == before


def test_a_key_of_any_length_is_quick() -> None:
    # One that looks back over the text at each letter takes minutes.
    began = time.process_time()
    for text in ("look" + "." * 1_000_000, "put " + " in on " * 100_000, "." * 4_096):
        key = AGENTBOARD.key(text)
        assert AGENTBOARD.key(key) == key
    assert time.process_time() - began < 20


def test_forks_are_cheap() -> None:
    # Twice the calls that were counted, so that only a change of kind fails.
    env, _ = begin()
    for _ in range(30):
        env.step("look")
    assert counted(env.fork)[1] < 70
