"""Commands on a run and an experiment: study, report, publish, fetch."""

import functools
import gc
import importlib
import os
from pathlib import Path

from helpers.commands.arguments import Parser, Refusal, check_stdout, complain, whole_number
from helpers.maze import check_choice


@functools.cache
def load() -> None:
    """Imports torch, pandas and what stands on them: seconds, only here.

    Without looking for garbage meanwhile, and never again among what they have made: a fifth of the
    processor time of a study with nothing to do.
    """
    gc.disable()
    try:
        importlib.import_module("helpers.experiments")
    finally:
        gc.enable()
    gc.freeze()


def on_run(work):
    """The command that does this work on a run and an experiment.

    Its exit status is what the work returns, 0 for nothing, and 1 where it fails.
    """

    def command(args) -> int:
        check_stdout()
        load()
        from helpers.experiments import EXPERIMENTS
        from helpers.study.plan import StudyError
        from helpers.study.products import StaleError
        from helpers.study.runs import KEEP, Run
        from helpers.study.scale import ScaleError, load_scale
        check_choice("experiment", args.experiment, EXPERIMENTS)
        if args.keep:
            os.environ[KEEP] = "1"
        experiment = EXPERIMENTS[args.experiment]
        try:
            scale = load_scale(args.scale)
            if not experiment.evaluations(scale):
                raise Refusal(f"--experiment: got {args.experiment!r}, which asks nothing of the "
                              f"conditions of scale {scale.name}, {', '.join(scale.conditions)}; "
                              "takes another, or a scale with others")
            return work(Run(scale, args.root), experiment, args) or 0
        except ScaleError as error:
            raise Refusal(f"--{error}") from None
        except (StudyError, StaleError) as error:
            complain(str(error))
            return 1

    return command


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


def add_run(command: Parser, of_experiment: bool = True) -> None:
    command.add_argument("--scale", required=True, metavar="NAME",
                         help="the name of a file in scales/, without .yml")
    command.set_defaults(experiment="headline")
    if of_experiment:
        command.add_argument("--experiment", default="headline", metavar="NAME",
                             help="the name of an experiment (default headline)")
    command.add_argument("--root", default="runs", metavar="FOLDER",
                         help="the folder of all runs (default runs, in the project)")
    command.add_argument("--keep", action="store_true",
                         help="use what was made with other settings or code, and say so")
