"""Commands that make one model of a run, or its answers, as notebooks 5 and 6 do: train, evaluate.

In several processes if asked: on one machine by ``--processes``, on several by torchrun, which
starts the command in each.
"""

import os
import re

from helpers.commands.arguments import Parser, Refusal, complain, whole_number
from helpers.commands.studies import add_run, on_run

AGAIN = "the same command goes on from the last checkpoint"


def number_or_auto(text: str) -> int | str:
    """The argument type of ``--processes``."""
    return text if text == "auto" else whole_number(1)(text)


def add_train(commands) -> None:
    command = commands.add_parser("train", help="train one model of a run", description=(
        "Trains one model to its end, from its last checkpoint on, and lets it answer the "
        "validation mazes at points of its training."))
    add_model(command)
    add_run(command, of_experiment=False)
    command.add_argument("--strategy", choices=("ddp",), default="ddp", metavar="STRATEGY",
                         help="ddp, each process holds the whole model; of this study's sizes none "
                              "has to be sharded (docs/scaling.md)")
    command.set_defaults(run=run_train)


@on_run
def run_train(run, experiment, args) -> int:
    from helpers.study import steps
    spec = model_of(run, args)
    scale, made = run.scale_of(spec), (run.model(spec), run.curve(spec))

    def work() -> None:
        steps.train(run, spec)
        steps.follow(run, spec)

    return shared(work, run, args, made, {"examples of a batch": scale.training.batch_size,
                                          "validation mazes": scale.validation_examples})


def add_evaluate(commands) -> None:
    command = commands.add_parser("evaluate", help="let one model of a run answer", description=(
        "Lets one trained model answer all mazes that an experiment asks it, and judges them."))
    add_model(command)
    add_run(command)
    command.set_defaults(run=run_evaluate)


@on_run
def run_evaluate(run, experiment, args) -> int:
    from helpers.study import steps
    spec = model_of(run, args)
    evaluations = experiment.evaluations(run.scale)
    asked = [one for one in evaluations if one.model == spec]
    if not asked:
        known = dict.fromkeys(one.model.name for one in evaluations)
        raise Refusal(f"--model: got {args.model!r}, takes one that {args.experiment} asks at "
                      f"scale {run.scale.name}: {', '.join(known)}")
    run.store.use(run.model(spec))
    return shared(lambda: steps.evaluate(run, asked), run, args,
                  [run.answers(one) for one in asked],
                  {"test mazes": run.scale_of(spec).test_examples})


# ── shared ────────────────────────────────────────────────────────────────────────────────


def add_model(command: Parser) -> None:
    command.add_argument("--model", required=True, metavar="NAME",
                         help="CONDITION[+NAME=VALUE …]_SEED, such as correct_1")
    command.add_argument("--processes", type=number_or_auto, metavar="N",
                         help="how many share the work on this machine, a whole number from 1 up "
                              "or auto, one a GPU (default: this one)")


def model_of(run, args):
    """The model that is named; a seed of any size, a condition and variations that there are."""
    from helpers.conditions import CONDITIONS
    from helpers.study.specs import ModelSpec
    try:
        spec = ModelSpec.parse(args.model)
    except ValueError as error:
        raise Refusal(f"--{error}") from None
    if spec.condition not in CONDITIONS:
        raise Refusal(f"--model: got {args.model!r}, takes a condition among "
                      f"{', '.join(CONDITIONS)}")
    try:
        run.parameters(spec)
        run.scale_of(spec)
    except ValueError as error:  # of a scale, or of a condition's parameter
        raise Refusal(f"--model: got {args.model!r}: {error}") from None
    return spec


def shared(work, run, args, made, parts: dict[str, int]) -> int:
    """Does the work, in other processes or joined by them where that is asked for.

    Args:
        made: the products that come of it; where all are there, nothing is started.
        parts: what is shared out, with how many there are.
    """
    count = processes(args, parts)
    if count > 1 and not all(run.store.status(one).usable for one in made):
        return launched(count, run, args)
    from helpers.checkpoints import CheckpointError
    from helpers.engine import together
    from helpers.training import TrainingError
    try:
        with together.together():
            work()
            if together.rank() == 0:
                print(run.file(made[0].files[0]).parent)
    except together.LostError as error:
        if not os.environ.get(together.LAUNCHED):
            complain(f"{args.model}: {error}; {AGAIN}")
        return together.LOST
    except (TrainingError, CheckpointError, together.TogetherError) as error:
        complain(str(error))
        return 1
    except (MemoryError, RuntimeError) as error:  # torch has no error of its own for it on a CPU
        no_room = re.search("out of memory|allocate memory", str(error))
        if isinstance(error, RuntimeError) and not no_room:
            raise
        complain(f"{args.model}: out of memory ({str(error).partition(chr(10))[0]:.150})")
        return 1
    return 0


def processes(args, parts: dict[str, int]) -> int:
    """How many are to be started here."""
    if args.processes is None:
        return 1
    if "WORLD_SIZE" in os.environ:
        raise Refusal(f"--processes: got {args.processes} under torchrun, which says how many; "
                      "takes none")
    import torch
    gpus = torch.cuda.device_count()
    count = max(1, gpus) if args.processes == "auto" else args.processes
    limits = parts | ({"GPUs of this machine": gpus} if gpus else {})
    for what, most in limits.items():
        if count > most:
            raise Refusal(f"--processes: got {count}, takes at most {most}, the {what}")
    return count


def launched(count: int, run, args) -> int:
    """The exit status of the same command in several processes of this machine."""
    from helpers.engine import together
    from helpers.study.runs import cores
    words = ["helpers", args.COMMAND, "--scale", run.scale.name, "--model", args.model,
             "--root", str(run.folder.parent), *["--keep"] * args.keep]
    if args.COMMAND == "evaluate":
        words += ["--experiment", args.experiment]
    status, said = together.launch(words, count, cores())
    if said:
        complain(f"{args.model}: {said}; {AGAIN}")
    return status
