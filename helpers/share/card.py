"""The page that goes with an exported model: what it is, how it was made, what it cannot do."""

import inspect
import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch

from helpers.checkpoints import CheckpointError, read_checkpoint, rounded, under
from helpers.conditions import CONDITIONS, prompts
from helpers.corpus import Recipe, build
from helpers.engine.files import PROJECT
from helpers.evaluation import percent_table
from helpers.generators import GENERATORS
from helpers.language import Vocabulary

CARD = """\
---
license: mit
library_name: transformers
pipeline_tag: text-generation
tags: [maze, planning, a-star, reasoning-traces]
---

# {title}

A transformer of {parameters:,} parameters in the shape of Qwen2, trained from scratch to {task}.
It is part of an open study: does it matter which maze a reasoning trace belongs to? The study
re-examines [arXiv 2505.13775](https://arxiv.org/abs/2505.13775).

Condition `{condition}`, which says what stands between prompt and plan in training: {traces}

## Use

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("…")
tokenizer = AutoTokenizer.from_pretrained("…")
prompt = "{prompt}"
ids = model.generate(**tokenizer(prompt, return_tensors="pt"), do_sample=False)
print(tokenizer.decode(ids[0]))
```

- A prompt gives start, goal and every wall as `X Y`, walls row by row; x counts columns and y rows,
  from 0. It ends with the word that opens the answer, `{opening}`.
- The answer ends with `end`, the end-of-sequence token: `skip_special_tokens`, and so transformers'
  `pipeline`, would leave it out.
- {order}
- The weights are float32 numbers that bfloat16 holds exactly; with these the study's numbers were
  measured. Computing in bfloat16 changes some answers.

## How it was made

{recipe}

{made}

## What it can and cannot do

{results}
- It knows the {size} words of {rows}×{cols} mazes (rows × columns), and no other size. Prompt and
  answer have room for {context} tokens.
- It was trained on mazes of `{generator}`; on any others it is out of distribution.
- Nothing it writes is checked: a plan may run through walls, a trace need not be a run of A*. The
  study's validator tells.
- One seed of one setting shows nothing about other models, larger ones least of all.
"""

ORDERS = {"ours": "Ids are in the study's order: specials, words, coordinates, costs.",
          "published": "Ids are in the order of the authors' training code: costs, coordinates, "
                       "words, specials."}


def card(about: dict, tensors: dict[str, torch.Tensor], order: str) -> str:
    """The model card, in Markdown.

    Args:
        about, tensors: a checkpoint's, as from `checkpoints.read_checkpoint`.
        order: of the vocabulary.
    """
    recipe = about["follows_from"]
    corpus, condition = recipe["corpus"], CONDITIONS[recipe["condition"]]
    rows, cols = corpus["rows"], corpus["cols"]
    vocabulary = Vocabulary(rows, cols)
    opening = vocabulary.tokens[condition.opening]
    generator = corpus["generator"] if corpus["generator"] in GENERATORS else "wilson"
    example = build(Recipe(generator, rows, cols, "test", 1, "indexed", 1))
    return CARD.format(
        title=f"`{recipe['condition']}`, seed {recipe['seed']}, {rows}×{cols} mazes",
        task="write an A* search trace and then a plan" if condition.has_trace else "write a plan",
        parameters=sum(value.numel() for value in under("model.", tensors).values()),
        condition=recipe["condition"], traces=inspect.getdoc(condition.traces).splitlines()[0],
        prompt=vocabulary.decode(prompts(example, condition)[0]), opening=opening,
        order=ORDERS[order], rows=rows, cols=cols, size=vocabulary.size,
        context=about["context"], generator=corpus["generator"],
        recipe=table(recipe | {"trained for": about.get("counters", {})}),
        made=made(about), results=results(about, tensors))


def table(recipe: dict) -> str:
    """Nested settings, a line each."""

    def lines(settings: dict, place: str = "") -> Iterator[tuple[str, object]]:
        for name, value in settings.items():
            if isinstance(value, dict):
                yield from lines(value, f"{place}{name} ")
            else:
                yield f"{place}{name}".replace("_", " "), value

    return "\n".join(["| | |", "|---|---|",
                      *(f"| {name} | `{json.dumps(value)}` |" for name, value in lines(recipe))])


def made(about: dict) -> str:
    """Where and with which code, as far as the checkpoint says."""
    known = about.get("circumstances", {}) | about.get("made", {})
    if not known.get("commit"):
        said = table(known) + "\n\n" if known else ""
        return f"{said}The checkpoint does not say with which commit, or on which machine."
    return table(known)


def results(about: dict, tensors: dict[str, torch.Tensor], folder: Path | None = None) -> str:
    """The published rates of a model, if these very weights are published; a list item."""
    weights = rounded(under("model.", tensors))
    for path in sorted((folder or PROJECT / "results").glob("*/models/*.safetensors")):
        if not _same(path, about, weights):
            continue
        recipe, published = about["follows_from"], path.parents[1] / "headline.csv"
        if path.stem != f"{recipe['condition']}_{recipe['seed']}" or not published.exists():
            continue  # a variation, of which that table says nothing
        rates = pd.read_csv(published)
        rates = rates[(rates["condition"] == recipe["condition"])
                      & (rates["seed"] == recipe["seed"])]
        lines = [f"- Valid, per cent [95 % interval], of {rates['n'].min()} unseen mazes each "
                 f"(`results/{path.parents[1].name}/headline.csv` of the study):", "",
                 "  | | " + " | ".join(rates["distribution"]) + " |",
                 "  |---" * (len(rates) + 1) + "|"]
        for name, rate in (("plans", "plan_valid"), ("traces", "trace_valid")):
            if rates[rate].notna().all():
                shown = percent_table(rates, rate).iloc[0]
                lines.append(f"  | {name} | " + " | ".join(shown) + " |")
        return "\n".join([*lines, ""])
    return "- No results of these weights are published."


def _same(path: Path, about: dict, weights: dict[str, torch.Tensor]) -> bool:
    """Whether a published model has this recipe and these weights."""
    try:
        theirs, tensors = read_checkpoint(path)
    except CheckpointError:
        return False
    tensors = under("model.", tensors)
    return (theirs["follows_from"] == about["follows_from"] and tensors.keys() == weights.keys()
            and all(torch.equal(value, weights[name]) for name, value in tensors.items()))
