"""Answers made to keep or to break each of IFEval's instructions.

Answers of chat models seldom come near to what an instruction asks for, so that the
verifiers would mostly be held to each other where both say no. These come near: one too
few, as many as asked for, one too many, and signs that look alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

__all__ = ["SAMPLE_ARGUMENTS", "SAMPLE_TEXTS", "constructed"]

Arguments = Mapping[str, Any]
Answers = Sequence[str]

_BASES = 20

SAMPLE_TEXTS = (
    """The harbour was quiet, and gulls slept on the roofs. A boat came in.

Nobody saw it. *Later* they asked: who was that?""",
    """Baking needs patience.

* flour
* water
- salt

Knead it. Wait [hours]. Bake it! **Done** well. P.S. Share it.""",
    """1. Walk.
2. Rest, then walk again.

Dr. Lee says it helps e.g. the knees. It is FREE.""",
)
"""Texts of our own, for a fixture that the repository may hold."""

SAMPLE_ARGUMENTS: Mapping[str, Arguments] = {
    "punctuation:no_comma": {},
    "combination:repeat_prompt": {"prompt_to_repeat": "Tell me about bread."},
    "startend:quotation": {},
    "change_case:english_capital": {},
    "change_case:english_lowercase": {},
    "detectable_format:title": {},
    "detectable_format:json_format": {},
    "language:response_language": {"language": "fr"},
    "combination:two_responses": {},
    "detectable_format:constrained_response": {},
    "startend:end_checker": {"end_phrase": "That is all."},
    "detectable_content:postscript": {"postscript_marker": "P.P.S"},
    "detectable_format:multiple_sections": {
        "section_spliter": "Part",
        "num_sections": 2,
    },
    "length_constraints:number_paragraphs": {"num_paragraphs": 2},
    "length_constraints:nth_paragraph_first_word": {
        "num_paragraphs": 3,
        "nth_paragraph": 2,
        "first_word": "bread",
    },
    "keywords:existence": {"keywords": ["bread", "oven"]},
    "keywords:forbidden_words": {"forbidden_words": ["bread", "oven"]},
    "keywords:frequency": {"keyword": "bread", "frequency": 2, "relation": "at least"},
    "keywords:letter_frequency": {
        "letter": "z",
        "let_frequency": 3,
        "let_relation": "less than",
    },
    "change_case:capital_word_frequency": {
        "capital_frequency": 3,
        "capital_relation": "at least",
    },
    "detectable_format:number_bullet_lists": {"num_bullets": 3},
    "detectable_format:number_highlighted_sections": {"num_highlights": 2},
    "detectable_content:number_placeholders": {"num_placeholders": 2},
    "length_constraints:number_words": {"num_words": 24, "relation": "less than"},
    "length_constraints:number_sentences": {"num_sentences": 4, "relation": "at least"},
}
"""Arguments of our own for each instruction id."""

_FOREIGN = (
    "Bonjour, comment allez-vous aujourd'hui mes amis?",
    "नमस्ते, आप कैसे हैं आज?",
    "ciao come stai oggi amico mio",
    "123",
    "Это русский текст о погоде",  # noqa: RUF001 - Russian
    "این یک متن فارسی است",
    "今日は良い天気ですね",
    "안녕하세요 오늘 날씨가 좋네요",
    "Guten Tag, wie geht es Ihnen heute",
    "இது தமிழ் உரை",
    "ನಮಸ್ಕಾರ ಹೇಗಿದ್ದೀರಿ",
    "નમસ્તે તમે કેમ છો",
    "ਸਤ ਸ੍ਰੀ ਅਕਾਲ ਤੁਸੀਂ",
    "Hoje o tempo está muito bom",
    "Xin chào các bạn hôm nay",
    "Habari za leo rafiki yangu",
    "สวัสดีครับวันนี้",
    "తెలుగు లో రాయండి",
    "اردو میں لکھیں یہ ایک",
    "আমি বাংলায় লিখি",
    "Днес времето е хубаво и слънчево",  # noqa: RUF001 - Bulgarian
    "Dzisiaj jest ładna pogoda",
    "नेपाली भाषामा लेख्नुहोस् मेरो",
    "मराठी भाषेत लिहा आणि वाचा",
    "Hyvää päivää kaikille ystäville",
    "Das ist ein Test",
)


def constructed(name: str, arguments: Arguments, answers: Answers) -> list[str]:
    """Make answers that come near to what an instruction asks for.

    Args:
        name: Instruction id.
        arguments: Its arguments.
        answers: Answers to build on; the first 20 are used.

    Returns:
        The answers, in an order that depends on nothing else.

    Raises:
        KeyError: If the id is none of IFEval's, or an argument is missing.
    """
    return _MAKERS[name](arguments, answers[:_BASES])


def _around(n: int) -> tuple[int, int, int]:
    return (n - 1, n, n + 1)


def _no_comma(_: Arguments, bases: Answers) -> list[str]:
    return [
        *(x.replace(",", "") for x in bases),
        *(x.replace(",", "\uff0c") for x in bases),
    ]


def _repeat(a: Arguments, bases: Answers) -> list[str]:
    prompt = a["prompt_to_repeat"]
    heads = (prompt + "\n\n", prompt.upper(), "  " + prompt, f'"{prompt}"', prompt[:-5])
    return [head + x for head in heads for x in bases]


def _quotation(_: Arguments, bases: Answers) -> list[str]:
    wraps = (('"', '"'), (' "', '" \n'), ("\u201c", "\u201d"), ('"', ""))
    wrapped = [before + x + after for before, after in wraps for x in bases]
    return [*wrapped, '"', '""', "'"]


def _case(_: Arguments, bases: Answers) -> list[str]:
    return [
        *(x.lower() for x in bases),
        *(x.upper() for x in bases),
        "12345 !",
        "hola amigos como estas hoy",
        "HOLA AMIGOS COMO ESTAS HOY MI AMIGO",
        "...",
    ]


def _title(_: Arguments, bases: Answers) -> list[str]:
    return [
        *("<<a title>>\n" + x for x in bases),
        *("<<>>\n" + x for x in bases),
        "<< >>",
        "<<a>b>>",
        "<<<<x>>>>",
        "<<a\nb>>",
    ]


def _json(_: Arguments, bases: Answers) -> list[str]:
    del bases
    tags = ("```json", "```", "```Json", "```JSON", "``` json", "```JsoN")
    values = ('{"a": [1, 2]}', "[1]", "1", "{}", '"x"', "null", "NaN", "{a: 1}", "[1,]")
    fenced = [f"{tag}\n{value}\n```" for tag in tags for value in values]
    return [*values, *fenced, '```json\n{"a": 1}\n``` done', "['a']"]


def _language(_: Arguments, bases: Answers) -> list[str]:
    del bases
    return list(_FOREIGN)


def _two_responses(_: Arguments, bases: Answers) -> list[str]:
    mark = "******"
    return [
        f"a{mark}b",
        f"a{mark}a",
        f"{mark}a{mark}b{mark}",
        f"a{mark}b{mark}c",
        f"a{mark}{mark}b",
        f"a{mark}",
        "a *** b",
        f"  {mark}x{mark} y ",
        *(f"{x}\n{mark}\n{y}" for x, y in pairwise(bases)),
    ]


def _constrained(_: Arguments, bases: Answers) -> list[str]:
    del bases
    return [
        "My answer is yes.",
        " My answer is no. Because",
        "my answer is maybe.",
        "My answer is maybe",
        '"My answer is maybe."',
    ]


def _end(a: Arguments, bases: Answers) -> list[str]:
    end = a["end_phrase"]
    tails = (" " + end, f'\n"{end.upper()}"', end + ".", f"**{end}**")
    return [x + tail for tail in tails for x in bases]


def _postscript(a: Arguments, bases: Answers) -> list[str]:
    marker = a["postscript_marker"]
    alike = ("P.S.", "P. S.", "PS", "P.P.S.", "P.P.S", "P. P. S", "PPS", "p.s. x")
    marks = (marker, marker.lower(), *alike)
    return [f"{x}\n\n{mark} more" for x in bases[:6] for mark in marks]


def _sections(a: Arguments, bases: Answers) -> list[str]:
    name, n = a["section_spliter"].strip(), a["num_sections"]
    numbers = range(1, n + 1)
    real = [
        "\n".join(f"{name} {i}\n{x}" for i in range(1, some + 1))
        for x in bases[:8]
        for some in _around(n)
    ]
    return [
        *real,
        "\n".join(f"**{name.upper()} {i}:**" for i in numbers),
        "\n".join(f"{name.lower()}{i}" for i in numbers),
        " ".join(f"{name}{i}" for i in numbers),
        "\n".join(f"# {name}\n{i}" for i in numbers),
    ]


def _paragraphs(a: Arguments, bases: Answers) -> list[str]:
    n = a["num_paragraphs"]
    return [
        *("\n\n***\n\n".join(bases[:some]) for some in _around(n) if some),
        "*** a " * n,
        "a *** b *** *** c",
        "***".join("ab" * n),
        "a\n******\nb",
        "***\n" + "\n***\n".join(bases[:n]) + "\n***",
        "* * *".join(bases[:n]),
    ]


def _first_word(a: Arguments, bases: Answers) -> list[str]:
    n, nth, word = a["num_paragraphs"], a["nth_paragraph"], a["first_word"]
    forms = ("{} x", "{}, x", '"{}" x', "'{}' x", "{}! x", "{}-y x", "**{}** x")
    out = []
    for form in forms:
        for written in (word, word.upper(), word.capitalize()):
            for gap in ("\n\n", "\n\n\n\n", "\n"):
                for some in _around(n):
                    blocks = [
                        form.format(written) if i == nth else x.replace("\n\n", " ")
                        for i, x in enumerate(bases[1 : some + 1], 1)
                    ]
                    out.append(gap.join(blocks))
    return out


def _existence(a: Arguments, bases: Answers) -> list[str]:
    words = a["keywords"]
    return [
        *(f"{x} {' '.join(words)}" for x in bases),
        " ".join(f"x{word.upper()}y" for word in words),
        " ".join(words[1:]),
    ]


def _forbidden(a: Arguments, bases: Answers) -> list[str]:
    words = a["forbidden_words"]
    forms: tuple[Callable[[str], str], ...] = (
        lambda word: word,
        lambda word: word + "s",
        lambda word: word.upper() + ".",
    )
    said = [f"{x} {form(word)}" for form in forms for x in bases[:5] for word in words]
    return [*said, *("x-" + word for word in words)]


def _frequency(a: Arguments, bases: Answers) -> list[str]:
    del bases
    word, n = a["keyword"], a["frequency"]
    return [
        *(" ".join([word] * some) for some in range(n + 3)),
        *(word.upper() * some or "a" for some in range(n + 3)),
        f"{word}s, " * n,
    ]


def _letters(a: Arguments, bases: Answers) -> list[str]:
    del bases
    letter, n = a["letter"], a["let_frequency"]
    return [
        *(letter * some + "." for some in range(n + 3)),
        *(letter.upper() * some + "?" for some in range(n + 3)),
    ]


def _capital_words(a: Arguments, bases: Answers) -> list[str]:
    n = a["capital_frequency"]
    marked = "CAN'T U.S. AI/ML **BOLD** [NAME] A-B X, Y. Z! "
    said = '"NO" said ME. I am OK... A1 B2B 3D 7 '
    return [
        *("AB " * some + "x" for some in range(n + 3)),
        *(marked * some + "b" for some in range(4)),
        *(x.upper() for x in bases),
        *(said * some + "." for some in range(n + 1)),
    ]


def _bullets(a: Arguments, bases: Answers) -> list[str]:
    del bases
    n = a["num_bullets"]
    marks = ("* ", "- ", "  * ", "+ ", "*", "-", "** ", "\u2022 ", "1. ")
    lists = [
        "\n".join(f"{mark}item {i}" for i in range(some)) or "x"
        for mark in marks
        for some in _around(n)
    ]
    return [*lists, "---\n" * n, "* a\n---\n- b"]


def _highlights(a: Arguments, bases: Answers) -> list[str]:
    del bases
    n = a["num_highlights"]
    lists = [
        " ".join(f"{mark}h{i}{mark}" for i in range(some)) or "x"
        for mark in ("*", "**", "***", "_")
        for some in _around(n)
    ]
    return [*lists, "** ** " * n, "* a\n* b\n" * n, "**a*b** " * n]


def _placeholders(a: Arguments, bases: Answers) -> list[str]:
    del bases
    n = a["num_placeholders"]
    near = [form * n for form in ("[] ", "[a\nb] ", "[[a]] ", "[a](b) ")]
    return [*("[a] " * some + "x" for some in range(n + 2)), *near]


def _words(a: Arguments, bases: Answers) -> list[str]:
    del bases
    n = a["num_words"]
    halves = [form * (n // 2) for form in ("it's ", "a-b ")]
    return [*("word " * some for some in _around(n)), *halves]


def _sentences(a: Arguments, bases: Answers) -> list[str]:
    del bases
    n = a["num_sentences"]
    return [
        *("It is so. " * some for some in _around(n)),
        *("Dr. Who ran e.g. fast! " * some + "Yes" for some in _around(n)),
    ]


_MAKERS: Mapping[str, Callable[[Arguments, Answers], list[str]]] = {
    "change_case:capital_word_frequency": _capital_words,
    "change_case:english_capital": _case,
    "change_case:english_lowercase": _case,
    "combination:repeat_prompt": _repeat,
    "combination:two_responses": _two_responses,
    "detectable_content:number_placeholders": _placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:constrained_response": _constrained,
    "detectable_format:json_format": _json,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:title": _title,
    "keywords:existence": _existence,
    "keywords:forbidden_words": _forbidden,
    "keywords:frequency": _frequency,
    "keywords:letter_frequency": _letters,
    "language:response_language": _language,
    "length_constraints:nth_paragraph_first_word": _first_word,
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:number_sentences": _sentences,
    "length_constraints:number_words": _words,
    "punctuation:no_comma": _no_comma,
    "startend:end_checker": _end,
    "startend:quotation": _quotation,
}
