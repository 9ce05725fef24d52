"""Commands that make, judge and convert mazes."""

import argparse
import json
import sys
from collections.abc import Iterator

from helpers import published, validator
from helpers.commands.arguments import (
    Refusal,
    add_output,
    add_size,
    output,
    parameter,
    progress,
    same_file,
    whole_number,
)
from helpers.engine.lines import ReadError, json_entries, text_lines
from helpers.generators import GENERATORS
from helpers.language import at_once, read_jsonl_text
from helpers.maze import SAMPLINGS, SPLITS, MazeError, Sampler, check_choice, check_size
from helpers.rules import OffGridError
from helpers.share.examples import write_jsonl
from helpers.tally import Tally

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
