"""The card of a model or data set, written from the manifests of its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from langchain_agentrm._files import MANIFEST, file_digest, read_json, write_text
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.trajectory import SERIALIZER

__all__ = ["CARD_FILE", "CardConfig", "write_card"]

CARD_FILE = "README.md"

_NUMBERS = ("success", "ci_low", "ci_high", "episodes")
_LIMITS = {
    "policy": [
        "It imitates the episodes listed above. It was not trained to refuse anything.",
        "It knows the prompts it was trained with; another prompt is another task.",
    ],
    "reward": [
        "A score estimates an episode's final score, before the last action runs.",
        "Scores rank what competes in one task.",
        f"It reads trajectories as `{SERIALIZER}` renders them, and nothing else.",
        "It learned from one policy in the environments listed above.",
        "It is no general judge of text. A search that leans on it finds its errors.",
    ],
    "dataset": [
        "It says what its sources did; another policy would have done otherwise.",
    ],
}
_LOADING = {
    "policy": "from transformers import AutoModelForCausalLM\n\n"
    'policy = AutoModelForCausalLM.from_pretrained("{name}")',
    "reward": "from langchain_agentrm import AgentRM\n\n"
    'reward_model = AgentRM("{name}")',
    "dataset": "from datasets import load_dataset\n\n"
    'rows = load_dataset("{name}", split="train")',
}


@dataclass(frozen=True, slots=True)
class CardConfig:
    """What the manifests do not say.

    Attributes:
        name: Name on the hub.
        licence: Licence, as the hub writes it; None: left open, for the base model's
            and the data's licences decide, and nobody but the publisher can.
        figures: Rows with `method`, `split`, `episodes`, `success`, `ci_low` and
            `ci_high` in 0..1, as the evaluation writes them.
        limits: Further limits, one sentence each.
    """

    name: str
    licence: str | None = None
    figures: Sequence[Mapping[str, Any]] = ()
    limits: Sequence[str] = ()


def write_card(folder: Path, stages: Sequence[Path], config: CardConfig) -> Path:
    """Write `README.md` of a folder that a stage wrote.

    Args:
        folder: Folder of the model or the data.
        stages: Folders of the stages that led to it, in order.
        config: What the manifests do not say.

    Returns:
        The file.

    Raises:
        ConfigurationError: If a figure lacks its interval, or a stage its manifest.
    """
    last = _manifest(folder)
    card = folder / "agentrm.json"
    model = read_json(card) if card.exists() else {}
    kind = model.get("kind", "dataset")
    if kind not in _LOADING:
        msg = f"{card} says kind={kind!r}, known are {', '.join(_LOADING)}."
        raise ConfigurationError(msg, remedy="Give a folder that a stage wrote.")
    for row in config.figures:
        _check(row)
    earlier = [(path, _manifest(path)) for path in stages]
    parts = [
        _front_matter(kind, model, config),
        f"# {config.name}",
        _what(kind, model, last),
        _stages([*earlier, (folder, last)]),
        _inputs(last, earlier),
        _settings(last),
        _figures(config.figures),
        _section(
            "Loading", f"```python\n{_LOADING[kind].format(name=config.name)}\n```"
        ),
        _section("Limits", _list([*_LIMITS[kind], *config.limits])),
        _licence(config.licence),
    ]
    write_text(folder / CARD_FILE, "\n\n".join(p for p in parts if p) + "\n")
    return folder / CARD_FILE


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        msg = f"{folder} has no {MANIFEST}."
        raise ConfigurationError(msg, remedy="Give folders of finished stages.")
    found: dict[str, Any] = read_json(path)
    return found


def _check(row: Mapping[str, Any]) -> None:
    lacking = [k for k in ("method", "split", *_NUMBERS) if k not in row]
    if lacking:
        msg = f"The figure {dict(row)!r:.80} lacks {', '.join(lacking)}."
        raise ConfigurationError(
            msg, remedy="Give each figure its interval and its number of episodes."
        )
    if not row["ci_low"] <= row["success"] <= row["ci_high"]:
        msg = f"The figure {row['method']} on {row['split']} lies outside its interval."
        raise ConfigurationError(msg, remedy="Check success, ci_low and ci_high.")


def _front_matter(kind: str, model: Mapping[str, Any], config: CardConfig) -> str:
    from huggingface_hub import DatasetCardData, EvalResult, ModelCardData

    tags = ["agentrm", "agent", *(["reward-model"] if kind == "reward" else [])]
    data: ModelCardData | DatasetCardData
    if kind == "dataset":
        data = DatasetCardData(license=config.licence, tags=tags)
    else:
        results = [
            EvalResult(
                task_type="reinforcement-learning",
                dataset_type=str(row["split"]),
                dataset_name=str(row["split"]),
                metric_type="success",
                metric_name=f"success, {row['method']}",
                metric_value=row["success"],
            )
            for row in config.figures
        ]
        data = ModelCardData(
            base_model=_base_name(model),
            license=config.licence,
            library_name="transformers",
            pipeline_tag=_pipeline(kind),
            tags=tags,
            model_name=config.name if results else None,
            eval_results=results or None,
        )
    return f"---\n{data.to_yaml().strip()}\n---"


def _pipeline(kind: str) -> Literal["text-generation", "text-classification"]:
    return "text-generation" if kind == "policy" else "text-classification"


def _base_name(model: Mapping[str, Any]) -> str | None:
    """The base's name on the hub; None where it is a folder or a digest."""
    name = str(model.get("base") or "")
    return name if name.count("/") == 1 and not name.startswith((".", "/")) else None


def _what(kind: str, model: Mapping[str, Any], last: Mapping[str, Any]) -> str:
    names = {"policy": "A policy", "reward": "A reward model", "dataset": "Data"}
    base = _base_name(model)
    from_base = f" from `{base}`" if base else ""
    mode = f" ({model['mode']})" if model.get("mode") else ""
    version = last.get("packages", {}).get("langchain-agentrm", "")
    return (
        f"{names[kind]} made{from_base}{mode} by stage `{last['stage']}` of "
        f"langchain-agentrm {version}, on {str(last['date'])[:10]}.".replace("  ", " ")
    )


def _stages(stages: Sequence[tuple[Path, Mapping[str, Any]]]) -> str:
    lines = ["| stage | date | seed | counts |", "|---|---|---|---|"]
    for _, manifest in stages:
        counts = ", ".join(
            f"{name} {_short(value)}"
            for name, value in manifest["counts"].items()
            if not isinstance(value, list)
        )
        date, seed = str(manifest["date"])[:10], manifest["seed"]
        lines.append(f"| {manifest['stage']} | {date} | {seed} | {_cell(counts)} |")
    return _section("Data and stages", "\n".join(lines))


def _inputs(
    last: Mapping[str, Any], earlier: Sequence[tuple[Path, Mapping[str, Any]]]
) -> str:
    """Say of each input which of the stages shown made it, by its digest."""
    known: dict[str, str] = {}
    for path, manifest in earlier:
        known[file_digest(path / MANIFEST)] = f"stage `{manifest['stage']}`"
        for name, digest in manifest["outputs"].items():
            known[digest] = f"`{name}` of stage `{manifest['stage']}`"
    lines = [
        f"`{name}` is {known.get(digest, f'`{digest}`, not among the stages above')}"
        for name, digest in last["inputs"].items()
    ]
    return _section("Inputs", _list(lines)) if lines else ""


def _settings(last: Mapping[str, Any]) -> str:
    lines = ["| setting | value |", "|---|---|"]
    lines += [
        f"| {name} | {_cell(_short(value))} |"
        for name, value in last["config"].items()
        if name not in last["inputs"]
    ]
    return _section("Settings", "\n".join(lines))


def _figures(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return _section("Figures", "None were measured.")
    lines = [
        "Success in %, with 95 % intervals by bootstrap over tasks.",
        "",
        "| split | method | success | minus greedy | episodes |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        delta = ""
        if row.get("delta_low") is not None and row["method"] != "greedy":
            delta = _interval(row["delta"], row["delta_low"], row["delta_high"], "+")
        found = _interval(row["success"], row["ci_low"], row["ci_high"])
        lines.append(
            f"| {_cell(str(row['split']))} | {_cell(str(row['method']))} | {found} "
            f"| {delta} | {row['episodes']} |"
        )
    return _section("Figures", "\n".join(lines))


def _interval(value: float, low: float, high: float, sign: str = "") -> str:
    one, two, three = (f"{100 * x:{sign}.1f}" for x in (value, low, high))
    return f"{one} [{two}, {three}]"


def _licence(licence: str | None) -> str:
    if licence is not None:
        return ""
    return _section(
        "Licence",
        "Not stated yet. The licences of the base model and of the data bind whoever "
        "publishes this.",
    )


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}"


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{k} {_short(v)}" for k, v in value.items()) + ")"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
