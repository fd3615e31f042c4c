from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from langchain_agentrm.cli._stages import read_recipe
from langchain_agentrm.cli.train import app
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.testing.mini_checkpoint import (
    CHAT_TEMPLATE,
    write_mini_checkpoint,
)


def _run(*command):
    done = CliRunner().invoke(app, [str(part) for part in command])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def rows(tmp_path):
    said = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "up"}]
    path = tmp_path / "maze_rows.jsonl"
    path.write_text(json.dumps({"id": 1, "messages": said}) + '\n{"id": 2}\n')
    return path


def test_rows_then_a_policy_then_its_card(tmp_path, rows):
    for name in ("trl", "peft", "datasets"):
        pytest.importorskip(name, reason="the train extra is absent")
    with pytest.raises(ConfigurationError, match=r"maze_rows\.jsonl, line 2"):
        _run("dialogues", rows, "--out", tmp_path / "data")
    command = ["dialogues", rows, "--out", tmp_path / "data", "--set", "val_share=0"]
    assert "unusable 1" in " ".join(_run(*command, "--on-bad-row", "skip").split())
    write_mini_checkpoint(tmp_path / "base", context=64)
    template = tmp_path / "mini.jinja"
    template.write_text(
        CHAT_TEMPLATE.replace(
            "<|assistant|>{{ m['content'] }}<|end|>",
            "<|assistant|>{% generation %}{{ m['content'] }}<|end|>{% endgeneration %}",
        )
    )
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"base: {tmp_path / 'base'}\ntemplate: {template}\nbatch: 2\nepochs: 9\nseed: 4"
    )
    out = tmp_path / "sft"
    options = ["--data", tmp_path / "data", "--out", out, "--config", recipe]
    _run("sft", *options, "--set", "epochs=1")
    made = json.loads((out / "manifest.json").read_text())
    assert (made["seed"], made["config"]["epochs"]) == (4, 1.0)
    card = _run("card", out, "--name", "me/maze", "--stage", tmp_path / "data")
    assert card.split() == [str(out / "README.md")]
    assert "`data` is `trajectories.jsonl`" in (out / "README.md").read_text()


def test_the_recipe_of_the_paper_is_a_valid_config():
    pytest.importorskip("trl", reason="the train extra is absent")
    from langchain_agentrm.training.sft import FineTuneConfig

    config = FineTuneConfig(**read_recipe("llama3-8b-sft"))
    figures = (config.rate, config.epochs, config.max_tokens, config.batch)
    assert figures == (2e-5, 3, 4096, 64)
    assert config.schedule == "cosine"
    assert config.base.endswith("Llama-3-8B-Instruct")


def test_a_recipe_that_is_none_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"no recipe.*llama3-8b-sft"):
        read_recipe("llama4")
    for text, reason in (("- 1", "but list"), ("a: [", "no YAML")):
        (tmp_path / "a.yaml").write_text(text)
        with pytest.raises(ConfigurationError, match=reason):
            read_recipe(str(tmp_path / "a.yaml"))


def test_figures_that_are_no_rows_are_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1}')
    command = ["card", tmp_path, "--name", "a/b", "--figures", tmp_path / "a.json"]
    with pytest.raises(ConfigurationError, match="no list of rows"):
        _run(*command)
