"""The tools' answers, the grammar and the scores."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys

import pytest
from langchain_core.messages import AIMessage

from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm.testing._work import counted
from langchain_agentrm.testing.environment import MALFORMED_ACTIONS
from langchain_agentrm_tools import ToolTasksFactory, factory
from langchain_agentrm_tools._cells import evaluate, shown
from langchain_agentrm_tools._grammar import read_arguments, split
from langchain_agentrm_tools._score import equal_cells, found
from langchain_agentrm_tools.expert import expert_action
from langchain_agentrm_tools.factory import HELD_IN, HELD_OUT
from langchain_agentrm_tools.generate import generate
from langchain_agentrm_tools.langchain_tools import langchain_tools
from langchain_agentrm_tools.sheet import Sheets
from langchain_agentrm_tools.weather import Weather

TOOLS = [*HELD_IN, *HELD_OUT]
FORMAT = "Format error, please response in the format of  "


def at(tool, seed=100_000):
    env = factory.make()
    return env, env.reset(factory.task(tool, seed))


@pytest.mark.parametrize("tool", TOOLS)
def test_the_expert_solves_every_task(tool) -> None:
    for task in factory.tasks("train", [tool], 60):
        shown_ = factory.demonstrate(task)
        assert shown_.success, task
        assert len(shown_.steps) <= 30


@pytest.mark.parametrize("tool", TOOLS)
def test_finishing_at_once_is_no_success(tool) -> None:
    for task in factory.tasks("train", [tool], 30):
        env = factory.make()
        env.reset(task)
        end = env.step('finish with Action Input: {"answer": "?"}')
        assert end.done
        assert not end.success
        assert end.progress < 1


@pytest.mark.parametrize("tool", TOOLS)
def test_the_expert_goes_on_after_other_calls_and_in_tool_calls(tool) -> None:
    env, _ = at(tool, 100_001)
    env.step("dance with Action Input: {}")
    while (action := expert_action(env)) is not None:
        name, arguments = split(action)
        last = env.step([{"name": name, "args": json.loads(arguments)}])
    assert last.success


@pytest.mark.parametrize(
    ("tool", "action", "answer"),
    [
        ("movie", "look around", FORMAT),
        ("movie", "get_movie_cast with Action Input: {", "ERROR | Exception(Paramet"),
        ("movie", "get_movie_cast with Action Input: {}", "ERROR | KeyError('movie_id"),
        ("movie", "get_movie_cast with Action Input: 5", "ERROR | TypeError('int' obj"),
        ("movie", "dance with Action Input: {}", "ERROR | Invalid action: dance."),
        ("sheet", "dance with Action Input: {}", "ERROR | Invalid action: dance. Ple"),
        ("todo", "check_valid_actions with Action Input: {}", "You can use following"),
        (
            "movie",
            'get_search_movie with Action Input: {"movie_name": "No such film"}',
            "ERROR | IndexError(list index out of range)",
        ),
        (
            "weather",
            'get_latitude_longitude with Action Input: {"name": "Nowhere"}',
            "ERROR | KeyError('results')",
        ),
        (
            "academia",
            "paperNodeCheck with Action Input: {'node': 'x'}",
            "Please load the PaperNet first.",
        ),
        (
            "todo",
            'complete_task with Action Input: {"task_id": 7}',
            "Task 7 is not exists.",
        ),
    ],
)
def test_answers(tool, action, answer) -> None:
    env, _ = at(tool)
    transition = env.step(action)
    assert transition.observation.startswith(answer)
    bad = answer.startswith(("ERROR", "Format"))
    assert transition.info["valid"] is not bad


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': (1, 2)}", {"a": [1, 2]}),
        ('{"a": true, "b": null}', {"a": True, "b": None}),
        ("[[25.00 + 5], [59.00 - 5.9]]", [[30.0], [53.1]]),
        ("{'a': -3 * 2}", {"a": -6}),
        (r"{'a': '\d'}", {"a": r"\d"}),
        (r"{'a': '\'\n'}", {"a": "'\n"}),
    ],
)
def test_arguments_are_read(text, value) -> None:
    assert read_arguments(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "__import__('os').getcwd()",
        "{1, 2}",
        "2 ** 9 ** 9",
        "'a' * 9",
        "{'a': b'x'}",
        "1 / 0",
        "(" * 5_000,
        "9" * 6_000,
        "{'a': [" * 3_000,
    ],
)
def test_other_arguments_are_not_valid(text) -> None:
    with pytest.raises(ValueError, match="no arguments"):
        read_arguments(text)


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("Action: f with Action Input: {}", "f with Action Input: {}"),
        ("I think\nAction: f with Action input: {}\nObservation: x", None),
        ("Action:\nf with Action Input: {}", "f with Action Input: {}"),
        ("well\nf with Action Input: {}", "f with Action Input: {}"),
        ("Action: f", None),
        ("f({})", None),
    ],
)
def test_parse(text, action) -> None:
    wanted = action or ("f with Action input: {}" if "input" in text else None)
    assert factory.make().parse(AIMessage(text)) == wanted


def test_tool_calls_are_parsed_and_run_until_the_end() -> None:
    env, _ = at("academia")
    calls = [
        {"name": "loadPaperNet", "args": {}, "id": "1"},
        {"name": "finish", "args": {"answer": [2, 1]}, "id": "2"},
        {"name": "loadAuthorNet", "args": {}, "id": "3"},
    ]
    transition = env.step(env.parse(AIMessage("", tool_calls=calls)))
    assert transition.observation == "loadPaperNet: PaperNet is loaded.\nfinish: [1, 2]"
    assert transition.done


def test_keys_join_equal_actions() -> None:
    key = factory.make().key
    one = key('Action: f with Action Input: {"a": 1, "b": "x"}')
    assert one == key("f   with Action Input:  {'b': 'x', 'a': 1}")
    assert one != key("f with Action Input: {'b': 'y', 'a': 1}")


def test_the_word_finish_ends_a_text_but_not_a_call() -> None:
    env, _ = at("movie")
    assert env.step(
        'get_search_person with Action Input: {"person_name": "finish"}'
    ).done
    env, _ = at("movie")
    call = {"name": "get_search_person", "args": {"person_name": "finish"}}
    assert not env.step([call]).done
    # A call that raised ends nothing.
    assert not env.step("finish with Action Input: {}").done


def test_subgoals_are_used_once_and_the_best_progress_stays() -> None:
    assert found(["a", "a", "b"], ["a", "b", "c"]) == pytest.approx(2 / 3)
    here = {"latitude": 10.0, "longitude": 20.0, "x": 1}
    near, far = {**here, "latitude": 10.4}, {**here, "latitude": 10.5}
    assert found([here], [near], places=True) == 1
    assert found([here], [far], places=True) == 0
    assert found([here], [{**near, "x": 2}], places=True) == 0
    assert found([here], [near]) == 0


def test_sheets_are_compared_in_the_common_rectangle() -> None:
    assert equal_cells([["a", "b"], ["c", "d"]], [["a", "x"]]) == 0.5
    assert equal_cells([["a"]], [["a", "b"], ["c", "d"]]) == 1
    assert equal_cells([], [["a"]]) == 0


def test_a_final_list_that_differs_is_no_success() -> None:
    task = next(
        t
        for t in factory.tasks("train", ["todo"], 30)
        if "as done" in factory.make().reset(t).goal
    )
    env = factory.make()
    env.reset(task)
    *steps, finish = [action for _, action in factory.demonstrate(task).steps]
    answers = [env.step(action) for action in steps]
    assert answers[-1].progress == 1
    twin = env.fork()
    assert twin.step(finish).success
    project = next(iter(env._kit.state["projects"]))
    env.step(
        f'update_project with Action Input: {{"project_id": {project}, '
        '"is_favorite": "true"}'
    )
    end = env.step(finish)
    assert end.done
    assert end.progress == 1
    assert not end.success


@pytest.mark.parametrize(
    ("index", "word"),
    [
        (20, "good"),
        (20.5, "extremely poor"),
        (22, "fair"),
        (60, "moderate"),
        (81, "extremely poor"),
        (100, "very poor"),
        (101, "extremely poor"),
    ],
)
def test_air_levels_have_the_benchmarks_gaps(index, word) -> None:
    kit = Weather((), {})
    assert kit.result("get_air_quality_level", {"air_quality_index": index}) == word


@pytest.mark.parametrize(
    ("name", "start", "end", "answer"),
    [
        (
            "get_historical_temp",
            "2021-01-10",
            "2021-01-10",
            "start_date should be e",
        ),
        ("get_rain_forecast", "2021-01-11", "2021-01-10", "end_date should be later"),
        ("get_historical_snow", "2020-01-01", "2020-03-01", "Sorry, at present"),
        ("get_historical_temp", "1 May", "2020-03-01", "ValueError(time data '1 May'"),
    ],
)
def test_days_are_checked(name, start, end, answer) -> None:
    kit = Weather((), {"current_date": "2021-01-10"})
    given = {"latitude": 1, "longitude": 2, "start_date": start, "end_date": end}
    assert answer in kit.call(name, given).text


def test_weather_is_that_of_place_and_day() -> None:
    kit = Weather((), {"current_date": "2021-01-10"}, 3)
    asked = {"latitude": 48.1, "longitude": 11.6}
    days = {"start_date": "2021-01-01", "end_date": "2021-01-05"}
    week = kit.result("get_historical_temp", {**asked, **days})
    day = {"start_date": "2021-01-03", "end_date": "2021-01-03"}
    one = kit.result("get_historical_temp", {**asked, **day})
    for name in ("temperature_2m_max", "temperature_2m_min", "temperature_2m_mean"):
        assert week["daily"][name][2] == one["daily"][name][0]
    assert one["latitude"] == 48.0
    assert kit.log[-1]["daily"] == {"time": ["2021-01-03"]}


def sheet(*rows):
    kit = Sheets({"Sheet1": rows})
    kit.open("Sheet1")
    return kit


def test_sheet_functions() -> None:
    kit = sheet(("a", "n"), ("x", "10"), ("y", "9"), ("z", ""))

    def ask(name, /, **given):
        return kit.result(name, given)

    assert ask("sort_sheet_by_col", col_num=2, order="asc")[0] == ["y", "9"]
    assert ask("sort_sheet_by_col", col_num=2, order="des")[0] == ["a", "n"]
    ask("freeze_data", dimension="rows", num=1)
    assert [r[0] for r in ask("sort_sheet_by_col", col_num=2, order="asc")] == [
        "a",
        "y",
        "x",
        "z",
    ]
    assert ask("get_value_by_formula", operator="SUM", start_position="B2",
               end_position="B4") == "19"  # fmt: skip
    assert ask("filter_cells", query="x") == ["A3"]
    assert ask("update_cell", position="C1", value=2.50)[0] == ["a", "n", "2.5"]
    assert ask("delete_batch_data", dimension="row", index_list=[4, "2"])[1][0] == "x"
    assert "whole" in ask("delete_batch_data", dimension="row", index_list=[1, 2])
    assert (
        ask("merge_cells", start_position="A1", end_position="B1")[0][:2] == ["a"] * 2
    )
    assert ask("update_note", position="A1", content="hi").endswith("note is hi")
    assert ask("get_note", position="A1") == "hi"
    assert ask("get_A1_annotation", row=2, col=28) == "AB2"
    assert "IncorrectCellLabel" in ask("get_cell_value", position="7")
    assert "WorksheetNotFound" in ask("open_sheet", name="Sheet2")
    assert "Invalid" in ask("update_cell", position="A1", value="nan")


@pytest.mark.parametrize(
    ("operator", "values", "result"),
    [
        ("AVERAGE", ["1", "2", "x"], "1.5"),
        ("AVERAGE", ["x"], "#DIV/0!"),
        ("COUNT", ["1", "x", ""], "1"),
        ("MINUS", ["5", "7"], "-2"),
        ("MINUS", ["5"], "#N/A"),
        ("PRODUCT", ["3", "0.1"], "0.3"),
        ("MAX", [], "0"),
    ],
)
def test_formulas(operator, values, result) -> None:
    assert evaluate(operator, values) == result


def test_numbers_are_shown_as_cells_show_them() -> None:
    assert [shown(v) for v in (25.0, "30.00", 1 / 3, True, None, "x")] == [
        "25",
        "30",
        "0.3333333333",
        "TRUE",
        "",
        "x",
    ]


def test_forks_are_apart() -> None:
    for tool in ("todo", "sheet", "academia"):
        env, _ = at(tool, 100_002)
        plan = [action for _, action in factory.demonstrate(env.task).steps]
        env.step(plan[0])
        forks = [env.fork() for _ in range(2)]
        before = json.dumps(env._kit.state)
        for action in plan[1:]:
            end = forks[0].step(action)
        assert end.success
        assert json.dumps(env._kit.state) == before == json.dumps(forks[1]._kit.state)
        assert len(env._kit.log) == len(forks[1]._kit.log) == 1


def test_styles_offer_the_functions_differently() -> None:
    text = at("movie")[1]
    assert text.tools == ()
    assert "get_movie_cast(movie_id: string" in text.instruction
    calls = ToolTasksFactory(style="calls")
    start = calls.make().reset(calls.task("movie", 100_000))
    names = [t["function"]["name"] for t in start.tools]
    assert names[0] == "get_search_movie"
    assert "Action Input" not in start.instruction
    with pytest.raises(ConfigurationError, match="'poem'"):
        ToolTasksFactory(style="poem")


def test_langchain_tools_answer_as_the_environment() -> None:
    task = factory.task("todo", 100_000)
    env = factory.make()
    env.reset(task)
    tools = {t.name: t for t in langchain_tools(task)}
    assert list(tools) == env._kit.names()
    wanted = env.step("get_projects with Action Input: {}").observation
    assert tools["get_projects"].invoke({}) == wanted
    ident = json.loads(wanted.replace("'", '"').replace("False", "false"))[0]["id"]
    asked = tools["get_tasks"].invoke({"project_id": ident})
    assert asked.startswith("[{'id': '23")


def test_splits_share_no_tables_and_seeds_below_a_thousand_are_refused() -> None:
    tables = [
        {id(generate("movie", t["seed"])[1]._movies) for t in tasks}
        for tasks in (factory.tasks(s, ["movie"], 60) for s in ("train", "dev", "test"))
    ]
    assert [len(t) for t in tables] == [2, 2, 2]
    assert len(set.union(*tables)) == 6
    with pytest.raises(UnknownTaskError, match="1,000"):
        factory.task("movie", 3)


def test_a_rejected_message_is_one_step_and_replays() -> None:
    env, _ = at("movie")
    answer = env.reject(AIMessage("hm"))
    assert answer.observation.startswith(FORMAT)
    assert len(env.actions_taken) == 1
    twin = factory.make()
    twin.replay(env.task, env.actions_taken, env.digests)
    assert twin._steps == 1


def test_ten_thousand_random_actions() -> None:
    rng = random.Random(0)
    tasks = factory.tasks("train", TOOLS, 100)
    values = [None, 3, -1e308, "A1", "x" * 99, [], [[1]], {}, [None], "\x00", True, "7"]
    env = factory.make()
    answered = 0
    while answered < 10_000:
        env.reset(rng.choice(tasks))
        functions = env._kit.functions
        over = False
        while not over:
            function = rng.choice(functions)
            args = {p.name: rng.choice(values) for p in function.parameters}
            action = rng.choice(
                [
                    rng.choice(MALFORMED_ACTIONS),
                    f"{function.name} with Action Input: {args}",
                    f"{function.name} with Action Input: {json.dumps(args)[:-1]}",
                    [{"name": function.name, "args": args}],
                    [{"name": rng.choice(MALFORMED_ACTIONS), "args": args}],
                ]
            )
            env.key(action)
            transition = env.step(action)
            assert isinstance(transition.observation, str)
            assert 0 <= transition.progress <= 1
            over = transition.done
            answered += 1


CHILD = """
from langchain_agentrm_tools import factory
for task in factory.tasks("test", factory.types("all"), 60):
    env = factory.make()
    print("start", env.reset(task), factory.label(task))
    print([env.step(action) for _, action in factory.demonstrate(task).steps])
"""


def test_another_process_with_another_hash_seed_shows_the_same() -> None:
    seen = set()
    for hash_seed in ("1", "2"):
        path = os.pathsep.join(p for p in sys.path if p)
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", CHILD], env=env, capture_output=True, check=True
        )
        assert done.stdout.count(b"start") >= 60
        seen.add(done.stdout)
    assert len(seen) == 1


def test_forks_and_steps_are_cheap() -> None:
    # Twice the calls that were counted, so that only a change of kind fails.
    for tool in TOOLS:
        env, _ = at(tool)
        action = expert_action(env)
        spent = sum(counted(env.step, action)[1] for _ in range(25))
        assert spent / 25 < 1_100
        assert counted(env.fork)[1] < 1_800
