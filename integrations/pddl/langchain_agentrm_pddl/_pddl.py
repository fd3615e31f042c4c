"""Reading problem files in PDDL, and writing domains and problems as PDDL."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm_pddl._strips import Atom, Domain, Problem

__all__ = ["domain_text", "problem_text", "read_problem"]

_TOKEN = re.compile(r"[()]|[^\s()]+")
_COMMENT = re.compile(r";[^\n]*")


def read_problem(text: str, domain: Domain, source: str) -> Problem:
    """Read a problem of one of the four domains.

    Args:
        text: The file's text.
        domain: Whose problem it must be.
        source: Where it comes from, for messages.

    Returns:
        The problem.

    Raises:
        ConfigurationError: If it is no problem of that domain.
    """
    try:
        parts = {
            part[0]: part[1:]
            for part in _tree(_COMMENT.sub("", text).lower())[0]
            if isinstance(part, list) and part
        }
        objects = dict(_typed(parts[":objects"]))
        init = frozenset(_atom(x) for x in parts[":init"] if x and x[0] != "=")
        goal = parts[":goal"][0]
        atoms = goal[1:] if goal[0] == "and" else [goal]
        problem = Problem(objects, init, tuple(_atom(x) for x in atoms))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        msg = f"{source} is no PDDL problem with objects, init and goal: {error!r}."
        raise ConfigurationError(msg, remedy="Give an AgentBoard problem file.") from (
            error
        )
    _check(problem, domain, source)
    return problem


def _check(problem: Problem, domain: Domain, source: str) -> None:
    known = {*domain.constants, *problem.objects}
    odd = {x for atom in (*problem.init, *problem.goal) for x in atom[1:]} - known
    types = set(problem.objects.values()) - {"object", *domain.parents}
    for what, names in (("things", odd), ("types", types)):
        if names:
            msg = f"{source} has unknown {what}: {sorted(names)}."
            raise ConfigurationError(
                msg, remedy=f"Give a problem of the domain {domain.name!r}."
            )
    if not problem.goal:
        msg = f"{source} has an empty goal."
        raise ConfigurationError(msg, remedy="Give a problem with something to do.")


def _tree(text: str) -> list[Any]:
    top: list[Any] = []
    open_: list[list[Any]] = [top]
    for word in _TOKEN.findall(text):
        if word == "(":
            inner: list[Any] = []
            open_[-1].append(inner)
            open_.append(inner)
        elif word == ")":
            open_.pop()
        else:
            open_[-1].append(word)
    return top


def _typed(tokens: Sequence[str]) -> Iterator[tuple[str, str]]:
    waiting: list[str] = []
    rest = iter(tokens)
    for word in rest:
        if word == "-":
            type_ = next(rest)
            yield from ((name, type_) for name in waiting)
            waiting = []
        else:
            waiting.append(word)
    yield from ((name, "object") for name in waiting)


def _atom(tokens: Sequence[Any]) -> Atom:
    if not tokens or not all(isinstance(token, str) for token in tokens):
        msg = f"{tokens} is no atom"
        raise ValueError(msg)
    return tuple(tokens)


def domain_text(domain: Domain) -> str:
    """Write a domain as PDDL, for other planners."""
    lines = [f"(define (domain {domain.name})", "(:requirements :strips :typing)"]
    if domain.parents:
        types = " ".join(f"{t} - {above}" for t, above in domain.parents.items())
        lines.append(f"(:types {types})")
    if domain.constants:
        lines.append(f"(:constants {_things(domain.constants)})")
    arity = {
        atom[0]: len(atom) - 1
        for operator in domain.operators.values()
        for atom in (*operator.needs, *operator.adds, *operator.deletes)
    }
    predicates = " ".join(
        "(" + " ".join([name, *(f"?x{i} - object" for i in range(n))]) + ")"
        for name, n in sorted(arity.items())
    )
    lines.append(f"(:predicates {predicates})")
    for operator in domain.operators.values():
        names = {name for name, _ in operator.parameters}
        parameters = " ".join(f"?{name} - {t}" for name, t in operator.parameters)
        effects = [f"(not {_write(atom, names)})" for atom in operator.deletes]
        effects += [_write(atom, names) for atom in operator.adds]
        needs = " ".join(_write(atom, names) for atom in operator.needs)
        lines += [
            f"(:action {operator.name}",
            f" :parameters ({parameters})",
            f" :precondition (and {needs})",
            f" :effect (and {' '.join(effects)}))",
        ]
    return "\n".join([*lines, ")"])


def problem_text(domain: Domain, problem: Problem) -> str:
    """Write a problem as PDDL, for other planners."""
    init = "\n ".join(_write(atom) for atom in sorted(problem.init))
    goal = " ".join(_write(atom) for atom in problem.goal)
    return (
        f"(define (problem generated) (:domain {domain.name})\n"
        f"(:objects {_things(problem.objects)})\n(:init {init})\n(:goal (and {goal})))"
    )


def _things(objects: Mapping[str, str]) -> str:
    return " ".join(f"{name} - {type_}" for name, type_ in objects.items())


def _write(atom: Atom, variables: frozenset[str] | set[str] = frozenset()) -> str:
    return f"({' '.join(f'?{x}' if x in variables else x for x in atom)})"
