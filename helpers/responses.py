"""What a trained model is asked, and what it writes.

A model is given a prompt with its opening word and writes the rest. It may be asked in other
ways (`helpers.asking`): with the response at other positions (a *gap*, see `helpers.layouts`), or
with the trace given, so that the plan alone is left to write.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from helpers.batches import make_batch
from helpers.conditions import CONDITIONS, Examples, lenders, prompts
from helpers.corpus import PLAN_PART, PROMPT_PART, TRACE_PART, Corpus, Segments
from helpers.decoding import generate
from helpers.engine.precision import autocast
from helpers.language import SOLUTION, Vocabulary
from helpers.layouts import positions
from helpers.maze import Maze, MazeError, Mazes
from helpers.model import Transformer
from helpers.training import to_tensors


def respond(model: Transformer, corpus: Corpus, condition: str, *, max_new_tokens: int,
            batch_size: int = 256, gap: int | np.ndarray = 0,
            traces: Sequence[np.ndarray] | None = None, temperature: float = 0.0,
            title: str | None = None) -> list[np.ndarray]:
    """A model's answer to every maze of a corpus, uint16 ids after the opening word.

    Args:
        gap: by how much the positions of a response are shifted, one number or int [n].
        traces: the events given, uint16 ids, one array a maze; they are part of the answer.
        temperature: 0 for greedy answers, see `decoding.Decoder`.

    Raises:
        ValueError: traces are given to a model that has learnt to write none.
    """
    asked, openings = _asked(corpus, condition, traces), prompt_lengths(corpus)
    gaps = np.broadcast_to(gap, len(asked)).tolist()
    placed = [positions(len(prompt), opening, shift)
              for prompt, opening, shift in zip(asked, openings, gaps, strict=True)]
    found = generate(model, asked, max_new_tokens=max_new_tokens, batch_size=batch_size,
                     temperature=temperature, positions=placed, title=title)
    if traces is None:
        return found
    return [np.append(prompt[opening + 1:], plan)
            for prompt, opening, plan in zip(asked, openings, found, strict=True)]


def _asked(corpus: Corpus, condition: str, traces: Sequence[np.ndarray] | None
           ) -> list[np.ndarray]:
    """What stands before each answer: prompt and opening word; a trace and ``solution`` if given.

    Raises:
        ValueError: traces are given to a model that has learnt to write none.
    """
    asked = prompts(corpus, CONDITIONS[condition])
    if traces is None:
        return asked
    if not CONDITIONS[condition].has_trace:
        raise ValueError(f"traces: got some for {condition}, takes a condition with a trace")
    return [np.concatenate([prompt, trace, [np.uint16(SOLUTION)]])
            for prompt, trace in zip(asked, traces, strict=True)]


def right_plans(model: Transformer, corpus: Corpus, condition: str, *,
                traces: Sequence[np.ndarray] | None = None, batch_size: int = 32) -> np.ndarray:
    """How likely a model holds A*'s own plan of each maze: log-probability in nats, float64 [n].

    Of all words of the plan behind ``solution``, ``end`` included, teacher-forced.

    Args:
        traces: the events given before ``solution``, as for `respond`; none where the condition
            has none.
    """
    before = [np.append(prompt[:-1], np.uint16(SOLUTION))
              for prompt in _asked(corpus, condition, traces)]
    plans = corpus.part(PLAN_PART)
    right = [plans.piece(i)[1:] for i in range(len(corpus))]  # `solution` is given
    found = word_chances(model, before, right, batch_size=batch_size)
    return np.array([np.add.reduce(each) for each in found])


def trace_chances(model: Transformer, corpus: Corpus, condition: str,
                  traces: Sequence[np.ndarray], *, batch_size: int = 32) -> list[np.ndarray]:
    """How likely a model holds each word of a trace: log-probabilities in nats, float64 [words].

    Args:
        traces: events behind ``reasoning``, uint16 ids, of the first mazes of the corpus: those
            that the model has written (`written_traces`), or others.
    """
    asked = prompts(corpus, CONDITIONS[condition])[:len(traces)]
    return word_chances(model, asked, traces, batch_size=batch_size)


@torch.no_grad()
def word_chances(model: Transformer, before: Sequence[np.ndarray], words: Sequence[np.ndarray], *,
                 batch_size: int = 32) -> list[np.ndarray]:
    """The log-probability in nats of each word, teacher-forced: float64 arrays, one a text.

    Args:
        before: what stands before each text, uint16 ids, at least one.
        words: the texts, uint16 ids.
    """
    device = model.embedding.weight.device
    asked, text = (np.concatenate([np.empty(0, np.uint16), *parts]) for parts in (
        [prompt[:-1] for prompt in before],
        [np.append(prompt[-1], each) for prompt, each in zip(before, words, strict=True)]))
    ends, last = (np.cumsum([len(part) + more for part in parts], dtype=np.int64)
                  for parts, more in ((before, -1), (words, 1)))
    nothing = np.zeros(len(words), np.int64)
    examples = Examples(Segments(asked, np.append(0, ends[:-1]), ends),
                        Segments(asked, nothing, nothing),
                        Segments(text, np.append(0, last[:-1]), last), nothing)
    found = []
    for indices in np.split(np.arange(len(words)), range(batch_size, len(words), batch_size)):
        batch = make_batch(examples, indices)  # learns just what is behind the opening word
        tokens, packing, learn, targets, _ = to_tensors(
            batch, np.zeros(len(batch.targets), np.float32), device)
        with autocast(device):
            chances = model.exact_logits(model.hidden(tokens, packing, learn)).log_softmax(-1)
        each = chances.gather(1, targets[:, None]).squeeze(1).double().cpu().numpy()
        lengths = [len(words[i]) for i in indices]
        found += np.split(each[:sum(lengths)], np.cumsum(lengths)[:-1])
    return found


def realigned(corpus: Corpus, training: Corpus) -> np.ndarray:
    """The gap, int64 [n], behind which each response begins where most did in training."""
    lengths = prompt_lengths(training)
    usual = np.bincount(lengths).argmax()
    return usual - prompt_lengths(corpus)


def true_traces(corpus: Corpus) -> list[np.ndarray]:
    """A*'s own trace of each maze, without ``reasoning``."""
    part = corpus.part(TRACE_PART)
    return [part.piece(i)[1:] for i in range(len(corpus))]


def other_traces(corpus: Corpus) -> list[np.ndarray]:
    """A*'s trace of another maze of the corpus."""
    own = true_traces(corpus)
    return [own[i] for i in lenders(corpus, 0)]


def written_traces(corpus: Corpus, texts: Sequence[str]) -> list[np.ndarray]:
    """The traces that stand in examples or responses to each maze, as far as they were written."""
    words = [text.split(" reasoning", 1)[1].split(" solution", 1)[0] for text in texts]
    return [corpus.vocabulary.encode(part.removesuffix(" end")) for part in words]


def prompt_lengths(corpus: Corpus) -> np.ndarray:
    """Tokens before the opening word, int64 [n]."""
    return corpus.part(PROMPT_PART).lengths()


def answer(model: Transformer, maze: Maze, condition: str) -> str:
    """A model's greedy response to any maze of its grid, as `validator.explain` reads it::

        model = load_model("runs/laptop/models/correct_1/model.safetensors")
        response = answer(model, maze, "correct")
        print(explain(maze, response))
    """
    return answers(model, Mazes.of([maze]), condition)[0]


def answers(model: Transformer, mazes: Mazes, condition: str) -> list[str]:
    """Greedy responses as text, opening word included, each as long as the context allows.

    Raises:
        MazeError: mazes of another grid than the model's.
    """
    rows, cols = mazes.grids.shape[1:]
    vocabulary = Vocabulary(rows, cols)
    if vocabulary.size != model.config.vocabulary:
        raise MazeError(f"maze: got {rows}x{cols}, which has {vocabulary.size} tokens, takes the "
                        f"grid of the model, which has {model.config.vocabulary}")
    opening = np.uint16(CONDITIONS[condition].opening)
    asked = [np.append(vocabulary.prompt_ids(mazes.maze(i)), opening)
             for i in range(len(mazes.grids))]
    room = model.config.context - max(map(len, asked))
    return [vocabulary.decode(np.append(opening, ids))
            for ids in generate(model, asked, max_new_tokens=room)]


def texts(corpus: Corpus, condition: str, responses: list[np.ndarray]) -> Iterator[str]:
    """Prompt and response of each maze as text, as the command ``validate`` reads it."""
    given = prompts(corpus, CONDITIONS[condition])
    for prompt, response in zip(given, responses, strict=True):
        yield corpus.vocabulary.decode(np.concatenate([prompt, response]))
