"""The instruction: in our own words, or AgentRM's published prompts from a folder."""

from __future__ import annotations

from langchain_agentrm.environments.prompts import PromptFolder
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm_alfworld._wording import Wording
from langchain_agentrm_alfworld.forms import CHECK, Form
from langchain_agentrm_alfworld.perturb import Perturbation

__all__ = ["instruction", "published"]

# Order of the examples in AgentRM's file for AgentBoard's form, by task type.
_KINDS = (
    "pick_and_place",
    "pick_clean_then_place",
    "pick_heat_then_place",
    "pick_cool_then_place",
    "pick_two_obj",
    "look_at_obj",
)


def instruction(form: Form, wording: Wording, perturbation: Perturbation) -> str:
    """Write role, rules and action grammar.

    Args:
        form: Which benchmark's rules.
        wording: The game's texts, which decide how an object is put down.
        perturbation: How actions are called.

    Returns:
        The instruction, in our own words.
    """
    put = wording.put.format(o="OBJECT", r="RECEPTACLE")
    actions = [
        ("go to RECEPTACLE", "walk there and see what is on it, or in it if open"),
        ("open RECEPTACLE", "open its door and see what is inside"),
        ("close RECEPTACLE", "close its door"),
        ("take OBJECT from RECEPTACLE", "pick it up; one object at a time"),
        (put, "put down what you hold"),
        ("clean OBJECT with RECEPTACLE", "wash what you hold, at a sink basin"),
        ("heat OBJECT with RECEPTACLE", "warm what you hold, at a microwave"),
        ("cool OBJECT with RECEPTACLE", "chill what you hold, at a fridge"),
        ("use OBJECT", "switch a lamp on"),
        ("slice OBJECT with OBJECT", "cut something with the knife you hold"),
        ("examine OBJECT", "look closely at what you hold, or at a receptacle here"),
        ("inventory", "see what you hold"),
        ("look", "see where you are"),
    ]
    if form.progress:
        actions.append((CHECK, "list the actions that are possible now"))
    listed = "\n".join(
        f"{perturbation.action(action)} - {what}" for action, what in actions
    )
    named = perturbation.text("cabinet 1")
    return (
        "You are in a household and have a task to do there. Objects and receptacles "
        f'are named by kind and number, such as "{named}".\n'
        "After each of your actions you read what happened; "
        '"Nothing happens." means that the action was not possible.\n'
        f"You have {form.step_limit} actions. Answer with one action each time, on a "
        'line that begins with "Action:", perhaps after a line of thought.\n'
        f"The actions:\n{listed}"
    )


def published(
    folder: str, form: Form, perturbation: int, type_: str
) -> tuple[str, tuple[dict[str, str], ...]]:
    """Read AgentRM's published prompts.

    Args:
        folder: Its prompt folder (`eval_agent/prompt`).
        form: Which benchmark's prompts.
        perturbation: Number of the perturbation, 0 for none. AgentRM has prompts for 1
            to 4, in AgentBoard's form.
        type_: A task type, for the example.

    Returns:
        The instruction, and the turns of the example of that type where there is one
        for each, else of the first.

    Raises:
        ConfigurationError: If the folder lacks a file, or there is no such prompt.
    """
    name = "alfworld_ab" if form.progress or perturbation else "alfworld"
    ending = example_ending = ""
    if perturbation:
        if perturbation not in (1, 2, 3, 4):
            msg = f"AgentRM has no prompts for perturbation {perturbation}."
            raise ConfigurationError(msg, remedy="Play it without prompts.")
        ending = "_perturb1" if perturbation == 1 else f"_perturb{perturbation}_with"
        example_ending = f"_perturb{perturbation}"
    prompts = PromptFolder(folder)
    examples = prompts.examples(f"{name}_icl{example_ending}")
    told = prompts.instruction(f"{name}_inst{ending}")
    if len(examples) != len(_KINDS):
        return told, examples[0] if examples else ()
    at = next((i for i, x in enumerate(_KINDS) if type_.startswith(x)), 0)
    return told, examples[at]
