"""A chat model that checks facts by script: it reads its prompts."""

from __future__ import annotations

import json
import re

from langchain_agentrm.testing.scripted import ScriptedPolicy
from langchain_agentrm.trajectory import Trajectory, Turn

FENCED = re.compile(r"<([a-z]+(?:-[0-9]+)*)-([0-9a-f]{8})>\n(.*?)\n</\1-\2>", re.DOTALL)
YEAR = re.compile(r"[0-9]{4}")
REQUEST = "When did the harbour bridge open?"


def fenced(messages):
    """Texts of a prompt by the name of their tags."""
    return {m[0]: m[2] for m in FENCED.findall(str(messages[-1].text))}


def kind(messages):
    text = str(messages[-1].text)
    marks = {
        "differences": '"differences"',
        "queries": '"queries"',
        "grades": '"answer_1"',
    }
    return next((k for k, mark in marks.items() if mark in text), "recall")


def by_year(messages, _rng=None):
    """Answers differ if their years do; evidence that names its year bears one out."""
    texts = fenced(messages)
    step = kind(messages)
    if step == "recall":
        return "The bridge opened in 1932."
    if step == "queries":
        return '{"queries": ["harbour bridge opening year"]}'
    years = [YEAR.findall(texts[f"answer-{i}"])[:1] for i in (1, 2)]
    if step == "differences":
        points = [] if years[0] == years[1] else ["In which year did the bridge open?"]
        return f"Let me see.\n```json\n{json.dumps({'differences': points})}\n```"
    seen = " ".join(text for name, text in texts.items() if "evidence" in name)
    one, two = (9 if y and y[0] in seen else 2 for y in years)
    return json.dumps({"reason": "By the year.", "answer_1": one, "answer_2": two})


def model(answers=by_year, **options):
    return ScriptedPolicy(answers=answers, **options)


def group(*answers, request=REQUEST, **fields):
    return [
        Trajectory((Turn("", a),), goal=request, group="g", **fields) for a in answers
    ]


def steps_of(policy):
    """What the model was asked, in order."""
    return [kind(request["messages"]) for request in policy.requests]
