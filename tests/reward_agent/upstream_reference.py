"""The rules of the public method once more, and models that answer from a script."""

from __future__ import annotations

import ast
import random
import re

from langchain_core.messages import SystemMessage

from langchain_agentrm.testing.scripted import ScriptedPolicy

CODES = [
    "def check_following(response):\n    return len(response.split()) > 3",
    "```python\ndef check_following(response):\n    return 'red' in response\n```",
    "def check_following(response):\n    return 'False'",
    "def check_following(response):\n    return []",
    "def check_following(response):\n    return 1 / int('sky' not in response) > 0",
    """import re, string
def check_following(response):
    return bool(re.search('[aeiou]{2}', response)) or string.digits in response
""",
    "def check_following(response):\n    raise ValueError('no')",
    "check_following = 3",
    "pass",
    "def check_following(response)\n    return True",
]
FAULTS = (
    AssertionError,
    NameError,
    SyntaxError,
    TypeError,
    ValueError,
    ArithmeticError,
)
REPLIES = {
    "plan": ["[[A]]", "[[B]]", "both [[A]] and [[B]]", "neither", "[[C]]", "A, B"],
    "difference": ["['year']", "[]", "They differ in the year."],
    "queries": [
        "['when was it?']",
        "Here: ['when?', 'where?'] ok",
        "[]",
        "when was it",
        "['a'], ['b']",
        "[broken",
    ],
    "evidence": ["In 1889.", ""],
    "grades": [
        "Answer A: [[7]]\nAnswer B: <<7>>",
        "Answer A: [[9]]\nAnswer B: <<2>>",
        "Answer A: [[3]]\nAnswer B: <<8>>, so not <<1>>",
        "Answer A: [[8]]",
        "Answer B: <<4>>",
        "I cannot tell.",
        "[[100]] <<0>>",
        "[[7.5]] << 6 >>",
    ],
    "constraints": [
        "",
        "WordChecker: many words",
        "WordChecker: many\nRedChecker: say red\nnothing\nWordChecker: many",
        "\n".join(f"Number{i}Checker: rule {i}" for i in range(11)),
        "LengthRule: none of these lines counts",
    ],
    "verifiable": ["yes", "yes", "Yes", "YES", "no", "Yes.", " yes"],
    "code": CODES,
    "repair": CODES,
    "judge": ["[[A]]", "[[B]]", "[[B]] or [[A]]", "neither"],
}


class Oracle:
    """What the models answer to one question, drawn once a case."""

    def __init__(self, seed):
        self.seed = seed

    def __call__(self, step, *key):
        draw = random.Random(f"{self.seed}/{step}/{key!r}")
        return draw.choice(REPLIES[step])

    def model(self):
        """Play the model: read what is asked off the prompt."""

        def answer(messages, _rng):
            (message,) = messages
            text = message.text
            step = re.match(r"Step: (\w+)\n", text)[1]
            assert isinstance(message, SystemMessage) == (step == "constraints")
            return self(step, *KEYS[step](text))

        return ScriptedPolicy(answers=answer)


def between(start, end):
    return lambda text: text.split(start, 1)[1].split(end, 1)[0]


def pair_in(text):
    return re.search(r"Answer A: (.*)\nAnswer B: (.*)\n", text).groups()


KEYS = {
    "plan": lambda t: [between("[Request]\n", "\n\n[Checks]")(t)],
    "difference": pair_in,
    "queries": lambda t: [between("[Contradictions]\n", "\n\nWrite")(t)],
    "evidence": lambda t: [t.split("\n\n", 1)[1]],
    "grades": lambda t: [between("[Evidence]\n", "\n\n[Request]")(t), *pair_in(t)],
    "constraints": lambda t: [t.rsplit("Request:\n", 1)[1]],
    "verifiable": lambda t: [between("Constraint:\n", "\n\nCan")(t)],
    "code": lambda t: [between("[Constraint]\n", "\n\nNo input")(t)],
    "repair": lambda t: [between("\n\n", "\n\nWrite the corrected")(t)],
    "judge": lambda t: [
        between("[Factuality]\n", "\n\n[Constraints]")(t),
        between("[Constraints]\n", "\n\n[Preference]")(t),
        between("[Preference]\n", "\n\nFirst")(t),
    ],
}


class Reference:
    """The public method's rules, written down from its description once more."""

    def __init__(self, oracle, preference, kind):
        self.oracle = oracle
        self.preference = preference
        self.kind = kind

    def winner(self, request, answers, pairs):
        plan = self.oracle("plan", request)
        signals = {}
        if len(answers) == 2:
            if "[[B]]" in plan:
                grades = self.pair(request, *answers, all_queries=True)
                signals["factuality"] = dict(enumerate(grades))
            if "[[A]]" in plan:
                signals["constraint"] = self.constraint(request, answers)
            signals["preference"] = dict(enumerate(map(self.preference, answers)))
        else:
            if "[[A]]" in plan:
                signals["constraint"] = self.constraint(request, answers)
            signals["preference"] = dict(enumerate(map(self.preference, answers)))
            if "[[B]]" in plan:
                signals["factuality"] = self.many(request, answers, pairs)
        return getattr(self, self.kind)(signals)

    def weighted_sum(self, signals):
        total = {}
        for column in signals.values():
            for i, value in column.items():
                total[i] = total.get(i, 0) + 1.0 * value
        return self.first_best(total)

    def major_vote(self, signals):
        weights = {"factuality": 1.2, "constraint": 1.1, "preference": 1.0}
        wins = {}
        for name, column in signals.items():
            if len(set(column.values())) == 1:
                for i in column:
                    wins[i] = wins.get(i, 0) + weights[name] / len(column)
            else:
                best = self.first_best(column)
                wins[best] = wins.get(best, 0) + weights[name]
        return self.first_best(wins)

    def llm(self, signals):
        told = [
            str({f"Answer {'AB'[i]}": v for i, v in signals[name].items()})
            if name in signals
            else "None"
            for name in ("factuality", "constraint", "preference")
        ]
        reply = self.oracle("judge", *told)
        return 0 if "[[A]]" in reply else 1 if "[[B]]" in reply else None

    @staticmethod
    def first_best(column):
        best = None
        for i, value in column.items():
            if best is None or value > column[best]:
                best = i
        return best

    def pair(self, request, a, b, *, all_queries):
        difference = self.oracle("difference", a, b)
        reply = self.oracle("queries", difference)
        found = re.search(r"\[.*\]", reply, re.DOTALL)
        try:
            queries = ast.literal_eval(found[0]) if found else None
        except (ValueError, SyntaxError):
            queries = None
        if not isinstance(queries, list) or not queries:
            queries = [reply]
        if not all_queries:
            queries = queries[:1]
        supports = [self.oracle("evidence", query) for query in queries]
        reply = self.oracle("grades", str(supports), a, b)
        grades = []
        for form in (r"\[\[([0-9]+)\]\]", "<<([0-9]+)>>"):
            hit = re.search(form, reply)
            grades.append(int(hit[1]) / 10 if hit else 0.5)
        return grades

    def many(self, request, answers, pairs):
        total, count = {}, {}
        for pair in pairs:
            grades = self.pair(request, *(answers[i] for i in pair), all_queries=False)
            for i, grade in zip(pair, grades, strict=True):
                total[i] = total.get(i, 0) + grade
                count[i] = count.get(i, 0) + 1
        return {i: total[i] / (count[i] + 1e-5) for i in total}

    def constraint(self, request, answers):
        lines = []
        for line in self.oracle("constraints", request).split("\n"):
            if "Checker" in line and line not in lines:
                lines.append(line)
        checkers = [self.checker(line) for line in lines[:8]]
        checkers = [c for c in checkers if c is not None]
        if not checkers:
            return dict.fromkeys(range(len(answers)), 0.5)
        return {
            i: sum(run(c, answer)[0] for c in checkers) / len(checkers)
            for i, answer in enumerate(answers)
        }

    def checker(self, line):
        if self.oracle("verifiable", line).lower() != "yes":
            return None
        code = bare(self.oracle("code", line))
        for _ in range(2):
            if run(code, "This is for a test.")[1] is None:
                return code
            code = bare(self.oracle("repair", code))
        return None


def bare(code):
    return code.replace("```python\n", "").replace("```", "")


def run(code, answer):
    """Whether a checker is satisfied, and its error; the code is this file's own."""
    names = {}
    try:
        exec(code, names)
        if "check_following" not in names:
            return False, None
        return bool(names["check_following"](answer)), None
    except FAULTS as error:
        return False, error
