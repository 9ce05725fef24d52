"""What a study makes, and what each of it follows from.

A product (corpus, model, learning curve, answers, tables) is files in the run's folder. Its
fingerprint names the settings, the code and the other products that it follows from; the
fingerprint under which it was made is kept in a record beside it. Whoever uses, prints or
publishes a product compares the two (`Status`).
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from helpers.engine.files import atomic, checksum, sha256
from helpers.study.equivalent import changed_code
from helpers.study.fingerprint import code_of


class StaleError(Exception):
    """A product that does not follow from what stands there now; the message says why."""


@dataclass(frozen=True)
class Product:
    """Files that follow from settings, code and other products.

    Attributes:
        name: what people call it, such as ``model swapped_1``.
        files: where it lies, in the run's folder.
        settings: the numbers it follows from, as JSON holds them.
        starts: the functions it is made with; what they reach counts.
        inputs: the products it is made from.
        made_by: the notebook that makes it.
        costly: whether making it again takes more than moments.
    """

    name: str
    files: tuple[str, ...]
    settings: dict
    starts: tuple[Callable, ...]
    made_by: str
    inputs: tuple["Product", ...] = ()
    costly: bool = True

    @cached_property
    def code(self) -> dict[str, str]:
        return code_of(*self.starts)

    @cached_property
    def fingerprint(self) -> str:
        """Equal for products that follow from the same."""
        return self.made_from({one.name: one.fingerprint for one in self.inputs})

    def made_from(self, inputs: dict[str, str], code: dict[str, str] | None = None) -> str:
        """The fingerprint it has if made from inputs with these fingerprints, by this code."""
        about = json.dumps([self.name, self.settings, code or self.code, inputs], sort_keys=True)
        return hashlib.sha256(about.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Status:
    """How a product in a run's folder stands to what would be made now."""

    product: Product
    state: str  # missing · current · stale · kept
    why: str = ""

    @property
    def usable(self) -> bool:
        return self.state in ("current", "kept")


class Store:
    """The products in one run's folder.

    Args:
        folder: of the run.
        keep: whether what was made with other settings or code is used as it is.
    """

    def __init__(self, folder: Path, keep: bool = False):
        self.folder, self.keep = folder, keep

    def path(self, product: Product) -> Path:
        """Its first file."""
        return self.folder / product.files[0]

    def record(self, product: Product) -> dict | None:
        """What was noted when it was made; None if it was not, or the note has changed."""
        try:
            record = json.loads(self._record(product).read_text(encoding="utf-8"))
            noted = record.pop("sha256", None)  # earlier records have none
        except (FileNotFoundError, ValueError, AttributeError):
            return None
        return record if noted in (None, checksum(record, {})) else None

    def status(self, product: Product) -> Status:
        """Whether it is there, unchanged, and follows from what stands there now."""
        record = self.record(product)
        if record is None:
            name = self._record(product)
            return Status(product, "missing", f"made/{name.name} has changed since it was written"
                          if name.exists() else "")
        for name, noted in record["files"].items():
            path = self.folder / name
            if not path.exists():
                return Status(product, "missing", f"{name} is not there")
            if not self._unchanged(path, noted):
                return Status(product, "missing", f"{name} has changed since it was made")
        reasons = list(self.reasons(product, record))
        if not reasons:
            return Status(product, "current")
        return Status(product, "kept" if self.keep else "stale", "; ".join(reasons))

    def use(self, product: Product) -> Path:
        """Its first file, to be read.

        Raises:
            StaleError: it is not there, or does not follow from what stands there now.
        """
        status = self.status(product)
        if not status.usable:
            raise StaleError(f"{product.name}: is {status.state}"
                             + (f" ({status.why})" if status.why else "")
                             + f"; run notebook {product.made_by} first, with the same scale and "
                             f"root, or `make study SCALE={self.folder.name}`")
        return self.path(product)

    @contextmanager
    def making(self, product: Product, **about) -> Iterator[None]:
        """Makes a product within this block; it counts as made once the block has ended.

        Args:
            about: what else to note of how it was made.
        """
        code = product.code  # before: what is made follows from the code as it was loaded
        began = time.perf_counter()
        yield
        # an input that is kept has another fingerprint than it would have now
        inputs = {one.name: (self.record(one) or {}).get("fingerprint", one.fingerprint)
                  for one in product.inputs}
        self.adopt(product, {
            "product": product.name, "fingerprint": product.made_from(inputs),
            "settings": product.settings, "code": code, "inputs": inputs,
            "seconds": round(time.perf_counter() - began, 1), **about})

    def adopt(self, product: Product, record: dict) -> None:
        """Notes how a product whose files are there was made, here or elsewhere.

        Args:
            record: all but the sums of its files.
        """
        files = {}
        for name in product.files:
            stat = (self.folder / name).stat()
            files[name] = {"sha256": sha256(self.folder / name), "size": stat.st_size,
                           "mtime_ns": stat.st_mtime_ns}
        path = self._record(product)
        path.parent.mkdir(parents=True, exist_ok=True)
        record = json.loads(json.dumps({**record, "files": files}))  # as it will be when read
        with atomic(path, "w") as file:
            json.dump({**record, "sha256": checksum(record, {})}, file, indent=1)

    def _record(self, product: Product) -> Path:
        return self.folder / "made" / f"{product.name.replace(' ', '_').replace('/', '_')}.json"

    def _unchanged(self, path: Path, noted: dict) -> bool:
        """Whether a file is what was noted; its date says so only of one that says so itself.

        Corpora and weights are large, and have a checksum in them that is looked at when they
        are read.
        """
        stat = path.stat()
        if stat.st_size != noted["size"]:
            return False
        dated = path.suffix == ".safetensors" and stat.st_mtime_ns == noted["mtime_ns"]
        return dated or sha256(path) == noted["sha256"]

    def reasons(self, product: Product, record: dict) -> Iterator[str]:
        """Why a product would come out different now, in words."""
        if record["fingerprint"] == product.fingerprint:
            return
        ours = json.loads(json.dumps(product.settings))  # tuples as the lists that records have
        yield from _changed("", record["settings"], ours)
        if changed := changed_code(record["code"], product.code):
            yield f"code changed: {_first([name.split('.', 1)[1] for name in changed])}"
        theirs, their_code = record["inputs"], record.get("input_code", {})
        differing = [one.name for one in product.inputs if theirs.get(one.name) not in
                     self._accepted(one, their_code.get(one.name))]
        for what in ("another", "new"):
            if names := [name for name in differing if (name in theirs) == (what == "another")]:
                yield f"{_first(names)} {'are' if len(names) > 1 else 'is'} {what}"

    def _accepted(self, product: Product, code: dict[str, str] | None) -> set[str]:
        """The fingerprints of an input that are as good as the one it would have now.

        Those that differ in nothing but code that is declared equivalent: of what is there, and of
        what was made elsewhere by this code, where that is known.
        """
        accepted, record = {product.fingerprint}, self.record(product)
        if record and not list(self.reasons(product, record)):
            accepted.add(record["fingerprint"])
        if code and not product.inputs and not changed_code(code, product.code):
            accepted.add(product.made_from({}, code))
        return accepted

    def input_code(self, product: Product) -> dict[str, dict[str, str]]:
        """The code by which inputs that are made from nothing were made, by name, if it is known.

        For those who get a product without its inputs, as the published ones are.
        """
        record, found = self.record(product), {}
        for one in product.inputs:
            theirs = self.record(one)
            if theirs and not one.inputs and (
                    theirs["fingerprint"] == record["inputs"].get(one.name)):
                found[one.name] = theirs["code"]
        return found | record.get("input_code", {})


def _first(names: list[str]) -> str:
    """``a, b and 7 more``."""
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def _changed(place: str, theirs: dict, ours: dict) -> Iterator[str]:
    """The settings that differ, each with its value then and now; of lists what came and went."""
    for name in dict.fromkeys([*theirs, *ours]):
        a, b = theirs.get(name), ours.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _changed(f"{place}{name}.", a, b)
        elif isinstance(a, list) and isinstance(b, list) and set(map(str, a)) != set(map(str, b)):
            for word, more, less in (("with", b, a), ("without", a, b)):
                if found := [str(one) for one in more if one not in less]:
                    yield f"{place}{name} {word} {_first(found)}"
        elif a != b:
            yield f"{place}{name} was {a}, is {b}"
