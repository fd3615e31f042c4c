"""A tool: named functions over local data, called as the benchmark calls them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

__all__ = ["CHECK", "FINISH", "Answer", "Function", "Kit", "Parameter", "Result"]

Result = tuple[bool, Any]
"""Whether a call succeeded, and what it answered."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a function.

    Attributes:
        name: Its name.
        schema: Its JSON schema.
        about: What it is.
        required: Whether a call without it is an error.
    """

    name: str
    schema: Mapping[str, Any]
    about: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Function:
    """One function of a tool, as a policy reads it.

    Attributes:
        name: Its name.
        about: What it does.
        parameters: Its arguments, in the order in which they are read.
    """

    name: str
    about: str
    parameters: tuple[Parameter, ...] = ()

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of the arguments."""
        return {
            "type": "object",
            "properties": {
                p.name: {**p.schema, "description": p.about} for p in self.parameters
            },
            "required": [p.name for p in self.parameters if p.required],
        }


class Answer(NamedTuple):
    """What a call answered.

    Attributes:
        text: The observation.
        raised: Whether an exception stopped it; then nothing was done.
    """

    text: str
    raised: bool


_ANSWER = Parameter(
    "answer", {"type": ["string", "number", "array"]}, "the answer to the goal"
)
CHECK = Function("check_valid_actions", "list the names of the functions")
FINISH = Function("finish", "give the answer and end the task", (_ANSWER,))


class Kit(ABC):
    """The functions of one tool, over a state of their own and data that they share.

    Each successful call is logged by its cleaned result, each failed one by a text that
    names the call; a call that raises is not logged. The log is what is scored.

    Attributes:
        log: The log, in order.
        state: Whatever a call can change, as plain data.
    """

    tool: ClassVar[str]
    functions: ClassVar[tuple[Function, ...]]
    aliases: ClassVar[Mapping[str, str]] = {}

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.state: dict[str, Any] = {}

    @abstractmethod
    def method(self, name: str) -> Callable[..., Result]:
        """Return the function of this name, one of `functions`."""

    def clean(self, result: Any) -> Any:
        """Leave out of a result what does not count when calls are scored."""
        return result

    def names(self) -> list[str]:
        """Names of the functions."""
        return [f.name for f in self.functions]

    def fork(self) -> Self:
        """Copy the state; the data is shared, and logged values never change."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.log = list(self.log)
        twin.state = deepcopy(self.state)
        return twin

    def call(self, name: str, params: Any) -> Answer:
        """Call a function.

        Args:
            name: Its name.
            params: Its arguments, a mapping; arguments that it has not are ignored.

        Returns:
            The answer; an exception becomes `ERROR | Kind(message)`.
        """
        name = self.aliases.get(name, name)
        function = next((f for f in self.functions if f.name == name), None)
        if function is None:
            return Answer(self.unknown(name), raised=False)
        if function is CHECK:
            return Answer(
                f"You can use following valid actions: {self.names()}", raised=False
            )
        # Whatever a policy sends, its exception is the benchmark's answer to it.
        try:
            return Answer(str(self._call(function, params)), raised=False)
        except Exception as error:  # noqa: BLE001
            kind = type(error).__name__
            return Answer(f"ERROR | {kind}({error})", raised=True)

    def result(self, name: str, params: Mapping[str, Any]) -> Any:
        """Call a function for its result as data; what it raises is raised."""
        return self._call(next(f for f in self.functions if f.name == name), params)

    def unknown(self, name: str) -> str:
        """Answer a call of a function that there is not."""
        return f"ERROR | Invalid action: {name}."

    def _call(self, function: Function, params: Any) -> Any:
        given = {
            p.name: params[p.name] if p.required else params.get(p.name)
            for p in function.parameters
            if p.required or params.get(p.name) is not None
        }
        if function is FINISH:
            answer = given["answer"]
            ok, result = True, sorted(answer) if isinstance(answer, list) else answer
        else:
            ok, result = self.method(function.name)(**given)
        if ok:
            self.log.append(self.clean(deepcopy(result)))
        else:
            self.log.append(f"Calling {function.name} with {given} failed")
        return result
