"""What commands share: arguments, and how one that cannot be used is refused."""

import argparse
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from tqdm import tqdm

from helpers.engine.files import atomic


class Parser(argparse.ArgumentParser):
    """Wrong arguments give one line: the argument, what it got and what it takes.

    What an argument takes is its help text.
    """

    def __init__(self, *args, **settings):
        super().__init__(*args, allow_abbrev=False, **settings)

    def parse_known_args(self, args=None, namespace=None):
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = (option for action in self._actions for option in action.option_strings)
            self.error(f"{unknown[0]}: got an unknown argument, takes {', '.join(options)}")
        return namespace, unknown

    def error(self, message: str):
        for pattern in (r"argument (?P<name>\S+): invalid choice: (?P<got>.*) \(choose from .*",
                        r"argument (?P<name>\S+): expected one argument(?P<got>)",
                        r"the following arguments are required: (?P<name>[^,]+)(?P<got>).*"):
            if match := re.fullmatch(pattern, message, re.DOTALL):
                name, got = match["name"], match["got"] or "nothing"
                message = f"{name}: got {got}, takes {self._takes(name)}"
        complain(message.removeprefix("argument "))
        sys.exit(2)

    def _takes(self, name: str) -> str:
        actions = {key: action for action in self._actions
                   for key in (*action.option_strings, action.metavar or action.dest)}
        return actions[name].help


class Refusal(Exception):
    """An argument that cannot be used; the message names it."""


def complain(message: str) -> None:
    print("helpers:", message.replace("\n", " "), file=sys.stderr)


def check_stdout() -> None:
    """Refuses before the work what would have nowhere to show what came out."""
    if sys.stdout is None:
        raise Refusal("stdout: is closed, takes a place to write to, such as > /dev/null")


def whole_number(low: int):
    """The argument type of a whole number from ``low`` up."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,1000}", text) or int(text) < low:
            raise argparse.ArgumentTypeError(f"got {text!r}, takes a whole number from {low} up")
        return int(text)

    return read


def parameter(text: str) -> tuple[str, float]:
    """The argument type of KEY=VALUE with a number as value."""
    key, equals, value = text.partition("=")
    try:
        if not equals:
            raise ValueError
        return key, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"got {text!r}, takes KEY=VALUE with a number as VALUE") from None


@contextmanager
def output(path: str) -> Iterator[IO[bytes]]:
    """The file of ``--output``, complete under its name or not there; ``-`` is stdout."""
    try:
        if path == "-":
            check_stdout()
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        else:
            with atomic(path, "wb") as file:
                yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Refusal(f"--output: got {path!r} ({error.strerror}), takes a file that can be "
                      "written, or - for stdout") from None


def same_file(source: str, target: str) -> bool:
    """Whether both are one file, through links and a shell's redirections too."""
    try:
        one, other = (os.fstat(stream) if path == "-" else os.stat(path)
                      for path, stream in ((source, 0), (target, 1)))
    except OSError:  # one is not there, which is for its reader or writer to say
        return False
    return stat.S_ISREG(one.st_mode) and os.path.samestat(one, other)


def add_size(command: Parser, default: int | None = None, required: bool = True) -> None:
    usual = f" (default {default})" if default else ""
    for name in ("rows", "cols"):
        command.add_argument(f"--{name}", type=whole_number(3), default=default,
                             required=required and default is None, metavar=name[0].upper(),
                             help="a whole number from 3 up"
                                  + (usual if required else " (only JSONL does not say it)"))


def add_output(command: Parser) -> None:
    command.add_argument("--output", required=True, metavar="FILE", help="a file, or - for stdout")


def progress(total: int | None, unit: str) -> tqdm:
    """A progress bar on stderr, where that is a terminal."""
    return tqdm(total=total, unit=unit, disable=None)
