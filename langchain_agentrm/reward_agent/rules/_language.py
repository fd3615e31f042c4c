"""Which language a text is in, by `langdetect`, an optional dependency."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from threading import Lock
from typing import Any

__all__ = ["NO_DETECTOR", "UndetectableError", "language_of"]

NO_DETECTOR = (
    "langdetect is not installed; install it with "
    "`pip install 'langchain-agentrm[ifeval]'`"
)
_SEED = 0
_loading = Lock()


class UndetectableError(ValueError):
    """A text, such as one of digits alone, that shows no language."""


@cache
def _factory() -> Any:
    detection: Any = import_module("langdetect.detector_factory")
    factory = detection.DetectorFactory()
    # The detector samples. Its class has a seed for all the process, which others may
    # have set; one factory of our own leaves that alone.
    factory.set_seed(_SEED)
    factory.load_profile(detection.PROFILES_DIRECTORY)
    return factory


def language_of(text: str) -> str:
    """Detect the language of a text, the same for the same text.

    Args:
        text: The text.

    Returns:
        An ISO 639-1 code, such as `"en"` or `"zh-cn"`.

    Raises:
        ImportError: If langdetect is not installed.
        UndetectableError: If the text shows no language.
    """
    with _loading:
        factory = _factory()
    detector = factory.create()
    detector.append(text)
    exceptions: Any = import_module("langdetect.lang_detect_exception")
    try:
        return str(detector.detect())
    except exceptions.LangDetectException as error:
        raise UndetectableError(str(error)) from error
