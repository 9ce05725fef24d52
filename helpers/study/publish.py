"""Results in and out: a finished study is published, a published one is gone on with.

    results/<scale>/…                          tables and figures, with their checksums
    results/<scale>/models, responses          small models, and all they answered (`share.box`)
    results/<scale>/trainings/<model>.json     how each was trained: its log, its learning curve,
                                               and what it follows from
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

from helpers.checkpoints import CheckpointError, read_checkpoint
from helpers.engine.files import SUMS, atomic, checksum, staged, sums, write_sums
from helpers.share.box import store_model, store_responses
from helpers.study.asking import written
from helpers.study.plan import StudyError
from helpers.study.runs import Run
from helpers.study.specs import Experiment, ModelSpec

MADE = ("date", "commit", "dirty", "machine", "packages", "training_seconds")
SMALL = 16 * 2**20  # bytes of a model's weights, above which it is too large for the box


def publish(run: Run, experiment: Experiment, target: Path) -> list[str]:
    """Copies an experiment's tables and figures to its folder in ``target``, small models beside.

    All files are written elsewhere before the first takes its place, so that ``target`` stays
    as it was whatever goes wrong.

    Returns:
        The names of the files.

    Raises:
        StudyError: they are not complete, or do not follow from what stands there now.
    """
    for product in (*run.products(experiment), run.report(experiment)):
        status = run.store.status(product)
        if not status.usable:
            raise StudyError(f"publish: {product.name} is {status.state}"
                             f"{f' ({status.why})' if status.why else ''}; run the study first")
    names = experiment.published
    kinds = {model.kind for model in experiment.whole(run.scale)}

    def gone(path: Path) -> bool:  # what an earlier run has left of the same kinds of model
        boxed = re.fullmatch(r"(models|responses|trainings)/(.+)_\d+[./].+", path.as_posix())
        return bool(boxed) and boxed[2] in kinds

    with staged(target, gone) as folder:
        inside = Path(experiment.folder)
        (folder / inside).mkdir(exist_ok=True)
        for name in names:
            (folder / inside / name).write_bytes(run.file(experiment.folder, name).read_bytes())
        write_sums(folder / inside, names, sums(target / inside))
        return [str(inside / name) for name in (*names, SUMS)] + box(run, experiment, folder)


def box(run: Run, experiment: Experiment, folder: Path) -> list[str]:
    """Puts models of an experiment into a folder, and each of their answers (`share.box`).

    Returns:
        The names of the files: those of `Experiment.whole`, without models that are too large.
    """
    asked = [one for one in run.evaluations(experiment) if not one.answering]
    models = [model for model in experiment.whole(run.scale)
              if any(one.model == model for one in asked)
              and run.store.use(run.model(model)).stat().st_size // 2 <= SMALL]  # float32 there
    names = []

    def place(name: str) -> Path:
        names.append(name)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        return folder / name

    for model in models:
        record = run.store.record(run.model(model))
        training = _training(run, model)
        place(f"trainings/{model.name}.json").write_text(
            json.dumps(training | {"sha256": checksum(training, {})}, indent=0) + "\n",
            encoding="utf-8")
        store_model(run.store.use(run.model(model)), place(f"models/{model.name}.safetensors"),
                    {name: record.get(name) for name in MADE})
    for spec in asked:
        if spec.model in models:
            test = run.corpus("test", spec.distribution, run.scale_of(spec.model))
            store_responses(place(f"responses/{spec.name}.jsonl.gz"),
                            {"model": spec.model.name, "condition": spec.model.condition,
                             "answering": run.answers(spec).settings}, run.load(test),
                            written(run, spec))
    return names


def _training(run: Run, model: ModelSpec) -> dict:
    """How a model was trained: records of weights and curve, and their files but the weights."""
    products = (run.model(model), run.curve(model))
    return {"made": [{name: value for name, value in run.store.record(one).items()
                      if name != "files"} | {"input_code": run.store.input_code(one)}
                     for one in products],
            **{Path(name).name: run.file(name).read_text(encoding="utf-8")
               for one in products for name in one.files if not name.endswith(".safetensors")}}


def fetch(run: Run, experiment: Experiment, source: Path,
          say: Callable[[str], object] = lambda _: None) -> list[ModelSpec]:
    """Puts published models into a run, as if they had been trained there.

    Mazes, answers and tables are not taken over: the study makes them from the models. What is
    in the run already stays.

    Args:
        source: the folder of the scale's published results.
        say: called with a line a model.

    Returns:
        The models taken over.

    Raises:
        StudyError: a published file is damaged.
    """
    taken = []
    for spec in experiment.models(run.scale):
        state = _fetch(run, spec, source)
        say(f"  {spec.name:<32} {state or 'taken over'}")
        taken += [spec] * (not state)
    return taken


def _fetch(run: Run, spec: ModelSpec, source: Path) -> str:
    """Takes over one model; or says, in words, why not."""
    products = (run.model(spec), run.curve(spec))
    if all(run.store.status(one).usable for one in products):
        return "is here already"
    weights = source / "models" / f"{spec.name}.safetensors"
    log = source / "trainings" / f"{spec.name}.json"
    if not (weights.exists() and log.exists()):
        return "is not published"
    try:
        read_checkpoint(weights)  # whether it is whole
        training = json.loads(log.read_text(encoding="utf-8"))
        noted = training.pop("sha256", None)  # those of earlier dates have none
        if noted not in (None, checksum(training, {})):
            raise ValueError("its checksum does not match, its bytes have changed")
        records = training["made"]
        reasons = [why for one, record in zip(products, records, strict=True)
                   for why in run.store.reasons(one, record)]
        if reasons and not run.store.keep:
            return f"was made otherwise ({'; '.join(reasons)}); KEEP=1 takes it over all the same"
        contents = {name: weights.read_bytes() if name.endswith(".safetensors")
                    else training[Path(name).name].encode() for one in products
                    for name in one.files}
    except CheckpointError as error:
        raise StudyError(f"fetch: {error}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(f"fetch {log}: unreadable or truncated ({error})") from None
    for name, content in contents.items():
        with atomic(run.file(name), "wb") as file:
            file.write(content)
    for product, record in zip(products, records, strict=True):
        run.store.adopt(product, record)
    return ""
