"""Labels and data in AgentBoard's formats, from a folder."""

from __future__ import annotations

import csv
import io
import json

import pytest

from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm_tools import ToolTasksFactory, factory
from langchain_agentrm_tools.generate import generate

SEED = 20_001
GIVEN = {"id", "order", "is_completed", "project"}


@pytest.fixture
def folder(tmp_path):
    """Generated tasks written as AgentBoard's files are."""
    for name in (
        "tool-query/academia/raw",
        "tool-operation",
        "responses",
        "todo",
        "sheet",
    ):
        (tmp_path / name).mkdir(parents=True)
    lines = {}
    for tool in ("weather", "movie", "academia", "todo", "sheet"):
        label, kit = generate(tool, SEED)
        lines[tool] = json.dumps(label.line())
        if tool in {"weather", "movie"}:
            work = kit.fork()
            rows = [
                {"name": name, "arguments": given, "result": work.result(name, given)}
                for name, given in label.plan
                if name != "finish"
            ]
            text = "\n".join(map(json.dumps, rows))
            (tmp_path / f"responses/{tool}.jsonl").write_text(text)
        elif tool == "academia":
            raw = tmp_path / "tool-query/academia/raw"
            for graph, net, ids in (
                ("PaperNet", "paper_net", "title2id_dict"),
                ("AuthorNet", "author_net", "author2id_dict"),
            ):
                found = kit._nets[graph]
                dumped = {"nodes": found.nodes, "adjacency": found.edges}
                (raw / f"{net}.json").write_text(json.dumps(dumped))
                (raw / f"{ids}.json").write_text(json.dumps(found.ids))
        elif tool == "todo":
            projects = [
                {
                    **p,
                    "tasks": [
                        {k: v for k, v in t.items() if k not in GIVEN}
                        for t in kit.state["tasks"].values()
                        if t["project"] == p["id"]
                    ],
                }
                for p in kit.state["projects"].values()
            ]
            (tmp_path / "todo/projects.json").write_text(json.dumps(projects))
        else:
            out = io.StringIO()
            csv.writer(out).writerows(kit.values())
            path = tmp_path / f"sheet/{kit.state['open']}.csv"
            path.write_text(out.getvalue())
    query = "\n".join(lines[t] for t in ("weather", "movie", "academia"))
    (tmp_path / "tool-query/test.jsonl").write_text(query)
    operation = "\n".join(lines[t] for t in ("todo", "sheet"))
    (tmp_path / "tool-operation/test.jsonl").write_text(operation)
    return tmp_path


@pytest.mark.parametrize("tool", ["weather", "movie", "academia", "todo", "sheet"])
def test_a_task_read_from_files_is_solved_by_the_same_calls(folder, tool) -> None:
    own = ToolTasksFactory(data=str(folder))
    [task] = own.tasks("test", [tool])
    assert task["id"] == f"agentboard/{tool}:0"
    env = own.make()
    env.reset(task)
    label, kit = generate(tool, SEED)
    ids = {}
    if tool == "todo":
        # A to-do service draws its own ids.
        for part in ("projects", "tasks"):
            pairs = zip(kit.state[part], env._kit.state[part], strict=True)
            ids.update(pairs)
    for name, given in label.plan:
        args = {k: ids.get(v, v) if ids else v for k, v in given.items()}
        last = env.step([{"name": name, "args": args}])
    assert last.success
    assert own.label(task) == factory.label(factory.task(tool, SEED))
    assert own.demonstrate(task) is None


def test_the_environment_variable_names_the_folder(folder, monkeypatch) -> None:
    assert len(factory.tasks("test", ["movie"])) == 5_000
    monkeypatch.setenv("TOOLS_DATA", str(folder))
    assert len(factory.tasks("test")) == 5
    assert len(factory.tasks("train", ["movie"])) == 5_000
    with pytest.raises(UnknownTaskError, match="1 lines"):
        factory.task("movie", 1)


def test_what_was_not_recorded_fails_as_a_call(folder) -> None:
    own = ToolTasksFactory(data=str(folder))
    env = own.make()
    env.reset(own.task("movie", 0))
    answer = env.step('get_movie_cast with Action Input: {"movie_id": "1"}')
    assert answer.observation == "There is no recorded answer to this call."
    assert answer.progress == 0


def test_pickles_are_never_opened(folder) -> None:
    raw = folder / "tool-query/academia/raw"
    (raw / "paper_net.json").unlink()
    # Opening it would raise this by name.
    (raw / "paper_net.pkl").write_bytes(b"cbuiltins\nexit\n(tR.")
    own = ToolTasksFactory(data=str(folder))
    with pytest.raises(ConfigurationError, match=r"paper_net\.pkl but no") as caught:
        own.make().reset(own.task("academia", 0))
    assert "pickle" in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("tool-query/test.jsonl", "{}", "line 1, is no label"),
        ("tool-query/test.jsonl", "nonsense", "line 1, is no label"),
        ("responses/movie.jsonl", '{"name": "x"}', "no recorded call"),
    ],
)
def test_broken_files_are_named(folder, name, text, problem) -> None:
    (folder / name).write_text(text)
    own = ToolTasksFactory(data=str(folder))
    with pytest.raises(ConfigurationError, match=problem):
        own.make().reset(own.task("movie", 0))


def test_a_folder_without_labels_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="holds none of"):
        ToolTasksFactory(data=str(tmp_path)).tasks("test")


def test_prompts_come_from_a_folder(tmp_path) -> None:
    own = ToolTasksFactory(prompts=str(tmp_path))
    with pytest.raises(ConfigurationError, match="movie_inst"):
        own.make().reset(own.task("movie", SEED))
    (tmp_path / "instructions").mkdir()
    (tmp_path / "instructions/movie_inst.txt").write_text(r"One.\nTwo.")
    assert own.make().reset(own.task("movie", SEED)).instruction == "One.\nTwo."
