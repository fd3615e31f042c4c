"""Decide whether a state satisfies a game's goal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm_alfworld._pddl import Fact, Formula, typed

__all__ = ["Goal", "Literal", "compile_goal"]


class Literal(NamedTuple):
    """A predicate over variables and constants, perhaps negated."""

    positive: bool
    predicate: str
    terms: tuple[str, ...]


class _Clause(NamedTuple):
    """Variables with what each may stand for, and the literals each one completes."""

    variables: tuple[str, ...]
    candidates: tuple[tuple[str, ...], ...]
    checks: tuple[tuple[Literal, ...], ...]


Holds = Callable[[str, tuple[str, ...]], bool]


class Goal:
    """A conjunction of existential clauses, with what never changes worked out.

    Args:
        clauses: The clauses, all of which must hold.
        literals: Every literal of the goal, for those who plan.
    """

    __slots__ = ("_clauses", "literals")

    def __init__(self, clauses: Sequence[_Clause], literals: Sequence[Literal]) -> None:
        self._clauses = tuple(clauses)
        self.literals = tuple(literals)

    def satisfied(self, holds: Holds) -> bool:
        """Check the goal.

        Args:
            holds: Whether a predicate is true of some objects in the state.

        Returns:
            Whether every clause has a solution.
        """
        return all(_solve(clause, 0, {}, holds) for clause in self._clauses)


def compile_goal(
    formula: Formula,
    types: Mapping[str, str],
    facts: Sequence[Fact],
    changing: frozenset[str],
) -> Goal:
    """Prepare a goal for many checks.

    Args:
        formula: The goal: nested `and` and `exists` over literals.
        types: Type of each object.
        facts: What holds at the start.
        changing: Predicates that actions change; the others hold for good or never.

    Returns:
        The goal.

    Raises:
        ConfigurationError: If the formula uses another connective.
    """
    fixed = frozenset(fact for fact in facts if fact[0] not in changing)
    clauses, every = [], []
    parts = formula[1:] if formula[0] == "and" else [formula]
    for part in parts:
        variables: dict[str, str] = {}
        literals: list[Literal] = []
        _flatten(part, variables, literals)
        every += literals
        clauses.append(_clause(variables, literals, types, fixed, changing))
    return Goal(clauses, every)


def _flatten(
    formula: Formula, variables: dict[str, str], literals: list[Literal]
) -> None:
    """Pull variables and literals out of nested `and` and `exists`."""
    if isinstance(formula, str):
        raise _unknown(formula)
    kind = formula[0]
    if kind == "and":
        for part in formula[1:]:
            _flatten(part, variables, literals)
    elif kind == "exists" and isinstance(formula[1], list):
        added = dict(typed(formula[1]))
        # The same name bound twice would be two variables; official goals name one
        # only in clauses of its own.
        if added.keys() & variables.keys():
            raise _unknown(formula)
        variables.update(added)
        _flatten(formula[2], variables, literals)
    elif kind == "not" and isinstance(formula[1], list):
        literals.append(_literal(formula[1], positive=False))
    else:
        literals.append(_literal(formula, positive=True))


def _literal(formula: list[Formula], *, positive: bool) -> Literal:
    terms = [term for term in formula if isinstance(term, str)]
    if len(terms) != len(formula) or terms[0] in {"or", "imply", "forall", "exists"}:
        raise _unknown(formula)
    return Literal(positive, terms[0], tuple(terms[1:]))


def _clause(
    variables: Mapping[str, str],
    literals: Sequence[Literal],
    types: Mapping[str, str],
    fixed: frozenset[Fact],
    changing: frozenset[str],
) -> _Clause:
    candidates: dict[str, tuple[str, ...]] = {}
    rest = list(literals)
    for name, type_ in variables.items():
        own = [
            literal
            for literal in rest
            if literal.predicate not in changing
            and literal.predicate != "="
            and {t for t in literal.terms if t.startswith("?")} == {name}
        ]
        rest = [literal for literal in rest if literal not in own]
        candidates[name] = tuple(
            thing
            for thing, its_type in types.items()
            if its_type == type_ and all(_fixed(x, {name: thing}, fixed) for x in own)
        )
    order = sorted(variables, key=lambda name: len(candidates[name]))
    checks: list[tuple[Literal, ...]] = []
    bound: set[str] = set()
    for name in order:
        bound.add(name)
        ready = [
            literal
            for literal in rest
            if {t for t in literal.terms if t.startswith("?")} <= bound
        ]
        rest = [literal for literal in rest if literal not in ready]
        checks.append(tuple(ready))
    if rest:
        raise _unknown([str(literal) for literal in rest])
    return _Clause(tuple(order), tuple(candidates[n] for n in order), tuple(checks))


def _fixed(
    literal: Literal, binding: Mapping[str, str], fixed: frozenset[Fact]
) -> bool:
    terms = tuple(binding.get(term, term) for term in literal.terms)
    return ((literal.predicate, *terms) in fixed) is literal.positive


def _solve(clause: _Clause, i: int, binding: dict[str, str], holds: Holds) -> bool:
    if i == len(clause.variables):
        return True
    name = clause.variables[i]
    for thing in clause.candidates[i]:
        binding[name] = thing
        for positive, predicate, terms in clause.checks[i]:
            values = tuple([binding.get(term, term) for term in terms])
            true = (
                values[0] == values[1] if predicate == "=" else holds(predicate, values)
            )
            if true is not positive:
                break
        else:
            if _solve(clause, i + 1, binding, holds):
                return True
    return False


def _unknown(formula: object) -> ConfigurationError:
    msg = f"The native engine does not know this part of a game's goal: {formula!r}."
    return ConfigurationError(msg, remedy='Play it with engine="textworld".')
