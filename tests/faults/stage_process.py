"""The stages of `agentrm`, each by its command, small, in a process that may be killed.

Every process is forked from a server that has imported what they all need, so that one
costs milliseconds and not the seconds of importing torch. Forks of one server hash
strings alike; so this module, run as a program, makes the undisturbed runs by a server
of its own: what depends on the order of a set differs then.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import re
import sqlite3
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.processes import PATIENCE, ROOT, append, lines

PRELOAD = [
    "langchain_agentrm.cli.main",
    "langchain_agentrm.chat_models._engine",
    "langchain_agentrm.evaluation.suite",
    "langchain_agentrm.reward_models",
    "langchain_agentrm.sampling.local",
    "langchain_agentrm.training.audit",
    "langchain_agentrm.training.bc",
    "langchain_agentrm.training.explicit",
    "langchain_agentrm.training.implicit",
    "langchain_agentrm.training.rm",
    "langchain_agentrm.training.sft",
    "langchain_agentrm_babyai",
    "accelerate",
    "peft",
    "transformers.models.llama.modeling_llama",
    "transformers.trainer",
    "tests.faults.stage_process",
]
"""Imported, never run, by the server: a fork keeps no threads."""

SHELL = {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "PYTHONPATH": str(ROOT),
}
"""What a process is started with."""


@dataclass(frozen=True)
class Stage:
    """One command at a size that takes a second or a few.

    Attributes:
        command: Its words; `{name}` is the folder of another stage, `{policy}` the
            embedded policy, `{template}` its training template.
        kept: Tells what of an unfinished folder is not made again; None where the stage
            has no checkpoint.
        trains: Whether it takes steps over batches, whose order is compared.
        pays: Whether requests of an iteration that was cut off count beside those of
            its repetition: they were sent.
    """

    command: str
    kept: Callable | None = None
    trains: bool = False
    pays: bool = False

    @property
    def needs(self):
        """Stages whose folders it reads."""
        return [n for n in re.findall(r"{(\w+)}", self.command) if n in STAGES]

    def words(self, root, out):
        """The command's words, over the undisturbed folders below a root."""
        from langchain_agentrm.embedded import embedded_models

        at = {name: root / name for name in STAGES}
        at["policy"] = embedded_models("babyai").policy
        at["template"] = root / TEMPLATE
        words = self.command.format(**at).split()
        return [*words, "--out", str(out)]


def kept_chunks(out):
    """Chunks of a tree store, with the seconds that each of them took."""
    if not (out / "trees.sqlite").exists():
        return set()
    with contextlib.closing(sqlite3.connect(out / "trees.sqlite", timeout=30)) as db:
        try:
            found = db.execute("select chunk, cpu_seconds from chunks").fetchall()
        except sqlite3.OperationalError:
            return set()  # killed before the tables were made
    return set(found)


def kept_files(out):
    """Chunks of an audit, with the time when each was written."""
    return {(p.name, p.stat().st_mtime_ns) for p in out.glob("chunk-*.jsonl")}


def kept_rows(out):
    """Tasks of a suite of which every method's row is there, with their seconds."""
    times = defaultdict(list)
    for row in whole_lines(out / "episodes.jsonl"):
        times[row["task_id"]].append((row["method"], row["wall_s"]))
    return {(task, *sorted(rows)) for task, rows in times.items() if len(rows) == 3}


def kept_state(out):
    """Whether a small training has a state to go on from."""
    return {"state"} & {p.stem.removeprefix("training_") for p in out.glob("*.pt")}


def kept_checkpoints(out):
    """Checkpoints of a trainer that are whole."""
    found = out.glob("checkpoints/checkpoint-*/trainer_state.json")
    return {"state" for path in found if path.stat().st_size}


def whole_lines(path):
    """Rows of a JSON Lines file, without a last one that was cut off."""
    if not path.exists():
        return []
    text = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in text if line.endswith("\n")]


_TREES = "train trees --policy {policy} --env babyai --workers 1"
_SFT = (
    "train sft --data {dialogues} --base {policy} --set template={template}"
    " --set batch=8 --set per_device=4 --set epochs=1 --set save_every=3"
    " --set max_tokens=1024 --set precision=float32 --set gradient_checkpointing=false"
)
_STEPS = "--set epochs=1 --set batch_size=4 --set accumulate=1 --set evaluations=4"

STAGES = {
    "demos": Stage("train demos --env babyai --n-per-type 24"),
    "bc": Stage(
        "train bc --demos {demos} --set hidden=32 --set layers=1 --set epochs=5"
        " --set val_share=0.1 --set eval_tasks=4",
        kept=kept_state,
        trains=True,
    ),
    "trees": Stage(
        f"{_TREES} --tasks 42 --simulations 6 --set chunk=6", kept=kept_chunks
    ),
    "trees-mcts": Stage(
        f"{_TREES} --labeller mcts --tasks 18 --simulations 4 --set chunk=3",
        kept=kept_chunks,
    ),
    "trees-agentrm": Stage(
        f"{_TREES} --labeller agentrm --tasks 12 --simulations 3 --set chunk=2",
        kept=kept_chunks,
        pays=True,
    ),
    "samples": Stage("train samples --trees {trees} --set val_share=0.25"),
    "pool": Stage("train pool --policy {policy} --tasks 12"),
    "rm": Stage(
        "train rm --samples {samples} --pool {pool} --policy {policy}"
        " --set epochs=2 --set evaluations=2 --set batch_tokens=2048",
        kept=kept_state,
        trains=True,
    ),
    "keep": Stage("train keep --samples {samples} --pool {pool} --keep action"),
    "dialogues": Stage("train dialogues {demos} --set val_share=0.2"),
    "sft": Stage(f"{_SFT} --mode lora", kept=kept_checkpoints, trains=True),
    "sft-full": Stage(f"{_SFT} --mode full", kept=kept_checkpoints, trains=True),
    "explicit": Stage(
        f"train explicit --samples {{samples}} --base {{policy}} {_STEPS}"
        " --set objective=mixed --set max_length=1024",
        kept=kept_checkpoints,
        trains=True,
    ),
    "rollouts": Stage("train rollouts --trees {trees}"),
    "implicit": Stage(
        f"train implicit --rollouts {{rollouts}} --base {{policy}} {_STEPS}"
        " --set val_share=0.25 --set max_length=1024",
        kept=kept_checkpoints,
        trains=True,
    ),
    "audit-labels": Stage(
        "train audit-labels --trees {trees} --policy {policy} --states 240 --rerolls 4",
        kept=kept_files,
    ),
    "eval-run": Stage(
        "eval run --env babyai --episodes 8 --methods greedy,best-of-2,beam-2x2"
        " --block 3 --workers 1",
        kept=kept_rows,
    ),
}


TEMPLATE = "marked.jinja"
"""The embedded policy's chat template, with marks around what is learned."""


def wanted(names):
    """Stages with all that they read, in the order that they are made."""
    found = set(names)
    for name in reversed(STAGES):
        if name in found:
            found.update(STAGES[name].needs)
    return [name for name in STAGES if name in found]


def server():
    """Give the context whose processes are forked with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


class Run:
    """A command in a process of its own."""

    def __init__(self, context, words, log):
        self.log = log
        self.channel, theirs = context.Pipe(duplex=False)
        job = (words, str(self.log), theirs)
        self.process = context.Process(target=perform, args=job, daemon=True)
        self.process.start()
        theirs.close()
        self.hear("began")

    def hear(self, word):
        """Wait for a word; the seconds that the process noted with it."""
        try:
            if not self.channel.poll(PATIENCE):
                self.kill()
                message = f"nothing within {PATIENCE} s"
                raise AssertionError(message)
            said, *more = self.channel.recv()
        except EOFError:
            self.process.join(PATIENCE)
            said, more = f"exit {self.process.exitcode}", []
        assert said == word, (said, *more)
        return more[0]

    def finish(self):
        """Wait for the end; seconds of the work."""
        seconds = self.hear("ended")
        self.process.join(PATIENCE)
        assert self.process.exitcode == 0
        return seconds

    def kill(self):
        """End it as a power cut would; what it exited with."""
        self.process.kill()
        self.process.join(PATIENCE)
        return self.process.exitcode

    @property
    def batches(self):
        """What was trained on, in order."""
        return [line["ids"] for line in lines(self.log)]


def perform(words, log, channel):
    """Run a command, and say when it begins and ends."""
    import torch

    from langchain_agentrm.cli.main import app

    torch.set_num_threads(1)
    _note_batches(log)
    # Its tables are nobody's to read.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    began = time.monotonic()
    channel.send(("began", 0.0))
    try:
        app(words, standalone_mode=False)
    except BaseException:
        channel.send(("failed", traceback.format_exc()))
        raise
    channel.send(("ended", time.monotonic() - began))


def _note_batches(log):
    """Append a digest of each batch that a model in training reads."""
    import torch

    def note(module, args):
        if isinstance(module, torch.nn.Embedding) and module.training and args:
            ids = args[0].tolist()
            append(log, ids=hashlib.blake2b(json.dumps(ids).encode()).hexdigest()[:16])

    torch.nn.modules.module.register_module_forward_pre_hook(note)


def mark(path):
    """Write the embedded policy's template with marks around what is learned."""
    from langchain_agentrm.embedded import embedded_models

    plain = (embedded_models("babyai").policy / "chat_template.jinja").read_text()
    said = "message['content'] + '<|end|>'"
    opened = f"'<|assistant|>' + {said} }}}}"
    assert plain.count(opened) == 1
    marked = f"'<|assistant|>' }}}}{{% generation %}}{{{{ {said} }}}}"
    path.write_text(plain.replace(opened, marked + "{% endgeneration %}"))


def main(job):
    """Make the undisturbed runs; print their seconds and batches by stage."""
    root = Path(job["root"])
    mark(root / TEMPLATE)
    context, made = server(), {}
    for name in wanted(job["stages"]):
        words = STAGES[name].words(root, root / name)
        run = Run(context, words, root / f"{name}.log")
        made[name] = {"seconds": run.finish(), "batches": run.batches}
    print(json.dumps(made))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
