"""`agentrm reward-agent`, as a user meets it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import httpx
import pytest

from langchain_agentrm.cli import main
from langchain_agentrm.cli._agent_parts import AgentWords
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
from tests.evaluation.preference_files import converted, data_file, judged, written

OWN = "tests.cli.test_reward_agent:brief"
COMMANDS = ("bench", "best-of-n", "annotate", "explain", "serve")


def brief(trajectory):
    """A verifier of one's own: short answers."""
    return len(trajectory.turns[-1].action) < 5


def agentrm(*args) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["reward-agent", *map(str, args)])
    return int(stop.value.code or 0)


@pytest.fixture
def pairs(tmp_path):
    rows = [converted(i, "yes", "well, yes") for i in range(4)]
    rows.append(converted(4, "well, yes", "yes"))
    return written(tmp_path / "pairs.jsonl", rows)


def test_bench_shows_and_writes_the_rows(pairs, tmp_path, capsys):
    out, results = tmp_path / "out.json", tmp_path / "results.jsonl"
    options = ("--verifiers", OWN, "--json", out, "--results", results)
    assert agentrm("bench", pairs, *options) == 0
    shown = capsys.readouterr().out
    assert "80.0%" in shown
    assert "0 requests, 0 tokens read" in shown
    *_, whole = json.loads(out.read_text())
    assert whole["subset"] == "all"
    assert (whole["n"], whole["decided"], whole["accuracy"]) == (5, 1.0, 0.8)
    assert whole["accuracy_decided"] == 0.8
    assert whole["ci_low"] < 0.8 < whole["ci_high"]
    assert (whole["checked"], whole["failed"]) == (1.0, 0)
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    assert [r["outcome"] for r in rows] == [1.0, 1.0, 1.0, 1.0, 0.0]
    assert rows[0]["signals_chosen"] == {"brief": 1.0}


def test_the_rules_reach_what_is_claimed_on_thu_ifbench(tmp_path):
    data = data_file("thu-ifbench/data.converted.json")
    tables = []
    for threads in (1, 7):
        out = tmp_path / f"out{threads}.json"
        options = ("--verifiers", "rules", "--threads", threads, "--seed", threads)
        assert agentrm("bench", data, *options, "--json", out) == 0
        tables.append(json.loads(out.read_text()))
    assert tables[0] == tables[1]
    rows = {row["subset"]: row for row in tables[0]}
    assert list(rows)[-3:] == ["all", "tuned-on", "held-out"]
    assert rows["all"]["n"] == 444
    assert rows["all"]["accuracy"] >= 0.67
    assert rows["all"]["accuracy_decided"] >= 0.94
    assert rows["held-out"]["accuracy"] >= 0.67


@pytest.mark.parametrize(
    ("name", "longer"),
    [
        ("rm-bench/total_dataset.chat_normal_converted.json", 0.320),
        ("rm-bench/total_dataset.chat_hard_converted.json", 0.026),
    ],
)
def test_length_alone_does_what_is_known_of_it(tmp_path, name, longer):
    out = tmp_path / "out.json"
    options = ("--verifiers", "", "--preference", "longer", "--json", out)
    assert agentrm("bench", data_file(name), *options) == 0
    (_, whole) = json.loads(out.read_text())
    assert whole["accuracy"] == pytest.approx(longer, abs=5e-4)


def test_any_preference_model_can_be_measured(pairs, tmp_path, capsys):
    folder = write_mini_checkpoint(tmp_path / "rm", "reward")
    options = ("--verifiers", "", "--preference", folder)
    assert agentrm("bench", pairs, *options) == 0
    assert re.search(r"[1-9]\d* requests, [1-9]\d* tokens", capsys.readouterr().out)


def test_mistakes_name_the_remedy(pairs, tmp_path, capsys):
    def told(*args):
        assert agentrm(*args) == 1
        return capsys.readouterr().err

    assert "Use one of rules" in told("bench", pairs, "--verifiers", "rulez")
    assert "--llm openai:MODEL" in told("bench", pairs, "--verifiers", "factuality")
    assert "--llm openai:MODEL" in told("bench", pairs, "--judger", "llm")
    assert "--llm openai:MODEL" in told("bench", pairs, "--upstream")
    assert "no NAME=NUMBER" in told("bench", pairs, "--weights", "rules")
    assert "cannot be imported" in told("bench", pairs, "--verifiers", "no.such:thing")
    assert "neither a checkpoint" in told("bench", pairs, "--preference", "nowhere")
    assert "no signal" in told("bench", pairs, "--verifiers", "")
    options = ("--verifiers", "factuality", "--llm", "openai:m", "--evidence", "what")
    assert "bm25:DIR" in told("bench", pairs, *options)
    twice = written(tmp_path / "twice.jsonl", [judged(1, "A>B"), judged(1, "A>B")])
    assert "rows 0 (line 1), 1 (line 2)" in told("bench", twice)
    assert "-n 2 4 8 16 32" in told("best-of-n", pairs)


def test_a_run_that_failed_throughout_has_no_table_to_trust(pairs, tmp_path, capsys):
    nobody = ("--llm", "openai:m", "--llm-url", "http://127.0.0.1:9/v1")
    out = tmp_path / "out.json"
    options = ("--verifiers", "llm-rules", *nobody, "--json", out)
    assert agentrm("bench", pairs, *options) == 1
    assert "5 of 5 pairs failed" in capsys.readouterr().err
    assert json.loads(out.read_text())[-1]["failed"] == 5


def responses(tmp_path):
    rows = [
        {
            "id": i,
            "prompt": f"Answer {i} in lowercase letters.",
            "responses": ["NO", "No", "Well", "yes", "oh YES", "YES", "yes"],
            "correct": [0, 0, 0, 1, 0, 0, 1],
        }
        for i in range(6)
    ]
    return written(tmp_path / "responses.jsonl", rows)


def test_best_of_n_is_nested(tmp_path, capsys):
    given = responses(tmp_path)
    out, table = tmp_path / "best", tmp_path / "table.json"
    options = ("--out", out, "--json", table, "--verifiers", "rules")
    assert agentrm("best-of-n", given, "-n", 1, 2, 4, 7, *options) == 0
    rows = json.loads(table.read_text())
    assert [r["n"] for r in rows] == [1, 2, 4, 7]
    assert [r["accuracy"] for r in rows] == [0.0, 0.0, 1.0, 1.0]
    assert "100.0%" in capsys.readouterr().out
    chosen = [
        json.loads(line)
        for line in (out / "results_best_of_4.jsonl").read_text().splitlines()
    ]
    assert [c["response"] for c in chosen] == ["yes"] * 6
    assert chosen[0]["prompt"] == "Answer 0 in lowercase letters."


def test_annotate_writes_what_trl_reads(tmp_path, capsys):
    out = tmp_path / "pairs.jsonl"
    options = ("--out", out, "--verifiers", "rules", "--margin", 0.5)
    assert agentrm("annotate", responses(tmp_path), *options) == 0
    assert "6 pairs of 6 prompts" in capsys.readouterr().out
    row = json.loads(out.read_text().splitlines()[0])
    assert row["chosen"] == "yes"
    assert row["rejected"] != "yes"
    assert row["signals"]["chosen"] == {"rules": 1.0}
    # Another run goes on; other settings are refused.
    assert agentrm("annotate", responses(tmp_path), *options) == 0
    assert "6 from an earlier run" in " ".join(capsys.readouterr().out.split())
    more = ("--judger", "weighted-sum")
    assert agentrm("annotate", responses(tmp_path), *options, *more) == 1
    assert "judger" in capsys.readouterr().err


def test_annotate_drops_what_a_verdict_contradicts(tmp_path, capsys):
    out = tmp_path / "pairs.jsonl"
    options = ("--out", out, "--verifiers", OWN, "--preference", "longer")
    loud = ("--judger", "weighted-sum", "--weights", "preference=10")
    assert agentrm("annotate", responses(tmp_path), *options, *loud) == 0
    assert "0 pairs of 6 prompts" in capsys.readouterr().out
    assert out.read_text() == ""


def test_explain_shows_the_checks(capsys):
    asked = ("--request", "Answer in lowercase letters.", "--answer", "yes [ok]")
    assert agentrm("explain", *asked, "--answer", "NO") == 0
    shown = capsys.readouterr().out
    assert "1 of 2, score 1: yes [ok]" in shown
    assert "2 of 2, score 0: NO" in shown
    assert agentrm("explain", *asked, "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["verdicts"]["rules"]["value"] == 1.0


def test_settings_name_no_server():
    words = AgentWords(llm_url="http://me:pw@host/v1", preference_url="http://x")
    assert "http" not in json.dumps(words.settings())


def test_serve_refuses_what_is_not_safe(capsys):
    assert agentrm("serve", "--host", "0.0.0.0") == 1
    assert "AGENTRM_VERIFIER_TOKEN" in capsys.readouterr().err
    assert agentrm("serve", "--verifiers", "code", "--llm", "openai:m") == 1
    assert "--allow-code" in capsys.readouterr().err
    assert agentrm("serve", "--token-env", "NOT_SET_HERE") == 1
    assert "NOT_SET_HERE is empty" in capsys.readouterr().err


def test_serve_answers_and_ends_on_sigterm():
    program = "from langchain_agentrm.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "reward-agent", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "AGENTRM_VERIFIER_TOKEN": "t0ken-of-ours",
        },
    )
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                break
        printed = "".join(lines)
        url = re.search(r"on (http://\S+)", printed)
        assert url, printed
        assert "t0ken-of-ours" not in printed
        body = {
            "instruction": "Answer in lowercase letters.",
            "answers": ["yes", "NO"],
        }
        ask = {"json": body, "timeout": 20}
        assert httpx.post(f"{url[1]}/evaluate/", **ask).status_code == 401
        ask["headers"] = {"authorization": "Bearer t0ken-of-ours"}
        answered = httpx.post(f"{url[1]}/evaluate/", **ask)
        assert answered.json() == {"result": [1.0, 0.0]}
        body["instruction"] = "Who are you?"
        assert httpx.post(f"{url[1]}/evaluate/", **ask).status_code == 503
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_the_agents_options(command, capsys):
    assert agentrm(command, "--help") == 0
    shown = capsys.readouterr().out
    for option in ("--verifiers", "--judger", "--preference", "--evidence"):
        assert option in shown


def test_help_needs_no_torch():
    code = (
        "import sys; import langchain_agentrm.cli.reward_agent; "
        "print([m for m in ('fastapi', 'uvicorn', 'torch') if m in sys.modules])"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert time.monotonic() - began < 60
