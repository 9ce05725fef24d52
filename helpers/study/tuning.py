"""Models that go on from another: what they follow from, and how they are made.

    python -m helpers.study.tuning --scale laptop --root runs correct+after=grpo_1

makes one whose first training is there, as a step of a study does.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from math import ceil
from pathlib import Path

import numpy as np

from helpers.batches import Batches
from helpers.checkpoints import load_model
from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import Corpus
from helpers.engine.files import sha256
from helpers.layouts import GAPS, PROMPTS
from helpers.model import Transformer
from helpers.study.products import Product
from helpers.study.scale import Scale
from helpers.study.specs import ModelSpec
from helpers.subnetwork import Weights, as_many_at_random, changed, read_weights
from helpers.tuner import Tuner, tuner


def product(scale: Scale, spec: ModelSpec, model_of: Callable[[ModelSpec], Product],
            corpus: Product, parameters: dict) -> Product:
    """The weights of a model that goes on from another.

    Args:
        scale: with the model's variation.
        model_of: spec → the product of that model.
        corpus: whose mazes it answers.
        parameters: of its condition.
    """
    training, tuning = scale.training, scale.tuning
    settings = {"condition": spec.condition, "seed": spec.seed, "parameters": parameters,
                "model": scale.transformer().shape(), "training": training.effective(),
                "tuning": tuning.effective(), **scale.unusual()}
    starts, learning = [load_model, tuner, going_on, objective(scale)], scale.learning
    if tuning.after in learning.from_answers and not learning.sees_all:
        settings["max_new_tokens"] = scale.decoding.max_new_tokens
    else:  # from its examples, or the room that the longest of them takes
        starts += [put_together, CONDITIONS[spec.condition].traces, GAPS[training.gap],
                   PROMPTS[training.prompts], learning.batches]
    inputs = [model_of(spec.before), *map(model_of, spec.masked_by), corpus]
    return Product(f"model {spec.name}", (f"models/{spec.name}/model.safetensors",
                                          f"models/{spec.name}/metrics.jsonl"),
                   settings, tuple(starts), "17_grpo", tuple(inputs))


def objective(scale: Scale) -> type:
    """What makes gradients: from own answers, or as its training did."""
    return scale.learning.from_answers.get(scale.tuning.after, scale.learning.learns)


def going_on(scale: Scale, spec: ModelSpec, corpus: Corpus, parameters: dict,
             path_of: Callable[[ModelSpec], Path], folder: Path, device: str) -> Tuner:
    """What makes a model that goes on from another.

    Args:
        scale: with the model's variation.
        corpus: the training set.
        path_of: spec → where the weights of that model lie.
        folder: where to work.
    """
    tuning, context = scale.tuning, scale.transformer().context
    start = path_of(spec.before)

    def model() -> Transformer:
        return load_model(start, corpus, device, context)

    learns = None
    if spec.masked_by:
        whole = path_of(*spec.masked_by)
        learns = learning(read_weights(start, as_published=True), read_weights(whole),
                          tuning.only, spec.seed)
    about = {"condition": spec.condition, "parameters": parameters,
             "corpus": {**corpus.recipe.__dict__, "sha256": corpus.sha256},
             "before": sha256(start), "tuning": tuning.effective(), **scale.unusual()}
    examples, longest = examples_again(scale, spec, corpus, parameters), None
    if scale.learning.sees_all:
        about["room"] = longest = examples.room
    return tuner(model(), corpus, spec.condition, tuning, scale.training,
                 objective=objective(scale), examples=examples,
                 before=model() if tuning.kl and tuning.after == "grpo" else None, learns=learns,
                 seed=spec.seed, max_new_tokens=longest or scale.decoding.max_new_tokens,
                 batch_size=scale.decoding.batch_size, folder=folder, follows_from=about,
                 title=f"training {spec.name}", device=device)


def examples_again(scale: Scale, spec: ModelSpec, corpus: Corpus, parameters: dict) -> Batches:
    """What a model was trained on, in another order, as many a step as there are answers."""
    tuning, training = scale.tuning, scale.training
    examples = put_together(corpus, CONDITIONS[spec.condition], spec.seed, **parameters)
    (seed,) = np.random.SeedSequence([spec.seed, tuning.draws, 0x61]).generate_state(1)
    size = min(tuning.mazes * tuning.answers, len(examples))
    batches = scale.learning.batches(
        examples, size, ceil(tuning.tuning_steps / (len(examples) // size)), int(seed),
        gap=GAPS[training.gap], prompts=PROMPTS[training.prompts])
    batches.steps = tuning.tuning_steps
    return batches


def learning(before: Weights, after: Weights, only: str, seed: int) -> Weights:
    """Which entries learn: those that differ once rounded to bfloat16, or as many others."""
    found = changed(before, after, "in_bfloat16")
    return found if only == "changed" else as_many_at_random(found, seed)


def main(argv: list[str] | None = None) -> None:
    from helpers.study import steps
    from helpers.study.runs import Run
    from helpers.study.scale import load_scale
    parser = argparse.ArgumentParser(prog="helpers.study.tuning", description=main.__doc__)
    parser.add_argument("--scale", required=True)
    parser.add_argument("--root", default="runs")
    parser.add_argument("model")
    words = parser.parse_args(argv)
    try:
        run, spec = Run(load_scale(words.scale), words.root), ModelSpec.parse(words.model)
        if not spec.before:
            raise ValueError(f"model: got {spec.name}, takes one that goes on from another, such "
                             f"as {replace(spec, variation=(('after', 'grpo'),)).name}")
        run.scale_of(spec)
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    steps.train(run, spec)
    steps.follow(run, spec)


if __name__ == "__main__":
    main()
