"""How many mazes of each data set were trained on."""

import pandas as pd

from helpers.corpus import Corpus, count_possible, overlap
from helpers.ownmazes import solvable


def corpus_table(corpora: list[Corpus]) -> pd.DataFrame:
    """How corpora stand to what was trained on.

    Returns:
        A row a corpus, training sets first: how many examples, how many of them without a way
        from start to goal, different problems and different
        grids; problems a grid; how many of its problems and of its grids occur in the training
        set of its size; mean tokens of each part; and the share of all grids and problems of its
        kind that the training set covers (empty where their number is not known).
    """
    rows = []
    trainings = {(c.recipe.rows, c.recipe.cols): c for c in corpora if c.recipe.split == "train"}
    for corpus in sorted(corpora, key=lambda one: one.recipe.split != "train"):
        recipe = corpus.recipe
        training = trainings[recipe.rows, recipe.cols]
        seen = overlap(corpus, training)
        trained = overlap(training, training)
        known = recipe.generator == training.recipe.generator
        possible = count_possible(recipe.generator, recipe.rows, recipe.cols)
        rows.append({
            "corpus": recipe.name, "generator": recipe.generator, "n": len(corpus),
            "unsolvable": int((~solvable(corpus.mazes)).sum()),
            "distinct_problems": seen.distinct_problems, "distinct_grids": seen.distinct_grids,
            "problems_per_grid": round(len(corpus) / seen.distinct_grids, 2),
            "most_problems_per_grid": seen.most_problems_per_grid,
            "also_in_training": seen.also_in_training,
            "grids_also_in_training": seen.grids_also_in_training,
            **dict(zip(("prompt_tokens", "trace_tokens", "plan_tokens"),
                       corpus.lengths().mean(0).round(1), strict=True)),
            "share_of_grids_trained_on":
                trained.distinct_grids / possible.grids if known else float("nan"),
            "share_of_problems_trained_on":
                trained.distinct_problems / possible.problems if known else float("nan")})
    return pd.DataFrame(rows)
