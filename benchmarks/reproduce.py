"""The paper's claims on small environments, with models trained here, on a CPU.

Trains a policy and a reward model for each environment, plays the methods over test
tasks, repeats it for the studies (data, parts of the state, perturbations, other
policies, transfer), and writes one report. Everything is resumable: `--minutes 10`
stops after about that time, and the same command goes on.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import psutil  # type: ignore[import-untyped]
import typer
from _reproduce_pieces import Piece, is_done
from _reproduce_plan import Plan
from _reproduce_report import publish, write_results
from _reproduce_settings import Settings, read_settings
from rich.console import Console
from rich.table import Table

from langchain_agentrm._files import MANIFEST, read_json, same_settings, write_json
from langchain_agentrm.errors import AgentRMError, ConfigurationError
from langchain_agentrm.evaluation.analysis import OFFLINE_FILE
from langchain_agentrm.evaluation.suite import EPISODES_FILE

SETTINGS = Path(__file__).with_name("reproduce.yaml")
SETTINGS_FILE = "settings.json"
SPENT = "spent"
MOST_MINUTES = 180
LONGEST_CALL = 10
_TELL_EVERY = 15.0


def cpu_seconds() -> float:
    """CPU time of this process and its children: what else runs does not count."""
    this = psutil.Process()
    own = this.cpu_times()
    spent = own.user + own.system + own.children_user + own.children_system
    for child in this.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            spent += times.user + times.system
    return float(spent)


class TimeIsUp(Exception):  # noqa: N818 - not an error
    """The call's time, or a piece's budget, is used up; what was done is on disk."""

    def __init__(self, *, cut: bool) -> None:
        super().__init__("cut" if cut else "stopped")
        self.cut = cut


class Ledger:
    """CPU seconds of each piece over all calls, and the evaluations that were cut.

    Every piece has a file of its own, so that calls of different environments may run
    beside each other.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds: dict[str, float] = {}
        self.cut: list[str] = []
        for path in sorted(folder.glob("*.json")):
            kept = read_json(path)
            self.seconds[kept["piece"]] = kept["seconds"]
            if kept["cut"]:
                self.cut.append(kept["piece"])

    def add(self, piece: Piece, seconds: float, *, cut: bool = False) -> None:
        """Count time, and write it down."""
        name = piece.name
        spent = self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        if cut:
            self.cut.append(name)
        write_json(
            self.folder / f"{name.replace('/', '.')}.json",
            {"piece": name, "seconds": spent, "cut": name in self.cut},
        )


class Watch:
    """Shows a piece's progress, and stops it where that loses nothing."""

    def __init__(
        self, piece: Piece, spent: float, deadline: float, console: Console
    ) -> None:
        self.piece, self.deadline, self.console = piece, deadline, console
        # Only an evaluation is of use when it is cut.
        left = piece.minutes * 60 - spent if piece.study else float("inf")
        self.last = cpu_seconds() + left
        self.told = time.monotonic()
        self.first: float | None = None

    def __call__(self, done: float, total: float, /, **figures: float) -> None:
        """Report progress."""
        now = time.monotonic()
        if now - self.told >= _TELL_EVERY:
            self.told = now
            share = 100 * done / total if total else 0
            more = "".join(f"  {name} {value:.3g}" for name, value in figures.items())
            self.console.print(
                f"  {self.piece.name} {share:.0f} %{more}", highlight=False
            )
        self.first = done if self.first is None else self.first
        if done < total and self._saved(done, figures):
            if cpu_seconds() > self.last:
                raise TimeIsUp(cut=True)
            if now > self.deadline:
                raise TimeIsUp(cut=False)

    def _saved(self, done: float, figures: Mapping[str, float]) -> bool:
        """Tell whether this call brought something that the next one need not redo."""
        if self.piece.stops == "any":
            return self.first is not None and done > self.first
        return self.piece.stops in figures


def main(
    out: Annotated[Path, typer.Option(help="Output folder.")] = Path("runs/reproduce"),
    settings: Annotated[Path, typer.Option(help="Settings, as YAML.")] = SETTINGS,
    minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Stop after so many; go on by running again."),
    ] = None,
    scale: Annotated[
        float, typer.Option(min=0, help="Factor on tasks; 0.01 for a toy run.")
    ] = 1.0,
    only: Annotated[
        list[str] | None, typer.Option(help="Environment, or `transfer`.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that play.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and do nothing.")
    ] = False,
    docs: Annotated[
        Path | None, typer.Option(help="Copy the report into this documentation.")
    ] = None,
) -> None:
    """Reproduce, or go on with it."""
    console = Console(width=100)
    chosen = read_settings(settings)
    skipped = _skipped(chosen)
    plan = Plan(chosen, out, scale, workers, skipped)
    every = plan.pieces()
    _check_budgets(every)
    pieces = _chosen(every, only or [], skipped)
    ledger = Ledger(out / SPENT)
    if dry_run:
        _show(pieces, out, ledger, console)
        return
    _hold(chosen, scale, out)
    # An episode that outgrows a small context is a row with its failure.
    logging.getLogger("langchain_agentrm").setLevel(logging.ERROR)
    for name, why in skipped.items():
        console.print(f"{name} is left out: {why}", highlight=False)
    deadline = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    failed = _work(pieces, out, ledger, deadline, console)
    if failed is not None:
        report(every, out, ledger, {**skipped, **failed}, chosen.tried)
        console.print(f"The report is {out / 'report' / 'report.html'}.")
        if docs is not None:
            publish(out / "report", docs)
    left = _left(pieces, out, ledger)
    console.print(f"About {left:.1f} minutes are left." if left else "Done.")
    if failed:
        raise typer.Exit(1)


def report(
    pieces: list[Piece],
    out: Path,
    ledger: Ledger,
    skipped: Mapping[str, str],
    tried: Mapping[str, str],
) -> dict[str, Any]:
    """Write the report of every evaluation that has rows."""
    folders: dict[str, list[Path]] = {}
    for piece in pieces:
        made = (EPISODES_FILE, OFFLINE_FILE)
        if piece.study and any((out / piece.name / file).exists() for file in made):
            folders.setdefault(piece.study, []).append(out / piece.name)
    total = sum(ledger.seconds.values()) / 60
    notes = [
        (
            "Policies and reward models are trained here from nothing, on a CPU. "
            f"The whole took {total:.0f} minutes of one core."
        ),
        *(f"{name} was not done: {why}" for name, why in skipped.items()),
        *(
            f"{name} was cut when its budget was used up; it has fewer tasks."
            for name in ledger.cut
        ),
    ]
    return write_results(folders, out / "report", notes, tried)


def _work(
    pieces: list[Piece], out: Path, ledger: Ledger, deadline: float, console: Console
) -> dict[str, str] | None:
    """Do pieces until the time is up.

    A piece that cannot work, such as an implicit reward model of a policy that never
    ends an episode, does not keep the others from being done.

    Returns:
        The pieces that could not be done, with the reasons; None if the time was up.
    """
    worked = False
    failed: dict[str, str] = {}
    for piece in pieces:
        if is_done(out, piece) or piece.name in ledger.cut:
            continue
        lacking = [name for name in piece.reads if not (out / name / MANIFEST).exists()]
        if lacking:
            failed[piece.name] = f"it reads {lacking[0]}, which is not there."
            continue
        room = (deadline - time.monotonic()) / 60
        # What cannot be stopped is not begun where it would not fit; but something is
        # done in every call, or none would ever end.
        if worked and (room <= 0 or (piece.stops == "never" and room < piece.minutes)):
            return None
        worked = True
        console.print(f"{piece.name}, about {piece.minutes:g} min", highlight=False)
        began = cpu_seconds()
        cut = False
        try:
            piece.run(
                Watch(piece, ledger.seconds.get(piece.name, 0.0), deadline, console)
            )
        except TimeIsUp as stop:
            cut = stop.cut
            if not cut:
                return None
        except AgentRMError as error:
            if error.retryable:
                raise
            failed[piece.name] = str(error)
            console.print(f"  not done: {error}", highlight=False)
        finally:
            ledger.add(piece, cpu_seconds() - began, cut=cut)
    return failed


def _skipped(settings: Settings) -> dict[str, str]:
    return {
        env: "its engine needs Java, and there is no `java` here."
        for env, plan in settings.environments.items()
        if plan.needs == "java" and shutil.which("java") is None
    }


def _chosen(
    pieces: list[Piece], only: list[str], skipped: Mapping[str, str]
) -> list[Piece]:
    groups = {piece.group for piece in pieces}
    for name in only:
        if name in skipped:
            msg = f"{name} is left out: {skipped[name]}"
            raise ConfigurationError(msg, remedy="Install what it needs.")
        if name not in groups:
            msg = f"There is nothing called {name!r} to do."
            raise ConfigurationError(msg, remedy=f"Give one of {sorted(groups)}.")
    return [piece for piece in pieces if not only or piece.group in only]


def _check_budgets(pieces: list[Piece]) -> None:
    for piece in pieces:
        if piece.stops == "never" and piece.minutes > LONGEST_CALL:
            msg = f"{piece.name} cannot be stopped and has {piece.minutes:g} minutes."
            raise ConfigurationError(
                msg, remedy=f"Give it {LONGEST_CALL:g} minutes or less."
            )
    total = sum(piece.minutes for piece in pieces)
    if total >= MOST_MINUTES:
        msg = f"The budgets sum to {total:.0f} minutes, at or above {MOST_MINUTES}."
        raise ConfigurationError(msg, remedy="Lower `minutes` in the settings.")


def _hold(settings: Settings, scale: float, out: Path) -> None:
    """Refuse to go on in a folder of other settings."""
    wanted = {"scale": scale, **settings.model_dump(mode="json", exclude={"tried"})}
    path = out / SETTINGS_FILE
    if path.exists():
        same_settings(read_json(path), wanted, where=out.name)
    else:
        write_json(path, wanted)


def _minutes_left(piece: Piece, out: Path, ledger: Ledger) -> float:
    if is_done(out, piece) or piece.name in ledger.cut:
        return 0.0
    return max(0.0, piece.minutes - ledger.seconds.get(piece.name, 0.0) / 60)


def _left(pieces: list[Piece], out: Path, ledger: Ledger) -> float:
    return sum(_minutes_left(piece, out, ledger) for piece in pieces)


def _show(pieces: list[Piece], out: Path, ledger: Ledger, console: Console) -> None:
    table = Table("piece", "budget, min", "spent, min", "state")
    for piece in pieces:
        spent = ledger.seconds.get(piece.name, 0.0) / 60
        state = "begun" if spent else ""
        if is_done(out, piece):
            state = "done"
        elif piece.name in ledger.cut:
            state = "cut"
        table.add_row(piece.name, f"{piece.minutes:g}", f"{spent:.1f}", state)
    total = sum(piece.minutes for piece in pieces)
    table.add_row("in all", f"{total:g}", "", f"{_left(pieces, out, ledger):.1f} left")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
