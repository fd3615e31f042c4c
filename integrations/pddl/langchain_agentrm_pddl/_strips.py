"""STRIPS over frozen sets: a state is a set of atoms, and a step a set operation.

Transitions agree with `pddlgym`: deletions come before additions, and two parameters of
one action never name the same thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

__all__ = ["Atom", "Domain", "Operator", "Problem", "State", "Step", "World"]

Atom = tuple[str, ...]
"""A predicate and what it is said of, such as `("at", "ball1", "rooma")`."""

State = frozenset[Atom]
"""All atoms that hold; what is not in it is false."""


@dataclass(frozen=True, slots=True)
class Operator:
    """An action with parameters.

    Attributes:
        name: Its name.
        parameters: Name and type of each parameter, in order.
        needs: Atoms over parameters and constants that must hold.
        adds: Atoms that hold afterwards.
        deletes: Atoms that no longer hold, unless they are added too.
    """

    name: str
    parameters: tuple[tuple[str, str], ...]
    needs: tuple[Atom, ...]
    adds: tuple[Atom, ...]
    deletes: tuple[Atom, ...]


@dataclass(frozen=True, slots=True)
class Domain:
    """What can be done with things of which types.

    Attributes:
        name: Its name.
        parents: The type above each type; `"object"` is above all.
        constants: Type of each thing that every problem has.
        operators: The actions by name.
    """

    name: str
    parents: Mapping[str, str]
    constants: Mapping[str, str]
    operators: Mapping[str, Operator]

    def is_a(self, type_: str, wanted: str) -> bool:
        """Whether a type is another one or lies below it."""
        while type_ not in {wanted, "object"}:
            type_ = self.parents.get(type_, "object")
        return wanted in (type_, "object")

    @property
    def changing(self) -> frozenset[str]:
        """Predicates that some action adds or deletes."""
        return frozenset(
            atom[0] for o in self.operators.values() for atom in (*o.adds, *o.deletes)
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """A start and a goal.

    Attributes:
        objects: Type of each thing.
        init: What holds at first.
        goal: What must hold at the end, all of it.
    """

    objects: Mapping[str, str]
    init: State
    goal: tuple[Atom, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """An operator applied to things of a problem.

    Attributes:
        operator: Name of the operator.
        things: What its parameters stand for.
        text: Both, as a policy writes them: `pick ball1 rooma left`.
        needs: What must hold.
        adds: What holds afterwards.
        deletes: What no longer holds.
    """

    operator: str
    things: tuple[str, ...]
    text: str
    needs: State
    adds: State
    deletes: State


@dataclass(frozen=True, eq=False)
class World:
    """A problem with its actions grounded; it never changes, so branches share it.

    Two worlds are equal only if they are the same one, so that one can be a key.

    Attributes:
        domain: The rules.
        problem: Start and goal.
    """

    domain: Domain
    problem: Problem
    objects: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Put constants and objects together."""
        every = {**self.domain.constants, **self.problem.objects}
        object.__setattr__(self, "objects", every)

    @cached_property
    def steps(self) -> Mapping[str, Step]:
        """All actions whose unchanging conditions hold, by text, in sorted order."""
        found = [s for o in self.domain.operators.values() for s in self._ground(o)]
        return {step.text: step for step in sorted(found, key=lambda step: step.text)}

    def possible(self, state: State) -> list[Step]:
        """List the actions whose conditions hold, those without effect included."""
        return [step for step in self.steps.values() if step.needs <= state]

    def apply(self, state: State, step: Step) -> State:
        """Return the state after an action; the same one where it is not possible."""
        if not step.needs <= state:
            return state
        return (state - step.deletes) | step.adds

    def share(self, state: State) -> float:
        """Share of the goal's atoms that hold, 0..1."""
        goal = self.problem.goal
        return sum(atom in state for atom in goal) / len(goal)

    def _ground(self, operator: Operator) -> Iterator[Step]:
        # Conditions that no action changes are settled while things are chosen, which
        # keeps the number of combinations small.
        changing = self.domain.changing
        fixed = [atom for atom in operator.needs if atom[0] not in changing]
        choices = [
            [o for o, t in self.objects.items() if self.domain.is_a(t, wanted)]
            for _, wanted in operator.parameters
        ]
        names = [name for name, _ in operator.parameters]
        yield from self._choose(operator, names, choices, fixed, {})

    def _choose(
        self,
        operator: Operator,
        names: Sequence[str],
        choices: Sequence[Sequence[str]],
        fixed: Sequence[Atom],
        bound: Mapping[str, str],
    ) -> Iterator[Step]:
        for atom in fixed:
            known = all(x in bound or x not in names for x in atom[1:])
            if known and _bind(atom, bound) not in self.problem.init:
                return
        if len(bound) < len(names):
            name = names[len(bound)]
            for thing in choices[len(bound)]:
                if thing not in bound.values():
                    grown = {**bound, name: thing}
                    yield from self._choose(operator, names, choices, fixed, grown)
            return
        things = tuple(bound.values())
        yield Step(
            operator.name,
            things,
            " ".join((operator.name, *things)),
            *(
                frozenset(_bind(atom, bound) for atom in atoms)
                for atoms in (operator.needs, operator.adds, operator.deletes)
            ),
        )


def _bind(atom: Atom, bound: Mapping[str, str]) -> Atom:
    return (atom[0], *(bound.get(x, x) for x in atom[1:]))
