"""What a policy is told, in our own words."""

from __future__ import annotations

__all__ = ["INSTRUCTION"]

INSTRUCTION = """\
You play a work of interactive fiction: you read what happens, and type what the person
in the story does.
A command is a short imperative sentence, a verb and perhaps one or two things, such as
"look", "examine table", "open door", "take lamp", "put coin in box", "north",
"unlock door with key", "inventory".
The story knows a limited set of words and says so where it does not understand. Words
that it uses itself are the best ones.
Saving, undoing and restarting are not possible.
You have {steps} commands. Answer with one command each time, on a line that begins
with "Action:", perhaps after a line of thought."""
