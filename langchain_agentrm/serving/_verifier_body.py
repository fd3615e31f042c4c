"""What a request to the verifier service asks for."""

from __future__ import annotations

from typing import Any, NoReturn

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.serving._proxy_messages import answer, conversation
from langchain_agentrm.serving._proxy_wire import decode, refusal
from langchain_agentrm.trajectory import Trajectory

__all__ = ["read_candidates"]


def read_candidates(data: bytes, max_answers: int) -> list[Trajectory]:
    """Read a request's body: an instruction or messages, and answers to it.

    Args:
        data: The body.
        max_answers: Most answers that a request may have.

    Returns:
        One trajectory an answer, all of one group.

    Raises:
        ProxyError: With status 400, if it cannot be read.
    """
    try:
        body = decode(data)
    except ValueError as error:
        raise refusal(400, f"The body is no JSON: {error}.") from error
    if not isinstance(body, dict):
        _wrong("The body", body, "Send a JSON object.")
    before = _conversation(body)
    tools = body.get("tools") or []
    if not isinstance(tools, list) or not all(isinstance(t, dict) for t in tools):
        _wrong("tools", tools, "Send a list of JSON schemas.", "tools")
    answers = body.get("answers")
    if not isinstance(answers, list) or not answers:
        _wrong("answers", answers, "Send a list of answers.", "answers")
    if len(answers) > max_answers:
        text = (
            f"{len(answers)} answers are more than this server takes. "
            f"Send at most {max_answers}."
        )
        raise refusal(400, text, param="answers")
    try:
        return [
            Trajectory.from_messages(before, _answer(a), group="request", tools=tools)
            for a in answers
        ]
    except ConfigurationError as error:
        raise refusal(400, str(error), param="messages") from error


def _conversation(body: dict[str, Any]) -> list[BaseMessage]:
    instruction, messages = body.get("instruction"), body.get("messages")
    if messages is None:
        if not isinstance(instruction, str) or not instruction.strip():
            _wrong("instruction", instruction, "Send the request as a text.")
        return [HumanMessage(instruction)]
    if instruction is not None:
        _wrong("instruction", instruction, "Send it or messages, not both.")
    if not isinstance(messages, list) or not messages:
        _wrong("messages", messages, "Send a list of messages.", "messages")
    try:
        return conversation(messages)
    except ValueError as error:
        raise refusal(400, f"{error}.", param="messages") from error


def _answer(given: object) -> AIMessage:
    if isinstance(given, str):
        return AIMessage(given)
    if isinstance(given, dict):
        return answer(given)
    return _wrong("an answer", given, "Send texts or assistant messages.", "answers")


def _wrong(name: str, value: object, remedy: str, param: str | None = None) -> NoReturn:
    text = f"{name}={value!r:.80} cannot be used. {remedy}"
    raise refusal(400, text, param=param or name)
