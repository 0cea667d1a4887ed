"""Golden scripts: commands in a text file, each with the answer that it got when the file was last written.

    # Prose: what this tells.

    step 0
    ----
    reads numbers: [1, 2] of epoch 0

A line that begins with ``#`` is prose. A block is a command, a line ``----`` and the answer, up to an empty line. A
command without an answer has no ``----``. To replay a script is to give its commands to a talk and to write down what
the talk answers: a script is right if the text that comes out is the text that went in.
"""

from collections.abc import Callable, Iterator

Talk = Callable[[str], list[str]]
"""Does a command and says what came of it, line by line."""

RULE = "----"


class ScriptError(ValueError):
    """A script cannot be read, or a command makes no sense; the message bears the line."""


def replay(script: str, talk: Talk) -> str:
    """The script with the answers that its commands get now.

    Raises:
        ScriptError: A line cannot be read, or the talk does not know a command.
    """
    written: list[str] = []
    answered = False
    for number, command, prose in _commands(script):
        if answered and (command is not None or prose):
            written.append("")
        answered = False
        if command is None:
            written.append(prose)
            continue
        try:
            answer = talk(command)
        except ScriptError as error:
            raise ScriptError(f"line {number}, {command!r}: {error}") from error
        written.append(command)
        if answer:
            written += [RULE, *answer]
            answered = True
    return "\n".join(written).rstrip("\n") + "\n"


def story(script: str) -> str:
    """The prose at the top of a script."""
    lines = script.splitlines()
    first_other = next((place for place, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return " ".join(line.removeprefix("#").strip() for line in lines[:first_other])


def _commands(script: str) -> Iterator[tuple[int, str | None, str]]:
    """Line number and command, or None and a line of prose or nothing, which is kept as it is."""
    in_answer = False
    after_command = False
    for number, line in enumerate(script.splitlines(), 1):
        if not line:
            in_answer = after_command = False
        elif in_answer:
            continue
        elif line == RULE:
            if not after_command:
                raise ScriptError(f"line {number}: {RULE!r} stands after a command")
            in_answer = True
            continue
        yield (number, None, line) if not line or line.startswith("#") else (number, line, "")
        after_command = bool(line) and not line.startswith("#")
