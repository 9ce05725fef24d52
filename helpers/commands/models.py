"""Commands that use one trained model: ask, export."""

import argparse
import os
import sys
from pathlib import Path

from helpers.commands.arguments import Refusal, check_stdout, whole_number
from helpers.explanations import explain, picture
from helpers.maze import MazeError, Mazes

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
    from helpers.checkpoints import load_model
    from helpers.ownmazes import read_mazes, solvable
    from helpers.responses import answers  # torch: seconds, only here
    identity = known_model("--model", args.model)
    if objective := identity.get("objective"):
        raise Refusal(f"--model: got one of {objective}, takes a model that writes word by word")
    model = load_model(args.model)
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
    command.add_argument("--gguf", action="store_true", help="model.gguf too, for llama.cpp")
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
    from helpers.share.export import export  # torch and pandas: seconds, only here
    known_model("MODEL.safetensors", args.model)
    try:
        names = export(args.model, folder, args.vocabulary, args.gguf)
    except ValueError as error:
        raise Refusal(f"MODEL.safetensors: {args.model}: {error}") from None
    print(f"{folder}:", *names)
    return 0


# ── shared ────────────────────────────────────────────────────────────────────────────────


def known_model(option: str, path: str) -> dict:
    """What a model follows from; a checkpoint of another program, or condition, is refused."""
    from helpers.checkpoints import CheckpointError, read_checkpoint
    from helpers.conditions import CONDITIONS
    takes = "takes the model.safetensors of a training"
    try:
        identity = read_checkpoint(path)[0].get("follows_from", {})
    except CheckpointError as error:
        raise Refusal(f"{option}: {error}; {takes}") from None
    if not {"condition", "corpus", "model"} <= identity.keys():
        raise Refusal(f"{option}: checkpoint {path}: does not say what it is of; {takes}")
    if identity["condition"] not in CONDITIONS:
        raise Refusal(f"{option}: checkpoint {path}: got one of condition "
                      f"{identity['condition']!r}, takes one of {', '.join(CONDITIONS)}")
    return identity
