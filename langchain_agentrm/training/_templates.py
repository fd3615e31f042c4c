"""Chat templates that mark what the loss is taken on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from langchain_agentrm.errors import ConfigurationError

__all__ = ["SHIPPED", "TrainingTemplate", "choose_template", "pinned", "plain"]

SHIPPED = ("llama3", "llama3_1")
"""Names of the templates that come with the package."""

DATE = "26 Jul 2024"
"""The day that Llama 3.1's template names where nobody gives it one."""

_MARK = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
_PROBES: tuple[list[dict[str, str]], ...] = (
    [
        {"role": "user", "content": " a "},
        {"role": "assistant", "content": "b\n"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "d"},
    ],
    [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
    ],
)


@dataclass(frozen=True, slots=True)
class TrainingTemplate:
    """A template with generation markers.

    Attributes:
        name: Where it comes from: a shipped name, a file's name, `own` or `trl`.
        text: Jinja source.
    """

    name: str
    text: str


def shipped(name: str) -> TrainingTemplate:
    """Read a template of the package."""
    source = files("langchain_agentrm.training") / "templates" / f"{name}.jinja"
    return TrainingTemplate(name, source.read_text(encoding="utf-8"))


def choose_template(tokenizer: Any, wanted: str | None) -> TrainingTemplate:
    """Find the template that a model is trained with.

    Without a wish it is one that renders exactly what the model's own renders: a
    shipped one, the model's own if it has markers, or one that TRL knows.

    Args:
        tokenizer: The model's tokenizer.
        wanted: A shipped name, or a file; None: chosen as said.

    Returns:
        The template.

    Raises:
        ConfigurationError: If there is none, or it marks nothing.
    """
    found = _matching(tokenizer) if wanted is None else _named(wanted)
    if not _MARK.search(found.text):
        msg = f"The template {found.name!r} has no generation markers."
        raise ConfigurationError(
            msg, remedy="Put {% generation %} around what the assistant says."
        )
    return found


def same_rendering(tokenizer: Any, one: str, other: str) -> bool:
    """Tell whether two templates write the same text, with and without a system."""
    return all(
        _render(tokenizer, probe, one) == _render(tokenizer, probe, other)
        for probe in _PROBES
    )


def plain(template: str) -> str:
    """Leave the generation markers out, so that any server can read the template."""
    return _MARK.sub("", template)


def pinned(template: str) -> str:
    """Fix the day in a template that asks the clock, as Llama 3.2's does.

    A policy would otherwise read another prompt each day, and none as in training.
    """
    if "strftime_now" not in template or "date_string" not in template:
        return template
    day = f'{{%- if date_string is not defined %}}{{%- set date_string = "{DATE}" %}}'
    return day + "{%- endif %}" + template


def _named(wanted: str) -> TrainingTemplate:
    if wanted in SHIPPED:
        return shipped(wanted)
    path = Path(wanted)
    if not path.is_file():
        msg = f"The template {wanted!r} is no file, and none of {', '.join(SHIPPED)}."
        raise ConfigurationError(msg, remedy="Give one of these names, or a file.")
    return TrainingTemplate(path.name, path.read_text(encoding="utf-8"))


def _matching(tokenizer: Any) -> TrainingTemplate:
    own = tokenizer.chat_template
    if not isinstance(own, str):
        msg = "The tokenizer has no chat template, or several."
        raise ConfigurationError(
            msg, remedy=f"Give `template`: a file, or one of {', '.join(SHIPPED)}."
        )
    for name in SHIPPED:
        template = shipped(name)
        if same_rendering(tokenizer, template.text, own):
            return template
    if _MARK.search(own):
        return TrainingTemplate("own", own)
    from trl.chat_template_utils import get_training_chat_template

    try:
        known = get_training_chat_template(tokenizer)
    except ValueError as error:
        msg = "No training template is known for the tokenizer's chat template."
        raise ConfigurationError(
            msg,
            remedy="Write a copy with {% generation %} markers around what the "
            "assistant says, and give its file as `template`.",
        ) from error
    # TRL answers None where nothing has to be changed.
    return TrainingTemplate("trl", own if known is None else known)


def _render(tokenizer: Any, messages: list[dict[str, str]], template: str) -> str:
    from jinja2 import TemplateError

    try:
        text = tokenizer.apply_chat_template(
            messages, chat_template=template, tokenize=False, date_string=DATE
        )
    except TemplateError as error:
        # Some templates refuse a system message; then both must refuse.
        return f"refused: {error}"
    return str(text)
