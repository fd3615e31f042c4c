"""Every stage killed from outside, once in each third of its work.

What it leaves is resumed by the same command, and must end in the same artefacts as a
run that nobody disturbed. The moments are drawn by the seed `KILLS_SEED`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from langchain_agentrm.training.trees import STORE_FILE
from tests.faults.processes import ROOT
from tests.faults.stage_process import (
    SHELL,
    STAGES,
    Run,
    kept_chunks,
    server,
    whole_lines,
)

pytestmark = [
    pytest.mark.kills,
    pytest.mark.skipif(
        any(
            importlib.util.find_spec(name) is None
            for name in ("trl", "peft", "accelerate", "langchain_agentrm_babyai")
        ),
        reason="the stages need the train extra and the BabyAI environment",
    ),
]

SEED = os.environ.get("KILLS_SEED", "0")
TRIES = 12
NOISE = {"rtol": 1e-4, "atol": 1e-6}
"""What floats of a training may differ by: torch promises no more than that."""

OF_THE_RUN = {
    *("date", "seconds", "cpu_seconds", "cpu", "wall_s", "commit"),
    # Not of the result, but of the work: what engines repeated, and how many tasks
    # were scored in one call.
    *("replayed", "forks", "rm_calls"),
}
PAID = {"requests", "input_tokens", "output_tokens"}
"""Of the run too, where a stage pays for what it repeats."""

TIMED = {"episodes.jsonl"}
"""Files with seconds in their rows, so that their digests say nothing."""


# --- what is compared ---------------------------------------------------------------


def timeless(value, without):
    """JSON without what tells one run from another that made the same."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in without}
        return {k: timeless(v, without) for k, v in kept.items()}
    if isinstance(value, list):
        return [timeless(x, without) for x in value]
    return value


def tables(path, without):
    """Content of a tree store; `work` counts what engines repeated."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        names = [n for (n,) in db.execute("select name from sqlite_master")]
        found = {}
        for name in sorted(set(names) - {"work"}):
            if name.startswith("sqlite_"):
                continue
            rows = db.execute(f"select * from {name}")
            columns = [column[0] for column in rows.description]
            named = [dict(zip(columns, row, strict=True)) for row in rows]
            found[name] = sorted(timeless(named, without), key=json.dumps)
        return found


def tensors(path, _):
    """Weights by name."""
    from safetensors.numpy import load_file

    return load_file(path)


def state(path, without):
    """What a small training would go on from."""
    import torch

    return timeless(torch.load(path, weights_only=True), without)


READERS = {
    ".json": lambda path, without: timeless(json.loads(path.read_text()), without),
    ".jsonl": lambda path, without: timeless(whole_lines(path), without),
    ".sqlite": tables,
    ".safetensors": tensors,
    ".pt": state,
}


def artefacts(folder, without):
    """Digest of each file that a stage left, hidden ones among them."""
    return {
        path.relative_to(folder).as_posix(): digest(path, without)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def digest(path, without):
    """Hash a file's bytes, or its content where its bytes tell the time."""
    if path.suffix in {".json", ".jsonl", ".sqlite"}:
        read = READERS[path.suffix]
        data = json.dumps(read(path, without), sort_keys=True).encode()
    elif path.suffix == ".pt":
        data = repr(flat(state(path, without))).encode()
    else:
        data = path.read_bytes()
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def flat(value):
    """Tensors as lists, all through a state."""
    if isinstance(value, dict):
        return {k: flat(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [flat(x) for x in value]
    return value.tolist() if hasattr(value, "tolist") else value


def equal(ours, theirs):
    """Tell whether contents agree, floats within noise."""
    if isinstance(theirs, dict):
        # Digests of files with floats, which are compared themselves.
        names = theirs.keys() - {"outputs"}
        return ours.keys() == theirs.keys() and all(
            equal(ours[name], theirs[name]) for name in names
        )
    if isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(equal, ours, theirs))
    if hasattr(theirs, "shape"):
        from numpy import allclose

        return ours.shape == theirs.shape and allclose(ours, theirs, **NOISE)
    if isinstance(theirs, float):
        return ours == pytest.approx(theirs, rel=NOISE["rtol"], abs=NOISE["atol"])
    return ours == theirs


def differing(ours, theirs, stage):
    """Names of the artefacts that are not the same."""
    without = OF_THE_RUN | TIMED | (PAID if stage.pays else set())
    one, other = artefacts(ours, without), artefacts(theirs, without)
    names = {n for n in one.keys() | other.keys() if one.get(n) != other.get(n)}
    if not stage.trains:
        return names
    return {
        name
        for name in names
        if name not in one
        or name not in other
        or (read := READERS.get(Path(name).suffix)) is None
        or not equal(read(ours / name, without), read(theirs / name, without))
    }


# --- the runs -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def context():
    with pytest.MonkeyPatch.context() as shell:
        for name, value in SHELL.items():
            shell.setenv(name, value)
        yield server()


@pytest.fixture(scope="module")
def undisturbed(request, tmp_path_factory):
    """The folders of runs that nobody disturbed, and what is known of each run."""
    stages = {
        item.callspec.params["stage"]
        for item in request.session.items
        if item.module is request.module and "stage" in item.callspec.params
    }
    root = tmp_path_factory.mktemp("undisturbed")
    job = {"root": str(root), "stages": sorted(stages | {BY_COMMAND})}
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.stage_process", json.dumps(job)],
        env={**os.environ, **SHELL, "PYTHONHASHSEED": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return root, json.loads(done.stdout.splitlines()[-1])


def killed(begin, seconds, third, draws, judge=lambda _run, _out: None):
    """Begin work until it was killed at a drawn moment of a third of its time.

    Args:
        begin: Begins it in a fresh folder; gives its run and the folder.
        seconds: What it takes.
        third: Which third.
        draws: Source of the moments.
        judge: Calls a moment "early" or "late" for what is to be shown, if it is.

    Returns:
        The run and its folder.
    """
    low, high = third / 3, (third + 1) / 3
    for attempt in range(TRIES):
        run, out = begin(attempt)
        share = draws.uniform(low, high)
        time.sleep(share * seconds)
        status = run.kill()
        assert status in {0, -signal.SIGKILL}, status
        over = status == 0 or (out / "manifest.json").exists()
        found = "late" if over else judge(run, out)
        if found is None:
            return run, out
        if found == "late":
            low, high = low * 0.8, share
        else:
            low, high = share, max(high, (1 + share) / 2)
    return pytest.fail(f"{TRIES} runs were killed too early or too late")


@pytest.mark.parametrize("third", range(3))
@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_stage_ends_in_the_same_artefacts(
    tmp_path, context, undisturbed, stage, third
):
    root, known = undisturbed
    made, seconds = STAGES[stage], known[stage]["seconds"]

    def begin(attempt, out=None):
        out = out or tmp_path / str(attempt)
        log = tmp_path / f"{len(list(tmp_path.iterdir()))}.log"
        return Run(context, made.words(root, out), log), out

    def judge(run, out):
        """In its last third at least, what is kept must matter to what is left."""
        if third < 2 or made.kept is None:
            return None
        if made.trains and len(run.batches) == len(known[stage]["batches"]):
            return "late"
        return None if made.kept(out) else "early"

    draws = random.Random(f"{SEED} {stage} {third}")
    cut, out = killed(begin, seconds, third, draws, judge)
    kept = made.kept(out) if made.kept else set()
    again, _ = begin(0, out)
    again.finish()
    assert not differing(out, root / stage, made)
    if made.trains:
        whole, first, rest = known[stage]["batches"], cut.batches, again.batches
        assert whole
        assert first == whole[: len(first)]
        assert rest == whole[len(whole) - len(rest) :]
        assert len(first) + len(rest) >= len(whole)
        assert len(rest) < len(whole) or not kept
        assert kept or third < 2
    elif kept:
        assert kept <= made.kept(out)


# --- the command itself -------------------------------------------------------------

BY_COMMAND = "trees-agentrm"


class Command:
    """`agentrm` in a process that nothing was imported into.

    It is begun when that can be seen in its folder.
    """

    def __init__(self, words, begun):
        self.process = subprocess.Popen(
            [Path(sys.executable).with_name("agentrm"), *words],
            env={**os.environ, **SHELL},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not begun():
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.01)

    def kill(self):
        self.process.kill()
        self.process.communicate()
        return self.process.returncode

    def finish(self):
        _, err = self.process.communicate()
        assert self.process.returncode == 0, err


@pytest.mark.parametrize("third", range(3))
def test_the_command_killed_goes_on_to_the_same_trees(tmp_path, undisturbed, third):
    root, known = undisturbed
    # It has six chunks.
    least = 2 * third

    def begin(name):
        out = tmp_path / str(name)
        words = STAGES[BY_COMMAND].words(root, out)

        def begun():
            return (out / STORE_FILE).exists() and len(kept_chunks(out)) >= least

        return Command(words, begun), out

    draws = random.Random(f"{SEED} command {third}")
    # A third is begun when its chunks are there, so the moment lies in what is next.
    _, out = killed(begin, known[BY_COMMAND]["seconds"], 0, draws)
    kept = kept_chunks(out)
    assert len(kept) >= least
    begin(out.name)[0].finish()
    assert not differing(out, root / BY_COMMAND, STAGES[BY_COMMAND])
    assert kept <= kept_chunks(out)
    assert requests(out) >= requests(root / BY_COMMAND)


def requests(folder):
    """What a store's manifest says was asked of the policy."""
    return json.loads((folder / "manifest.json").read_text())["counts"]["requests"]
