"""The data sets of a run, read; made first where they are missing."""

from collections.abc import Callable

from helpers.corpus import Corpus, Recipe, write
from helpers.engine.files import exclusive
from helpers.study.products import Product
from helpers.study.runs import Run, making


def corpus(run: Run, product: Product, progress: Callable[[int], object] = lambda _: None
           ) -> Corpus:
    """Reads a corpus; makes it first where it is missing or would come out different now.

    Raises:
        MazeError: no such mazes can be drawn.
    """
    path = run.file(*product.files)
    with exclusive(path.with_suffix(".lock")):  # two trainings may want the same one
        if not run.store.status(product).usable:
            with making(run, product):
                write(_recipe(product), path, progress=progress)
    return run.load(product)


def _recipe(product: Product) -> Recipe:
    settings = {name: value for name, value in product.settings.items() if name != "file"}
    return Recipe(**settings)
