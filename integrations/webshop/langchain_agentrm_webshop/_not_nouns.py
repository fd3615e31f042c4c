"""Words that the rule tagger takes for no nouns: function words and common adjectives.

Nothing else was tuned to a tagger's answers.
"""

from __future__ import annotations

__all__ = ["NOT_NOUNS"]

_WORDS = """
a about all also an and any are as at be both but by can do each every for from has have
how if in into is it its just made may more most no not of on only or other our out over
per so some such than that the their them then there these they this those to too under
up upon used using very via was we when which who will with within without you your

one two three four five six seven eight nine ten first second third

big breathable cheap clean comfortable cool cute deep different double dry easy extra
fine fresh great good hard heavy hot huge ideal individually large little long low
lovely medium mini multiple narrow new nice old perfect portable pretty pure rich short
single slim small soft strong super suitable thick thin tight tiny various warm
waterproof wet wide
"""
NOT_NOUNS = frozenset(_WORDS.split())
