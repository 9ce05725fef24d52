"""The command line: ``python -m helpers COMMAND …``; argument checking, nothing else."""

import argparse
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from tqdm import tqdm

from helpers.engine.files import atomic
from helpers.generators import GENERATORS
from helpers.language import Vocabulary, encode_mazes, jsonl, read_jsonl_text
from helpers.maze import SAMPLINGS, SPLITS, MazeError, Sampler, check_size
from helpers.validator import Verdict, judge_text


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


# ── generate ────────────────────────────────────────────────────────────────────────────


def add_generate(commands) -> None:
    command = commands.add_parser("generate", help="write a data set as JSONL")
    command.add_argument("--generator", required=True, choices=GENERATORS, metavar="NAME",
                         help=f"one of {', '.join(GENERATORS)}")
    command.add_argument("--split", required=True, choices=SPLITS, metavar="SPLIT",
                         help="train or test")
    command.add_argument("--seed", type=whole_number(0), default=42, metavar="S",
                         help="a whole number from 0 up (default 42, the published data)")
    add_size(command, default=30)
    command.add_argument("--count", required=True, type=whole_number(1), metavar="N",
                         help="the number of examples, a whole number from 1 up")
    command.add_argument("--sampling", choices=SAMPLINGS, default="paper", metavar="SAMPLING",
                         help="paper (the default: the published data byte for byte) or indexed "
                              "(example i depends on seed, split and i alone)")
    command.add_argument("--param", type=parameter, action="append", default=[],
                         metavar="KEY=VALUE", help="a parameter of the generator, such as "
                                                   "coverage=0.4; may be repeated")
    add_output(command)
    command.set_defaults(run=generate)


def generate(args: argparse.Namespace) -> int:
    sampler = Sampler(args.generator, args.rows, args.cols, split=args.split, seed=args.seed,
                      sampling=args.sampling, params=dict(args.param))
    vocabulary = Vocabulary(args.rows, args.cols)
    chunk = max(1, 900_000 // (args.rows * args.cols))  # examples in memory: 1000 at 30x30
    with output(args.output) as file, progress(args.count, "maze") as bar:
        while sampler.position < args.count:
            mazes = sampler.take(min(chunk, args.count - sampler.position))
            file.write(jsonl(vocabulary, *encode_mazes(mazes)))
            bar.update(len(mazes.grids))
    return 0


# ── validate ────────────────────────────────────────────────────────────────────────────


def add_validate(commands) -> None:
    command = commands.add_parser("validate", help="judge the plans and traces of a JSONL file")
    command.add_argument("input", metavar="INPUT.jsonl", help='a file of lines {"text": …}')
    add_size(command)
    add_output(command)
    command.set_defaults(run=validate)


def validate(args: argparse.Namespace) -> int:
    check_size(args.rows, args.cols)
    try:
        lines = open(args.input, "rb")  # noqa: SIM115 (closed by the with below)
    except OSError as error:
        raise Refusal(f"INPUT.jsonl: got {args.input!r} ({error.strerror}), "
                      "takes a file that can be read") from None
    verdicts, malformed = [], 0
    with lines, output(args.output) as file, progress(None, "line") as bar:
        for number, line in enumerate(lines, start=1):
            try:
                verdict = judge_text(read_jsonl_text(line), args.rows, args.cols)
            except ValueError as error:
                malformed += 1
                row = {"error": f"line {number}: {error}"}
            else:
                verdicts.append(verdict)
                row = verdict.as_dict()
            file.write(json.dumps(row).encode() + b"\n")
            bar.update()
    print(summary(verdicts, malformed), file=sys.stderr)
    return 1 if malformed else 0


def summary(verdicts: list[Verdict], malformed: int) -> str:
    """What was judged and found, in three lines."""

    def rate(count, total):
        return f"{count} of {total}" + (f" ({count / total:.1%})" if total else "")

    def errors(parts):
        common = Counter(part.error for part in parts if part.error).most_common(3)
        return "".join(f"; {name} {count}" for name, count in common)

    plans = [verdict.plan for verdict in verdicts]
    traces = [verdict.trace for verdict in verdicts if verdict.trace]
    return "\n".join([
        f"lines: {len(verdicts)} judged, {malformed} malformed",
        f"plans: {rate(sum(plan.valid for plan in plans), len(plans))} valid, "
        f"{sum(plan.optimal for plan in plans)} optimal{errors(plans)}",
        f"traces: {rate(sum(trace.valid for trace in traces), len(traces))} valid, "
        f"{sum(trace.strict for trace in traces)} strict, "
        f"{sum(trace.exact for trace in traces)} exact{errors(traces)}"])


# ── study, publish, regime ──────────────────────────────────────────────────────────────


def on_scale(work):
    """The command that does this work on a scale: status 0, or 1 where the study fails."""

    def run(args) -> int:
        check_stdout()
        from helpers.study.graph import StudyError
        from helpers.study.scale import (  # torch and pandas: seconds, only here
            ScaleError,
            load_scale,
        )
        try:
            work(load_scale(args.scale), args)
        except ScaleError as error:
            raise Refusal(f"--{error}") from None
        except StudyError as error:
            complain(str(error))
            return 1
        return 0

    return run


def add_study(commands) -> None:
    command = commands.add_parser("study", help="run a study", description=(
        "Runs every step of a study that is not done yet, and prints its headline table."))
    add_scale(command)
    command.add_argument("--cores", type=whole_number(1), metavar="N",
                         help="a whole number from 1 up (default: all cores)")
    command.set_defaults(run=run_study)


@on_scale
def run_study(scale, args) -> None:
    from helpers.study.graph import study, summary
    print("\n" + summary(study(scale, args.cores)))


def add_publish(commands) -> None:
    command = commands.add_parser("publish", help="copy a run's summaries into results/")
    add_scale(command)
    command.set_defaults(run=run_publish)


@on_scale
def run_publish(scale, args) -> None:
    from helpers.study.graph import PROJECT, publish
    from helpers.study.runs import Run
    target = PROJECT / "results" / scale.name
    print(f"{target}:", *publish(Run.of(scale, PROJECT / "runs"), target))


def add_regime(commands) -> None:
    command = commands.add_parser("regime", help="gather the runs of the regime map", description=(
        "Gathers the finished runs of the scales regime_* in results/regime."))
    command.set_defaults(run=run_regime)


def run_regime(args) -> int:
    check_stdout()
    from helpers.experiments.regime import RegimeError, gather, names, write
    from helpers.study.scale import PROJECT
    target = PROJECT / "results" / "regime"
    try:
        print(f"{target}:", *write(gather(PROJECT / "runs", names()), target))
    except RegimeError as error:
        raise Refusal(str(error)) from None
    return 0


def add_scale(command: Parser) -> None:
    command.add_argument("--scale", required=True, metavar="NAME",
                         help="the name of a file in scales/, without .yml")


# ── shared ──────────────────────────────────────────────────────────────────────────────


def add_size(command: Parser, default: int | None = None) -> None:
    for name in ("rows", "cols"):
        command.add_argument(f"--{name}", type=whole_number(3), default=default,
                             required=default is None, metavar=name[0].upper(),
                             help="a whole number from 3 up"
                                  + (f" (default {default})" if default else ""))


def add_output(command: Parser) -> None:
    command.add_argument("--output", required=True, metavar="FILE", help="a file, or - for stdout")


def progress(total: int | None, unit: str) -> tqdm:
    """A progress bar on stderr, where that is a terminal."""
    return tqdm(total=total, unit=unit, disable=None)


def parser() -> Parser:
    parser = Parser(prog="helpers", description="Mazes, A* traces, verdicts, the study.")
    commands = parser.add_subparsers(metavar="COMMAND", dest="COMMAND", required=True,
                                     help="generate, validate, study, publish or regime")
    for add in (add_generate, add_validate, add_study, add_publish, add_regime):
        add(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs a command.

    Returns:
        The exit status: 0, 1 for malformed lines, a study that failed or files that could not
        be read or written, 2 for wrong arguments.
    """
    fill_closed_streams()
    args = parser().parse_args(argv)
    try:
        status = args.run(args)
        if sys.stdout:
            sys.stdout.flush()
        return status
    except MazeError as error:
        complain(f"--{error}")
    except Refusal as error:
        complain(str(error))
        discard_stdout()
    except BrokenPipeError:  # whoever read stdout, such as head, has had enough
        discard_stdout()
        return 128 + 13  # what a shell reports for SIGPIPE
    except OSError as error:  # a full disk, a read-only folder, a file where a folder belongs
        complain(f"{error.filename or 'cannot write'}: {error.strerror or error}")
        discard_stdout()
        return 1
    except KeyboardInterrupt:
        return 128 + 2
    return 2


def fill_closed_streams() -> None:
    """Puts the null device where a standard stream is closed, lest a file take its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (to the end of the process)


def discard_stdout() -> None:
    """Lets go what stdout does not take; Python would try again at its end, and complain."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
