"""A reward model made ready for vLLM: checked, and converted where that is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_agentrm._files import read_json
from langchain_agentrm.reward_models._vllm.heads import CPU_WIDTHS, head_width, widen

if TYPE_CHECKING:
    from langchain_agentrm.reward_models.layout import Layout

__all__ = ["Servable", "servable"]


@dataclass(frozen=True, slots=True)
class Servable:
    """What vLLM is to read.

    Attributes:
        folder: The checkpoint, in a form that vLLM knows.
        tokenizer: Folder of its tokenizer.
        pooler: vLLM's pooler settings, so that it answers raw, calibrated values.
        layout: What was found in the original.
        notes: What was changed, in sentences.
    """

    folder: Path
    tokenizer: Path
    pooler: Mapping[str, Any]
    layout: Layout
    notes: tuple[str, ...] = ()


def servable(
    source: str | Path,
    out: Path,
    *,
    cpu: bool,
    head: str | Path | None = None,
    tokenizer: str | Path | None = None,
    base: str | Path | None = None,
) -> Servable:
    """Check a reward model and write what vLLM can read of it.

    vLLM starts without complaint on a plain language model and answers from memory that
    nobody wrote to: so the head is checked here, before.

    Args:
        source: Checkpoint folder, or a hub id.
        out: Folder for what is converted; stays absent where nothing is.
        cpu: Whether vLLM's CPU build is to run it.
        head: File of a head that the checkpoint lacks.
        tokenizer: Folder or hub id of a tokenizer that it lacks.
        base: Base model of an adapter.

    Returns:
        The folder, and how its answers are calibrated.

    Raises:
        CheckpointError: If a part is missing, or vLLM cannot serve it in any form.
    """
    from langchain_agentrm.reward_models.layout import read_layout

    layout = read_layout(source, head=head, tokenizer=tokenizer, base=base)
    folder, pooler, notes = layout.body, dict(layout.pooling), []
    if not layout.native:
        from langchain_agentrm.reward_models.convert import convert

        folder = convert(layout, out / "converted")
        pooler = dict(read_layout(folder).pooling)
        notes.append(f"The {layout.kind.value} was converted to {folder}.")
    width = head_width(read_json(folder / "config.json"))
    if cpu and width not in CPU_WIDTHS:
        folder = widen(folder, out / "widened")
        notes.append(
            f"vLLM's CPU build has no attention of width {width}; the heads were "
            f"padded with zeros in {folder}."
        )
    return Servable(folder, layout.tokenizer, pooler, layout, tuple(notes))
