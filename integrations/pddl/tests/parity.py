"""Our planning engine beside `pddlgym`, on the same domains and generated problems.

Needs `pddlgym==0.0.7`, which `make fidelity` installs in an environment of its own:

    python integrations/pddl/tests/parity.py --out parity.json

State, valid actions, the share of the goal that holds and the end are compared after
each of 30 actions: valid ones, impossible ones and words that are no action. What
AgentBoard shows of such a state is held to its own code by `test_fidelity.py`.
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from langchain_agentrm.testing._parity import Parity, options
from langchain_agentrm_pddl import PDDLFactory
from langchain_agentrm_pddl._pddl import domain_text, problem_text
from langchain_agentrm_pddl.domains import DOMAINS

STEPS = 30
BAD = ("", "dance", "{" * 200, "x" * 10_000, "\u6253\u5f00 box1", "pick", "move a b")


def atom(literal: Any) -> tuple[str, ...]:
    """Name a literal of `pddlgym`."""
    return (literal.predicate.name, *(v.name for v in literal.variables))


def readable(domain: str) -> str:
    """Write the types of a domain as `pddlgym` reads them: a line and a blank each."""
    if "(:types" not in domain:
        # It knows the type "object" only where some type is declared.
        domain = domain.replace("(:predicates", "(:types thing - object)\n(:predicates")
    types = re.search(r"\(:types (.*?)\)", domain)[1]
    pairs = re.findall(r"\S+ - \S+", types)
    return domain.replace(types, "".join(f"{pair} \n" for pair in pairs))


def engine(domain: str, problem: str) -> Any:
    """Open one problem in `pddlgym`."""
    from pddlgym.core import PDDLEnv

    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "domain.pddl"
        problems = Path(folder) / "problems"
        problems.mkdir()
        rules.write_text(readable(domain))
        (problems / "problem.pddl").write_text(problem)
        made = PDDLEnv(
            str(rules),
            str(problems),
            operators_as_actions=True,
            dynamic_action_space=True,
        )
    made.fix_problem_index(0)
    return made


def main() -> int:
    """Play, and report the differences."""
    given = options()
    warnings.simplefilter("ignore")
    report = Parity(
        "pddl",
        "pddlgym",
        "atoms of the state, valid actions, share of the goal, end, after each step",
        given.seed,
        {"episodes": given.episodes, "steps": STEPS, "problems": "generated"},
        ("pddlgym", "gym"),
    )
    factory = PDDLFactory(step_limit=STEPS)
    rng = random.Random(given.seed)
    refused = gained = 0
    for episode in range(given.episodes):
        domain = list(DOMAINS)[episode % len(DOMAINS)]
        task = factory.task(domain, 400_000 + 1_000 * given.seed + episode)
        env = factory.make()
        env.reset(task)
        world = env.position().world
        rules = DOMAINS[domain]
        bare = engine(domain_text(rules), problem_text(rules, world.problem))
        seen = bare.reset()[0]
        goal = {atom(x) for x in seen.goal.literals}
        # A demonstration in every third episode, so that the goal is reached too.
        plan = (
            [a for _, a in factory.demonstrate(task).steps] if episode % 3 == 0 else []
        )
        report.episodes += 1
        best, over = 0.0, False
        for step in range(STEPS + 1):
            here = env.position()
            holds = {atom(x) for x in seen.literals}
            allowed = {
                " ".join(atom(x)): x
                for x in bare.action_space.all_ground_literals(seen)
            }
            where = f"{task['id']} step {step}"
            report.check(f"{where} state", sorted(here.state), sorted(holds))
            listed = sorted(s.text for s in here.world.possible(here.state))
            report.check(f"{where} valid actions", listed, sorted(allowed))
            if over or step == STEPS:
                break
            draw = rng.random()
            action = rng.choice(listed)
            if step < len(plan):
                action = plan[step]
            elif draw < 0.1:
                action = rng.choice(BAD)
            elif draw < 0.25:
                action = rng.choice(list(world.steps))
            ours = env.step(action)
            before = holds
            if action in allowed:
                seen, _, over, *_ = bare.step(allowed[action])
                holds = {atom(x) for x in seen.literals}
            else:
                refused += 1
            report.steps += 1
            if holds != before:
                best = max(best, len(goal & holds) / len(goal))
            gained += ours.progress > 0
            shown = (ours.observation != "", round(ours.score, 9), ours.success)
            report.check(
                f"{where} {action[:60]!r}", shown, (True, round(best, 9), over)
            )
    report.details = {"refused_actions": refused, "steps_with_progress": gained}
    return report.finish(given.out)


if __name__ == "__main__":
    sys.exit(main())
