"""The command line: ``python -m helpers COMMAND …``; what there is, and how it ends."""

import os
import sys

from helpers.commands.arguments import Parser, Refusal, complain
from helpers.commands.mazes import add_convert, add_generate, add_validate
from helpers.commands.models import add_ask, add_export
from helpers.commands.single import add_evaluate, add_train
from helpers.commands.studies import add_fetch, add_publish, add_report, add_study
from helpers.maze import MazeError


def parser() -> Parser:
    parser = Parser(prog="helpers", description="Mazes, A* traces, verdicts, the study.")
    commands = parser.add_subparsers(metavar="COMMAND", dest="COMMAND", required=True,
                                     help="generate, validate, ask, study, train, evaluate, "
                                          "report, publish, fetch, export or convert")
    for add in (add_generate, add_validate, add_ask, add_study, add_train, add_evaluate,
                add_report, add_publish, add_fetch, add_export, add_convert):
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
