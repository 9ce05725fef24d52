"""The command line: ``python -m helpers COMMAND …``; argument checking, nothing else."""

import argparse
import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tqdm import tqdm

from helpers import published, validator
from helpers.engine.files import atomic
from helpers.engine.lines import ReadError, json_entries, text_lines
from helpers.generators import GENERATORS
from helpers.language import read_jsonl_text
from helpers.maze import SAMPLINGS, SPLITS, MazeError, Mazes, Sampler, check_choice, check_size
from helpers.rules import OffGridError, explain, picture
from helpers.share.examples import at_once, write_jsonl
from helpers.tally import Tally


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
    chunk = at_once(args.rows, args.cols)
    with output(args.output) as file, progress(args.count, "maze") as bar:
        while sampler.position < args.count:
            mazes = sampler.take(min(chunk, args.count - sampler.position))
            write_jsonl(mazes, file)
            bar.update(len(mazes.grids))
    return 0


# ── validate ────────────────────────────────────────────────────────────────────────────

VERDICTS = {"ours": validator.judge_text, "published": published.judge_text}
LEVELS = {"ours": {"plans": ("optimal",), "traces": ("strict", "exact")},
          "published": {"plans": (), "traces": ()}}  # beyond valid


def add_validate(commands) -> None:
    command = commands.add_parser("validate", help="judge the plans and traces of a JSONL file")
    command.add_argument("input", metavar="INPUT.jsonl",
                         help='a file of lines {"text": …}, gzip or not, or - for stdin')
    add_size(command)
    command.add_argument("--verdict", choices=VERDICTS, default="ours", metavar="VERDICT",
                         help="ours (the default: each broken rule, and valid, strict or exact) or "
                              "published (valid or not, by the rules of the paper's authors)")
    add_output(command)
    command.set_defaults(run=validate)


def validate(args: argparse.Namespace) -> int:
    check_size(args.rows, args.cols)
    if same_file(args.input, args.output):
        raise Refusal(f"--output: got {args.output!r}, which is the input, takes another file")
    tally, beyond = Tally(LEVELS[args.verdict]), None  # the first prompt of a larger grid
    with output(args.output) as file, progress(None, "line") as bar:
        for place, entry in entries(args.input):
            try:
                verdict = VERDICTS[args.verdict](read_jsonl_text(entry), args.rows, args.cols)
            except ValueError as error:
                tally.malformed += 1
                row = {"error": f"{place}: {error}"}
                if isinstance(error, OffGridError) and not beyond:
                    beyond = "{} needs at least {} rows and {} columns".format(place, *error.needs)
            else:
                tally.add(verdict)
                row = verdict.as_dict()
            file.write(json.dumps(row).encode() + b"\n")
            bar.update()
        if beyond and not tally.judged:
            raise Refusal(f"--rows, --cols: got {args.rows}, {args.cols}, which fit no line of "
                          f"{args.input}, takes the size of its mazes: {beyond}")
    print(tally.summary(), file=sys.stderr)
    return 1 if tally.malformed else 0


def entries(path: str) -> Iterator[tuple[str, bytes]]:
    """The lines to be judged, each with its place."""
    try:
        yield from json_entries(text_lines(path))
    except ReadError as error:
        raise Refusal(f'INPUT.jsonl: got {path!r} ({error}), takes a file that can be read, with '
                      'lines {"text": …} or a JSON array of them; gzip too; or - for stdin'
                      ) from None


def same_file(source: str, target: str) -> bool:
    """Whether both are one file, through links and a shell's redirections too."""
    try:
        one, other = (os.fstat(stream) if path == "-" else os.stat(path)
                      for path, stream in ((source, 0), (target, 1)))
    except OSError:  # one is not there, which is for its reader or writer to say
        return False
    return stat.S_ISREG(one.st_mode) and os.path.samestat(one, other)


# ── ask ─────────────────────────────────────────────────────────────────────────────────


def add_ask(commands) -> None:
    command = commands.add_parser("ask", help="let a trained model solve mazes", description=(
        "Prints a model's answer to each maze of a file, the verdict on it, and a picture."))
    command.add_argument("--model", required=True, metavar="MODEL.safetensors",
                         help="the model.safetensors of a training, runs/…/models/…/")
    command.add_argument("--maze", required=True, metavar="FILE",
                         help="a file of mazes, maps of # . S G with an empty line between or "
                              "JSONL; or - for stdin")
    command.add_argument("--which", type=whole_number(1), metavar="N",
                         help="which maze of the file, from 1 up (default: all)")
    command.set_defaults(run=ask)


def ask(args: argparse.Namespace) -> int:
    from helpers.checkpoints import CheckpointError, load_model, read_checkpoint
    from helpers.ownmazes import read_mazes, solvable
    from helpers.responses import answers  # torch: seconds, only here
    try:
        about, _ = read_checkpoint(args.model)
        model = load_model(args.model)
    except CheckpointError as error:
        raise Refusal(f"--model: {error}; takes the model.safetensors of a training") from None
    identity = about["follows_from"]
    rows, cols = (identity["corpus"][side] for side in ("rows", "cols"))
    try:
        mazes = read_mazes(args.maze, rows, cols)
    except MazeError as error:
        raise Refusal(f"--{error}; the model is one for {rows}x{cols}") from None
    n, ways = len(mazes.grids), solvable(mazes)
    which = list(range(n)) if args.which is None else [args.which - 1]
    if which[-1] >= n:
        raise Refusal(f"--which: got {args.which}, takes a whole number from 1 to {n}, the mazes "
                      f"in {args.maze}")
    if blocked := [i + 1 for i in which if not ways[i]]:
        print(f"no way from start to goal: {len(blocked)} of {len(which)} mazes, number "
              f"{', '.join(map(str, blocked))}\n")
    chosen = Mazes(*(array[which] for array in mazes))
    for i, response in zip(which, answers(model, chosen, identity["condition"]), strict=True):
        maze = mazes.maze(i)
        print(f"maze {i + 1} of {n}" + ", unsolvable" * (not ways[i]), f"answer: {response}",
              explain(maze, response), picture(maze, response), "", sep="\n")
    sys.stdout.flush()
    return 0


# ── study, report, publish ──────────────────────────────────────────────────────────────


def on_run(work):
    """The command that does this work on a run and an experiment: 0, or 1 where it fails."""

    def run(args) -> int:
        check_stdout()
        from helpers.experiments import EXPERIMENTS  # torch and pandas: seconds, only here
        from helpers.study.plan import StudyError
        from helpers.study.products import StaleError
        from helpers.study.runs import KEEP, Run
        from helpers.study.scale import ScaleError, load_scale
        check_choice("experiment", args.experiment, EXPERIMENTS)
        if args.keep:
            os.environ[KEEP] = "1"
        try:
            work(Run(load_scale(args.scale), args.root), EXPERIMENTS[args.experiment], args)
        except ScaleError as error:
            raise Refusal(f"--{error}") from None
        except (StudyError, StaleError) as error:
            complain(str(error))
            return 1
        return 0

    return run


def add_study(commands) -> None:
    command = commands.add_parser("study", help="run an experiment", description=(
        "Runs every step of an experiment that is not done yet, and prints what it found."))
    add_run(command)
    command.add_argument("--cores", type=whole_number(1), metavar="N",
                         help="a whole number from 1 up (default: all cores)")
    command.add_argument("--profile", metavar="FOLDER",
                         help="a folder with a config.yaml for Snakemake, such as profiles/slurm; "
                              "it says where steps run and how many at once")
    command.add_argument("--again", action="store_true",
                         help="make again what was made with other settings or code")
    command.set_defaults(run=run_study)


@on_run
def run_study(run, experiment, args) -> None:
    from helpers.study.graph import study, summary
    if args.profile is not None and not Path(args.profile, "config.yaml").is_file():
        raise Refusal(f"--profile: got {args.profile!r}, takes a folder with a config.yaml, such "
                      "as profiles/slurm")
    if args.profile is not None and args.cores is not None:
        raise Refusal("--cores: got it with --profile, takes one of the two")
    study(run, args.experiment, experiment, cores=args.cores, again=args.again,
          profile=args.profile and Path(args.profile).resolve())
    print("\n" + summary(run, experiment))


def add_report(commands) -> None:
    command = commands.add_parser("report", help="write the page of an experiment")
    add_run(command)
    command.set_defaults(run=run_report)


@on_run
def run_report(run, experiment, args) -> None:
    from helpers.study.steps import report
    print(report(run, experiment))


def add_publish(commands) -> None:
    command = commands.add_parser("publish", help="copy an experiment's results into results/")
    add_run(command)
    command.set_defaults(run=run_publish)


@on_run
def run_publish(run, experiment, args) -> None:
    from helpers.engine.files import PROJECT
    from helpers.study.publish import publish
    target = PROJECT / "results" / run.scale.name
    print(f"{target}:", *publish(run, experiment, target))


def add_fetch(commands) -> None:
    command = commands.add_parser("fetch", help="take over published models", description=(
        "Puts the models published in results/ into a run, so that a study goes on from them."))
    add_run(command)
    command.set_defaults(run=run_fetch)


@on_run
def run_fetch(run, experiment, args) -> None:
    from helpers.engine.files import PROJECT
    from helpers.study.graph import locked
    from helpers.study.publish import fetch
    with locked(run):
        fetch(run, experiment, PROJECT / "results" / run.scale.name, say=print)


def add_run(command: Parser) -> None:
    command.add_argument("--scale", required=True, metavar="NAME",
                         help="the name of a file in scales/, without .yml")
    command.add_argument("--experiment", default="headline", metavar="NAME",
                         help="the name of an experiment (default headline)")
    command.add_argument("--root", default="runs", metavar="FOLDER",
                         help="the folder of all runs (default runs, in the project)")
    command.add_argument("--keep", action="store_true",
                         help="use what was made with other settings or code, and say so")


# ── export ──────────────────────────────────────────────────────────────────────────────


def add_export(commands) -> None:
    command = commands.add_parser("export", help="write a trained model for transformers",
                                  description="Writes a folder that Hugging Face transformers "
                                              "read: weights, settings, tokenizer, model card.")
    command.add_argument("model", metavar="MODEL.safetensors",
                         help="the model.safetensors of a training, runs/…/models/…/, or a "
                              "published model, results/…/models/")
    command.add_argument("folder", metavar="DIR", help="a folder that is empty or not there yet")
    command.add_argument("--vocabulary", choices=("ours", "published"), default="ours",
                         metavar="ORDER", help="ours (the default) or published (the order of "
                                               "tokens in the published models)")
    command.set_defaults(run=run_export)


def run_export(args: argparse.Namespace) -> int:
    check_stdout()
    folder = Path(args.folder)
    takes = "takes a folder that is empty or not there yet"
    if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise Refusal(f"DIR: got {args.folder!r}, which is "
                      f"{'not empty' if folder.is_dir() else 'no folder'}, {takes}")
    if not folder.absolute().parent.is_dir():
        raise Refusal(f"DIR: got {args.folder!r}, whose parent is no folder, {takes}")
    from helpers.checkpoints import CheckpointError
    from helpers.share.export import export  # torch and pandas: seconds, only here
    try:
        names = export(args.model, folder, args.vocabulary)
    except CheckpointError as error:
        raise Refusal(f"MODEL.safetensors: {error}; takes the model.safetensors of a training"
                      ) from None
    except ValueError as error:
        raise Refusal(f"MODEL.safetensors: {args.model}: {error}") from None
    print(f"{folder}:", *names)
    return 0


# ── convert ─────────────────────────────────────────────────────────────────────────────


def add_convert(commands) -> None:
    command = commands.add_parser("convert", help="read mazes in one format, write another",
                                  description="Solves the mazes of a file with A* and writes them "
                                              "in another format.")
    command.add_argument("input", metavar="INPUT",
                         help="a file of mazes, of all but maze-dataset and corpus also - for "
                              "stdin")
    command.add_argument("--from", required=True, dest="source", metavar="FORMAT",
                         help="jsonl, maps (of # . S G), corpus (of a run, .safetensors), "
                              "maze-hard (CSV), maze-dataset (.zanj; a cell for a room, one for "
                              "what lies between) or maze-dataset-cells (a node a cell)")
    command.add_argument("--to", required=True, dest="target", metavar="FORMAT",
                         help="jsonl, maps, parquet, maze-hard, maze-dataset or "
                              "maze-dataset-cells")
    add_size(command, required=False)
    add_output(command)
    command.set_defaults(run=run_convert)


def run_convert(args: argparse.Namespace) -> int:
    from helpers.share.formats import SOURCES, TARGETS  # pandas: seconds, only here
    for option, name, known in (("from", args.source, SOURCES), ("to", args.target, TARGETS)):
        check_choice(option, name, known)
    if (args.rows is None) != (args.cols is None):
        raise Refusal("--rows, --cols: got one of them, takes both or none")
    if same_file(args.input, args.output):
        raise Refusal(f"--output: got {args.output!r}, which is the input, takes another file")
    option = f"--from: got {args.source}"
    try:
        mazes = SOURCES[args.source](args.input, args.rows, args.cols)
        option = f"--to: got {args.target}"
        with output(args.output) as file:
            TARGETS[args.target](mazes, file)
    except ModuleNotFoundError as error:
        raise Refusal(f"{option}, takes the Python package {error.name.replace('_', '-')} with "
                      "it, which is not installed") from None
    except MazeError as error:
        raise Refusal(f"{option}: {error}") from None
    return 0


# ── shared ──────────────────────────────────────────────────────────────────────────────


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


def parser() -> Parser:
    parser = Parser(prog="helpers", description="Mazes, A* traces, verdicts, the study.")
    commands = parser.add_subparsers(metavar="COMMAND", dest="COMMAND", required=True,
                                     help="generate, validate, ask, study, report, publish, "
                                          "fetch, export or convert")
    for add in (add_generate, add_validate, add_ask, add_study, add_report, add_publish, add_fetch,
                add_export, add_convert):
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
