"""Models in the box: weights and answers that lie beside the published tables, in a few megabytes.

    results/<scale>/models/<model>.safetensors                    weights, bfloat16
    results/<scale>/responses/<model>/<distribution>.jsonl.gz     its answer to every test maze

`checkpoints.load_model` rounds each model it reads to bfloat16, so what the tables count is what
these weights answer. ``load_model`` reads them like those of a run; `read_responses` gives the
answers back, with the mazes they are to, as `evaluation.judge` takes them.
"""

import gzip
import json
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from helpers.checkpoints import read_checkpoint, rounded, write_checkpoint
from helpers.conditions import CONDITIONS, prompts
from helpers.corpus import Corpus, Recipe, build
from helpers.engine.files import atomic
from helpers.maze import MazeError


class ResponsesError(ValueError):
    """Stored responses that cannot be used; the message names the file and the cause."""


def store_model(source: Path, target: Path, made: dict) -> None:
    """Writes a checkpoint's weights as bfloat16, with what it says of itself.

    Args:
        made: what else is known of how it was made (date, commit, machine).
    """
    about, tensors = read_checkpoint(source)
    weights = {name: value for name, value in tensors.items() if name.startswith("model.")}
    write_checkpoint(target, about | {"made": made}, rounded(weights))


class Stored(NamedTuple):
    """A model's answers to the mazes of a corpus."""

    about: dict  # model, condition, answering (what differs from greedy answers)
    corpus: Corpus
    responses: list[np.ndarray]  # uint16 ids after the opening word, as `responses.respond` gives


def store_responses(target: Path, about: dict, corpus: Corpus, texts: list[str]) -> None:
    """Writes answers, a line each behind one that says whose they are, and to which mazes.

    Args:
        about: at least the ``condition`` of the model.
        texts: prompt and response of each maze, as from `responses.texts`. Prompts are left
            out: they follow from the corpus's recipe.
    """
    given = prompts(corpus, CONDITIONS[about["condition"]])
    about = about | {"corpus": asdict(corpus.recipe), "corpus_sha256": corpus.sha256}
    lines = [json.dumps(about)]
    for prompt, text in zip(given, texts, strict=True):
        before = corpus.vocabulary.decode(prompt[:-1]) + " "  # without the opening word
        if not text.startswith(before):
            raise ResponsesError(f"responses: got an answer to another maze than {before!r}")
        lines.append(json.dumps({"response": text[len(before):]}, separators=(",", ":")))
    content = "".join(f"{line}\n" for line in lines).encode()
    with atomic(target, "wb") as file:  # without date or name: equal answers, equal bytes
        file.write(gzip.compress(content, 9, mtime=0))


def read_responses(path: str | Path) -> Stored:
    """The answers in a file, and the mazes they are to, drawn again::

        stored = read_responses("results/laptop/responses/correct_1/wilson.jsonl.gz")
        rows = judge(stored.corpus, stored.about["condition"], stored.responses)

    Raises:
        ResponsesError: no file, a truncated or foreign one; or its mazes are not those that
            its recipe gives now.
    """
    try:
        about, *entries = map(json.loads, gzip.decompress(Path(path).read_bytes()).splitlines())
        fields = about.pop("corpus")
        fields["params"] = tuple((name, value) for name, value in fields["params"])
        corpus, sha256 = build(Recipe(**fields)), about.pop("corpus_sha256")
        ids = [corpus.vocabulary.encode(entry["response"])[1:] for entry in entries]
    except FileNotFoundError:
        raise ResponsesError(f"responses {path}: there is no such file") from None
    except MazeError as error:
        raise ResponsesError(f"responses {path}: its mazes cannot be drawn ({error})") from None
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError
            ) as error:
        raise ResponsesError(f"responses {path}: unreadable or truncated ({error})") from None
    if corpus.sha256 != sha256:
        raise ResponsesError(f"responses {path}: its mazes are not those of its recipe "
                             f"{corpus.recipe.name}, which has changed")
    if len(ids) != len(corpus):
        raise ResponsesError(f"responses {path}: got {len(ids)} answers, takes {len(corpus)}, one "
                             f"for each maze")
    return Stored(about, corpus, ids)
