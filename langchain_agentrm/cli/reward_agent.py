"""`agentrm reward-agent`: measure, choose, annotate, explain and serve."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from langchain_agentrm._files import write_json, write_jsonl
from langchain_agentrm.cli._agent_options import with_agent
from langchain_agentrm.cli._agent_parts import AgentWords, build_agent
from langchain_agentrm.cli._progress import watching
from langchain_agentrm.cli.serve_verifier import serve
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.types import Usage

if TYPE_CHECKING:
    from langchain_agentrm.evaluation.preference_bench import PairResult, SubsetRow
    from langchain_agentrm.evaluation.preference_data import PreferencePair

__all__ = ["app"]

app = typer.Typer(add_completion=False, no_args_is_help=True)

_THREADS = typer.Option(min=1, help="Requests in work at once; changes no result.")
_RESPONSES = typer.Argument(help="Rows {prompt, responses}, JSON or JSONL.")


class Split(StrEnum):
    """How a file is parted beside its subsets."""

    auto = "auto"
    none = "none"
    ifbench_halves = "ifbench-halves"


@app.callback()
def _group() -> None:
    """Rewards that join a preference with what can be verified."""


@app.command("bench")
@with_agent
def bench(
    words: AgentWords,
    data: Annotated[
        Path, typer.Argument(help="Pairs: THU-IFBench, RM-Bench or JudgeBench form.")
    ],
    threads: Annotated[int, _THREADS] = 1,
    split: Annotated[
        Split,
        typer.Option(
            help="ifbench-halves: the rows that rules were tuned on, and the rest; "
            "auto: where the subsets are THU-IFBench's."
        ),
    ] = Split.auto,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the table's rows here.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Write one line a pair here, as JSON.")
    ] = None,
) -> None:
    """Measure pairwise accuracy: 1 right, 0.5 undecided, 0 wrong."""
    from langchain_agentrm.evaluation.preference_bench import (
        SPLITS,
        compare_pairs,
        split_of,
        subset_rows,
    )
    from langchain_agentrm.evaluation.preference_data import load_pairs

    pairs = load_pairs(data)
    agent = build_agent(words)
    began = time.perf_counter()
    with watching() as watch:
        found = compare_pairs(
            agent, pairs, threads=threads, seed=words.seed, on_pair=watch("bench")
        )
    seconds = time.perf_counter() - began
    side = split_of(pairs) if split is Split.auto else SPLITS.get(split.value)
    verifiers = [v.name for v in agent.verifiers]
    rows = subset_rows(pairs, found, split=side, verifiers=verifiers)
    if json_file is not None:
        write_json(json_file, rows)
    if results is not None:
        write_jsonl(results, (_pair_row(p, found[p.key]) for p in pairs))
    _show_bench(rows)
    _show_cost(sum((r.usage for r in found.values()), Usage()), seconds)
    errors = [r.error or "a signal failed" for r in found.values() if r.failed]
    _tell_failures(errors, len(pairs), "pairs")


def _pair_row(pair: PreferencePair, result: PairResult) -> dict[str, Any]:
    return {
        "id": pair.id,
        "row": pair.row,
        "subset": pair.subset,
        "outcome": result.outcome,
        "score_chosen": result.score_chosen,
        "score_rejected": result.score_rejected,
        "signals_chosen": dict(result.signals_chosen),
        "signals_rejected": dict(result.signals_rejected),
        "error": result.error,
        "failed": result.failed,
    }


def _show_bench(rows: list[SubsetRow]) -> None:
    names = ("subset", "n", "decided", "accuracy", "95 % CI", "of decided")
    table = _table(*names, "checked", "failed")
    for row in rows:
        of_decided = row["accuracy_decided"]
        table.add_row(
            row["subset"],
            str(row["n"]),
            f"{row['decided']:.1%}",
            f"{row['accuracy']:.1%}",
            _interval(row["ci_low"], row["ci_high"]),
            "none" if of_decided is None else f"{of_decided:.1%}",
            f"{row['checked']:.1%}",
            str(row["failed"]),
        )
    Console().print(table)


@app.command("best-of-n")
@with_agent
def best_of_n(
    words: AgentWords,
    responses: Annotated[Path, _RESPONSES],
    ns: Annotated[
        list[int] | None, typer.Option("-n", min=1, help="Answers to choose among.")
    ] = None,
    more: Annotated[
        list[int] | None, typer.Argument(metavar="[N...]", help="More n.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for results_best_of_N.jsonl, the answers chosen."),
    ] = None,
    threads: Annotated[int, _THREADS] = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the table's rows here.")
    ] = None,
) -> None:
    """Choose the best of the first n answers, for several n.

    All n are taken from one draw, which is scored once. Where rows say what each answer
    is worth (`correct`), a table shows what choosing is worth.
    """
    from langchain_agentrm.evaluation.best_responses import (
        best_rows,
        chosen_rows,
        score_responses,
    )
    from langchain_agentrm.evaluation.responses import load_responses

    sizes = sorted({*(ns or ()), *(more or ())})
    if not sizes:
        msg = "No n is given."
        raise ConfigurationError(msg, remedy="Give for instance -n 2 4 8 16 32.")
    sets = load_responses(responses)
    agent = build_agent(words)
    began = time.perf_counter()
    scored = []
    with watching() as watch:
        report = watch("score")
        for one in score_responses(agent, sets, largest=sizes[-1], threads=threads):
            scored.append(one)
            report(len(scored), len(sets))
    seconds = time.perf_counter() - began
    for n in sizes if out is not None else ():
        path = Path(out or ".") / f"results_best_of_{n}.jsonl"
        write_jsonl(path, chosen_rows(scored, n, resolution=agent.resolution))
    rows = best_rows(scored, sizes, resolution=agent.resolution)
    if json_file is not None:
        write_json(json_file, rows)
    if rows:
        names = ("n", "prompts", "accuracy", "95 % CI", "random", "best")
        table = _table(*names)
        for row in rows:
            table.add_row(
                str(row["n"]),
                str(row["prompts"]),
                f"{row['accuracy']:.1%}",
                _interval(row["ci_low"], row["ci_high"]),
                f"{row['average']:.1%}",
                f"{row['best']:.1%}",
            )
        Console().print(table)
    _show_cost(sum((s.usage for s in scored), Usage()), seconds)
    _tell_failures([s.error for s in scored if s.error], len(scored), "prompts")


@app.command("annotate")
@with_agent
def annotate(
    words: AgentWords,
    responses: Annotated[Path, _RESPONSES],
    out: Annotated[Path, typer.Option(help="Where to write the pairs, as JSONL.")],
    margin: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Least difference of a pair: of the scores; with --judger "
            "lexicographic, of the signal that decides.",
        ),
    ] = 0.0,
    pairs_per_prompt: Annotated[
        int, typer.Option(min=1, help="Most pairs of one prompt.")
    ] = 1,
    conversational: Annotated[
        bool,
        typer.Option(
            "--conversational", help="Write messages where prompts are texts, too."
        ),
    ] = False,
    skip_failed: Annotated[
        bool,
        typer.Option("--skip-failed", help="Write the file although prompts failed."),
    ] = False,
    threads: Annotated[int, _THREADS] = 1,
) -> None:
    """Make preference pairs for TRL; run it again after a stop, and it goes on.

    The best answer is chosen and the worst rejected; no pair is made below the margin,
    or where a verified signal says the opposite.
    """
    from langchain_agentrm.evaluation.annotate import PairRule, annotate_file
    from langchain_agentrm.reward_agent.judgers import PREFERENCE

    agent = build_agent(words)
    verified = tuple(v.name for v in agent.verifiers)
    rule = PairRule(
        margin=margin,
        by_signal=words.judger == "lexicographic" and not words.upstream,
        pairs_per_prompt=pairs_per_prompt,
        signals=_in_order(
            (*verified, *([PREFERENCE] if agent.preference else [])), words.order
        ),
        verified=verified,
        conversational=conversational,
    )
    began = time.perf_counter()
    with watching() as watch:
        done = annotate_file(
            agent,
            responses,
            out,
            rule,
            settings=words.settings(),
            threads=threads,
            skip_failed=skip_failed,
            on_progress=watch("annotate"),
        )
    dropped = ", ".join(f"{n} {why}" for why, n in sorted(done.dropped.items()))
    Console().print(
        f"{out}: {done.pairs} pairs of {done.prompts} prompts, {done.resumed} from an "
        f"earlier run; left out: {dropped or 'nothing'}",
        highlight=False,
        soft_wrap=True,
    )
    _show_cost(done.usage, time.perf_counter() - began)
    if done.failed and not skip_failed:
        msg = f"{done.failed} prompts failed; first error: {done.first_error}"
        raise ConfigurationError(
            msg, remedy="Run it again to ask for them, or add --skip-failed."
        )


def _in_order(names: tuple[str, ...], first: tuple[str, ...]) -> tuple[str, ...]:
    """Signals in the order in which the lexicographic judger goes by them."""
    return (*first, *(name for name in names if name not in first))


@app.command("explain")
@with_agent
def explain(
    words: AgentWords,
    request: Annotated[str, typer.Option(help="The request.")],
    answer: Annotated[list[str], typer.Option(help="An answer; give several.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell how answers to one request are scored, check by check."""
    from langchain_agentrm.evaluation.responses import one_set, response_trajectories

    given = one_set(request, answer)
    agent = build_agent(words)
    told = agent.explain(response_trajectories(given, answer))
    if as_json:
        rows = [explanation.as_dict() for explanation in told]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    console = Console(soft_wrap=True)
    for explanation in told:
        console.print(explanation)


app.command("serve")(with_agent(serve))


def _table(*names: str) -> Table:
    """Make a table whose eight columns fit a terminal of 80 characters."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in names:
        table.add_column(name, no_wrap=True)
    return table


def _interval(low: float, high: float) -> str:
    return f"{100 * low:.1f} - {100 * high:.1f}"


def _show_cost(usage: Usage, seconds: float) -> None:
    Console().print(
        f"{usage.requests} requests, {usage.input_tokens} tokens read, "
        f"{usage.output_tokens} written, {seconds:.2f} s",
        highlight=False,
    )


def _tell_failures(errors: list[str], asked: int, what: str) -> None:
    """Say on standard error what failed; all of it is a failed command."""
    if not errors:
        return
    text = f"{len(errors)} of {asked} {what} failed; the first: {errors[0]}"
    if len(errors) == asked:
        raise ConfigurationError(
            text, remedy="Mend the part that failed and run it again."
        )
    typer.echo(text, err=True)
