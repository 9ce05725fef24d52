"""A study killed at any file operation, on a full disk, with changed bytes: nothing is lost.

One study in miniature in a process of its own, which a hook stops at its n-th operation on a file.
``make test-faults`` does it to whole studies, at any moment (tests/faults.py).
"""

import errno
import os
import resource
import shutil
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import studies
from outcomes import leftovers, outcome, records
from studies import HEADLINE

from helpers.checkpoints import CheckpointError, read_checkpoint
from helpers.corpus import Corpus, CorpusError
from helpers.engine.files import SUMS, spoilt
from helpers.share.box import ResponsesError, read_responses
from helpers.study.plan import StudyError
from helpers.study.products import StaleError
from helpers.study.publish import fetch, publish
from helpers.study.runs import Run
from helpers.study.scale import Scale

pytestmark = pytest.mark.usefixtures("alone")
TINY = """
rows: 4
cols: 5
sampling: indexed
data_seed: 5
trained_on: wilson
conditions: [swapped]
seeds: [3]
distributions: [wilson]
train_examples: 64
test_examples: 6
validation_examples: 3
model: {width: 16, layers: 1, heads: 1, kv_heads: 1, mlp_width: 16, rope_theta: 10000.0}
training: {batch_size: 8, warmup_steps: 2, snapshots: 2, checkpoint_every: 3, log_every: 2,
           compiled: false}
decoding: {max_new_tokens: 160, batch_size: 6}
"""
KILLS = 14  # at most; each comes some operations after the process has begun
SEED = 1
REMOVALS = {"os.remove", "os.rmdir", "shutil.rmtree"}
WRITES = {"os.rename", "os.mkdir", "os.link", *REMOVALS}


@pytest.fixture(scope="module")
def scale(tmp_path_factory) -> Scale:
    return studies.written(TINY, tmp_path_factory.mktemp("scales"))


def whole_study(scale: Scale, root: Path) -> Run:
    """From mazes to what is published; the page is another's matter."""
    run = studies.whole_study(scale, root)
    with run.store.making(run.report(HEADLINE)):
        for name in run.report(HEADLINE).files:
            run.file(name).write_text("as if drawn")
    publish(run, HEADLINE, root / "results")
    return run


@pytest.fixture(scope="module")
def undisturbed(scale, tmp_path_factory) -> Run:
    return whole_study(scale, tmp_path_factory.mktemp("undisturbed"))


def copied(run: Run, scale: Scale, root: Path) -> Run:
    """Another of the same, with what is published of it, to be spoilt."""
    shutil.copytree(run.folder.parent, root, dirs_exist_ok=True)
    return Run(scale, root)


def in_a_process(work, at_each=lambda count, event, path: None, within: Path | None = None
                 ) -> tuple[int, str]:
    """The exit status of some work in a process of its own, and its last error in a line.

    Args:
        at_each: called before each operation on a file below ``within``, with its number, what
            Python's audit calls it, and the path.
    """
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            count = 0

            def hook(event, args):
                nonlocal count
                written = event in WRITES or (event == "open" and isinstance(args[2], int)
                                              and args[2] & (os.O_WRONLY | os.O_RDWR))
                if written and str(args[0]).startswith(str(within)):
                    count += 1
                    at_each(count, event, str(args[0]))

            sys.addaudithook(hook)
            work()
            os._exit(0)
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}".encode())
            os._exit(1)
    os.close(write)
    with open(read, encoding="utf-8") as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def same(run: Path, undisturbed: Run) -> None:
    """Byte for byte, and nothing left over."""
    one, other = outcome(run / "tiny"), outcome(undisturbed.folder)
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []
    assert leftovers(run) == []
    published = {path.relative_to(run) for path in (run / "results").rglob("*")}
    assert published == {path.relative_to(undisturbed.folder.parent) for path in
                         (undisturbed.folder.parent / "results").rglob("*")}


def test_killed_at_any_file_operation(scale, undisturbed, tmp_path):
    rng, kills, made = np.random.default_rng(SEED), 0, {}
    while True:
        last = int(rng.integers(8, 70)) if kills < KILLS else 0

        def stop(count, event, path, last=last):
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)

        code, said = in_a_process(lambda: whole_study(scale, tmp_path), stop, tmp_path)
        now = records(tmp_path / "tiny")
        assert made == {name: now.get(name) for name in made}  # nothing is made twice
        made = now
        if code == 0:
            break
        assert code == -signal.SIGKILL, said
        kills += 1
    assert kills > 5
    same(tmp_path, undisturbed)


def test_no_room_at_any_file_operation(scale, undisturbed, tmp_path):
    """It is said in a line that names a file, or does not matter; no half file is left."""
    rng, said_so = np.random.default_rng(SEED), 0
    for attempt in range(3):
        root, last = tmp_path / str(attempt), int(rng.integers(4, 120))
        root.mkdir()

        def fail(count, event, path, last=last):
            if count >= last and event not in REMOVALS:  # for which there is always room
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

        code, said = in_a_process(lambda root=root: whole_study(scale, root), fail, root)
        assert not list(root.rglob("*.tmp"))
        if code:
            assert os.strerror(errno.ENOSPC) in said, (last, said)
            assert str(root) in said
            assert "\n" not in said
            said_so += 1
            assert in_a_process(lambda root=root: whole_study(scale, root)) == (0, "")
        same(root, undisturbed)
    assert said_so > 1


def test_files_that_may_not_grow_as_large(scale, undisturbed, tmp_path):
    """A full disk for real: the system refuses to write what is larger."""
    for size in (0, 5000, 20_000, resource.RLIM_INFINITY):
        def work(size=size):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            whole_study(scale, tmp_path)

        code, said = in_a_process(work)
        assert not list(tmp_path.rglob("*.tmp"))
        if size == resource.RLIM_INFINITY:
            assert code == 0, said
        else:
            assert "File too large" in said, (size, code)
            assert str(tmp_path) in said
            assert "\n" not in said
    same(tmp_path, undisturbed)


def test_a_clock_that_was_set_back(scale, undisturbed, tmp_path):
    """All that is there is from tomorrow: it counts, and what lacks is made beside it."""
    run = copied(undisturbed, scale, tmp_path)
    for path in run.folder.rglob("*"):
        about = path.stat()
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns + 86_400 * 10**9))
    made = records(run.folder)
    run.file("models", "swapped_3", "curve.csv").unlink()
    whole_study(scale, tmp_path)
    again = [name for name, text in records(run.folder).items() if made[name] != text]
    assert again == ["curve_swapped_3.json"]
    same(tmp_path, undisturbed)


def fetched(run: Run, published: Path) -> None:
    """Takes over the published models, into a run that has none."""
    with TemporaryDirectory() as folder:
        fetch(Run(run.scale, folder), HEADLINE, published)


def complaints(run: Run) -> str:
    """What is said by those who read all that a run and its published folder hold."""
    said = []
    products = [*run.products(HEADLINE), run.report(HEADLINE)]
    said += [status.why for status in map(run.store.status, products)]
    published = run.folder.parent / "results"
    said += [f"{name} or {SUMS}" for name in spoilt(published)]
    readers = [(Corpus.load, run.folder.glob("corpus/*.safetensors")),
               (read_checkpoint, run.folder.glob("models/**/*.safetensors")),
               (read_checkpoint, published.glob("models/*.safetensors")),
               (read_responses, published.glob("responses/*/*.gz")),
               (lambda path: fetched(run, published), published.glob("trainings/*.json"))]
    for read, paths in readers:
        for path in paths:
            try:
                read(path)
            except (CorpusError, CheckpointError, ResponsesError, StudyError, StaleError) as error:
                said.append(str(error))
    return "\n".join(filter(None, said))


def test_a_changed_byte_in_any_file_is_named(scale, undisturbed, tmp_path):
    """Also where its date is as before, as with a disk that forgets."""
    run = copied(undisturbed, scale, tmp_path)
    assert complaints(run) == ""
    rng = np.random.default_rng(SEED)
    published = run.folder.parent / "results"
    files = [path for path in (*run.folder.rglob("*"), *published.rglob("*"))
             if path.is_file() and path.stat().st_size]
    assert len(files) > 20
    for path in files:
        about, content = path.stat(), path.read_bytes()
        place = int(rng.integers(len(content)))
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1:])
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
        lines = complaints(run).splitlines()
        assert any(path.name in line for line in lines), (path, place, lines)
        path.write_bytes(content)
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert complaints(run) == ""
