"""The latents: states are transformers' own, probes find what is there, patches do as they say."""

import numpy as np
import pytest
import torch
from models import scrambled
from transformers import Qwen2Config, Qwen2ForCausalLM

from helpers import probes
from helpers.astar import Event, solve
from helpers.checkpoints import write_checkpoint
from helpers.conditions import CONDITIONS, prompts
from helpers.corpus import Recipe, build
from helpers.decoding import generate
from helpers.experiments import EXPERIMENTS, latents
from helpers.language import SOLUTION
from helpers.model import ModelConfig
from helpers.residual import answers_patched, states, watched
from helpers.responses import true_traces
from helpers.share.export import qwen2_config, qwen2_state
from helpers.show import claims, probing
from helpers.show.looks import png
from helpers.study import asking, steps
from helpers.study.runs import Run
from helpers.study.scale import load_scale
from helpers.study.specs import EvaluationSpec, ModelSpec

MAZES = build(Recipe("searchformer", 4, 6, "test", 1, "indexed", 40))
CONFIG = ModelConfig(vocabulary=MAZES.vocabulary.size, context=400, width=32, layers=2, heads=4,
                     kv_heads=2, mlp_width=48, rope_theta=1e4)
SMOKE = load_scale("smoke")


@pytest.fixture(scope="module")
def model(one_thread):
    return scrambled(CONFIG)


@pytest.fixture(scope="module")
def read():
    return latents.reading(MAZES, "correct", true_traces(MAZES))


# ── the stream ──────────────────────────────────────────────────────────────────────────


def test_states_are_those_of_transformers(model, read):
    theirs = Qwen2ForCausalLM(Qwen2Config(**qwen2_config(CONFIG))).eval()
    theirs.load_state_dict(qwen2_state(model), strict=False)
    found = states(model, read.texts, read.places, batch_size=7)
    assert found.shape == (CONFIG.layers + 1, len(read.texts), 3, CONFIG.width)
    for i in (0, 8, 39):
        with torch.no_grad():
            tokens = torch.from_numpy(read.texts[i].astype(np.int64))[None]
            hidden = theirs.model(tokens, output_hidden_states=True).hidden_states
        ours = found[:, i]
        for state in range(CONFIG.layers):
            assert torch.allclose(ours[state], hidden[state][0, read.places[i]], atol=1e-4)
        assert torch.allclose(model.norm(ours[-1]), hidden[-1][0, read.places[i]], atol=1e-4)


def test_watching_ends_with_its_block(model):
    seen = []
    with pytest.raises(RuntimeError):
        _broken_off(model, seen)
    model.norm(torch.zeros(1, CONFIG.width))
    assert seen == [CONFIG.layers]


def _broken_off(model, seen):
    with watched(model, lambda number, x: seen.append(number)):
        model.norm(torch.zeros(1, CONFIG.width))
        raise RuntimeError


@pytest.fixture(scope="module")
def patched(model, read):
    texts = read.texts[:6]
    other = np.roll(np.arange(6), 1)
    own = states(model, texts, read.places[:6, -1:])[:, :, 0]
    nothing, everything = (), range(CONFIG.layers + 1)
    return (texts, answers_patched(model, texts, own, [nothing, (1,), everything], 12),
            answers_patched(model, texts, own[:, other], [nothing, (1,), everything], 12))


def test_patching_nothing_changes_nothing(model, patched):
    """Nor does putting a text's own states there; and all is as without any of it."""
    texts, own, other = patched
    plain = generate(model, texts, max_new_tokens=12, full_precision=True)
    for answers in (*own, other[0]):
        assert all(map(np.array_equal, answers, plain))


def test_with_all_states_the_next_word_is_the_other_texts(patched):
    """The last state alone decides it."""
    _, own, other = patched
    words = np.array([answer[0] for answer in own[0]])
    assert len(set(words)) > 1
    assert [answer[0] for answer in other[2]] == list(np.roll(words, 1))
    assert not all(map(np.array_equal, other[1], other[0]))


# ── probes ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def planted():
    """Features in which one question of two has a direction, among flat ones and large ones."""
    rng = np.random.default_rng(1)
    labels = rng.random((900, 2)) < 0.3
    features = rng.normal(size=(900, 12)) * np.array([100.0] * 6 + [1.0] * 6)
    features += 1.5 * labels[:, :1] * np.linspace(-1, 1, 12)
    features[:, 5] = 7.0
    return torch.from_numpy(features).float(), labels


def test_a_probe_finds_a_planted_direction_and_no_other(planted):
    features, labels = planted
    scores = probes.probed(features[:600], labels[:600], features[600:])
    counts = probes.drawn(np.arange(300))
    there, absent = (probes.aurocs(scores[:, [i]], labels[600:, [i]], counts) for i in (0, 1))
    assert probes.score(there, 1).low > 0.8
    assert probes.score(absent, 1).low < 0.5 < probes.score(absent, 1).high


def test_under_shuffled_labels_it_finds_nothing(planted):
    features, labels = planted
    rng = np.random.default_rng(2)
    shuffled = np.stack([rng.permutation(labels[:600, 0]) for _ in range(30)], 1)
    scores = probes.probed(features[:600], shuffled, features[600:])
    truth = np.repeat(labels[600:, :1], 30, axis=1)
    assert abs(probes.aurocs(scores, truth, np.ones((1, 300), np.int64))[0] - 0.5) < 0.05


def test_flat_features_tell_nothing():
    labels = np.arange(20)[:, None] % 3 == 0
    scores = probes.probed(torch.ones(20, 4), labels, torch.ones(20, 4))
    assert (probes.aurocs(scores, labels, probes.drawn(np.arange(20)))[0] == 0.5)


def test_auroc_by_pairs():
    """As its definition says it, ties counting half; weights are mazes that come several times."""
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 6, (40, 3)).astype(np.float32)
    labels = rng.random((40, 3)) < 0.4
    labels[:, 2] = np.arange(40) < probes.LEAST - 1  # too few to be scored
    counts = probes.drawn(np.arange(40) // 2)
    assert (counts[:, ::2] == counts[:, 1::2]).all()  # a grid's mazes stand together
    assert (counts.sum(1) == 40).all()
    found = probes.aurocs(scores, labels, counts)
    for b in (0, 1, 7):
        rows = np.repeat(np.arange(40), counts[b])
        each = []
        for t in (0, 1):
            s, yes = scores[rows, t], labels[rows, t]
            gaps = s[yes][:, None] - s[~yes][None]
            each.append(((gaps > 0) + (gaps == 0) / 2).mean())
        assert found[b] == pytest.approx(np.mean(each))
    assert list(probes.scored(labels)) == [0, 1]
    nothing = probes.score(probes.aurocs(scores[:, 2:], labels[:, 2:], counts), 0)
    assert np.isnan(nothing[:3]).all()


# ── what is read ────────────────────────────────────────────────────────────────────────


def test_what_is_true_at_each_place(read):
    for i in (0, 3, 17):
        maze, solved = MAZES.mazes.maze(i), solve(MAZES.mazes.maze(i))
        text = read.texts[i]
        words = MAZES.vocabulary.decode(text).split()
        first, middle, last = read.places[i]
        assert (words[first], words[last], last) == ("reasoning", "solution", len(text) - 1)
        assert words[first + 1:last] == " ".join(map(str, solved.trace)).split()
        half = solved.trace[:(middle - first) // 5]
        assert len(half) == (len(solved.trace) + 1) // 2
        closed = {(e.x, e.y) for e in half if e.kind == "close"}
        opened = {(e.x, e.y) for e in half if e.kind == "create"} - closed
        for target, cells in (("open", opened), ("plan", set(solved.plan)),
                              ("wall", {(x, y) for y, x in np.argwhere(maze.grid == 0)})):
            said = read.truths[target][i].reshape(4, 6)
            assert {(x, y) for y, x in np.argwhere(said)} == cells


def test_a_trace_that_is_none_is_left_out():
    traces = true_traces(MAZES)
    traces[1], traces[4] = traces[1][:-1], traces[4][:0]
    found = latents.reading(MAZES, "swapped", traces)
    assert set(range(40)) - set(found.kept) == {1, 4}
    assert all(len(truth) == 38 for truth in found.truths.values())


def test_the_open_list_is_the_traces_own():
    """A lent trace closes the start of its own maze: that of this one was never open in it."""
    events = [Event("close", 0, 0, 0, 5), Event("create", 1, 0, 1, 4), Event("create", 0, 1, 1, 4),
              Event("close", 1, 0, 1, 4), Event("create", 9, 9, 2, 3)]
    assert list(np.flatnonzero(latents.on_open_list(events, 2, 3))) == [3]
    assert not latents.on_open_list(events[:1], 2, 3).any()


def test_without_a_trace_there_is_one_place():
    found = latents.reading(MAZES, "solution_only", None)
    assert latents.places_of("solution_only") == ("solution",)
    assert [text[-1] for text in found.texts] == [SOLUTION] * 40
    assert set(found.truths) == {"plan", "wall"}
    assert all(map(np.array_equal, found.texts, prompts(MAZES, CONDITIONS["solution_only"])))


def test_a_prompt_says_walls_start_and_goal():
    walls, starts, goals = latents.of_prompt(MAZES).numpy().reshape(40, 3, 4, 6).transpose(
        1, 0, 2, 3)
    assert np.array_equal(walls, MAZES.mazes.grids == 0)
    for ends, cells in ((starts, MAZES.mazes.starts), (goals, MAZES.mazes.goals)):
        assert [tuple(np.argwhere(end)[0][::-1]) for end in ends] == [tuple(c) for c in cells]
        assert (ends.sum((1, 2)) == 1).all()


# ── the experiment ──────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def tables(tmp_path_factory, one_thread):
    """Tables of models that were never trained, which write on from the true traces."""
    patch = pytest.MonkeyPatch()
    for name, value in (("FIT", 120), ("ASKED", 40), ("PATCHED", 4)):
        patch.setattr(latents, name, value)
    patch.setattr(probes, "DRAWS", 20)
    scale = SMOKE.model_copy(update={
        "seeds": (1, 2), "train_examples": 200,
        "training": SMOKE.training.model_copy(update={"warmup_steps": 2})})
    run = Run(scale, tmp_path_factory.mktemp("runs"))
    specs = [EvaluationSpec(model, "wilson") for model in (
        ModelSpec("solution_only", 1), ModelSpec("solution_only", 2), ModelSpec("correct", 1),
        ModelSpec("correct", 1, latents.RANDOM))]
    mazes = steps.corpus(run, run.corpus("test", "wilson"))
    steps.corpus(run, run.corpus("train"))
    config = scale.transformer()
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    write_checkpoint(path, {"follows_from": {"corpus": {"rows": 4, "cols": 6},
                                             "model": config.shape()}, "context": config.context},
                     {f"model.{name}": value for name, value in
                      scrambled(config).state_dict().items()})
    patch.setattr(run.store, "use", lambda product: (
        path if product.name.startswith("model") else run.store.path(product)))
    lines = [mazes.vocabulary.decode(mazes.tokens[a:b]) for a, _, _, b in mazes.bounds]
    patch.setattr(asking, "written", lambda run, spec: lines)
    yield latents.analyse(run, specs)
    patch.undo()


def test_tables(tables):
    assert set(tables) == set(EXPERIMENTS["latents"].tables)
    table = tables["probes"]
    assert set(table["features"]) == {"model", "untrained", "shuffled", "prompt"}
    counted = table[table["variation"] == ""].groupby(["condition", "seed", "features"]).size()
    states_of = SMOKE.model.layers + 1
    assert counted["correct", 1, "model"] == 7 * states_of  # plan and wall thrice, open once
    assert counted["solution_only", 2, "untrained"] == 2 * states_of
    assert counted["correct", 1, "shuffled"] == 7
    assert counted["correct", 1, "prompt"] == 3
    rated = table.dropna(subset="auroc")
    assert (rated["auroc_low"] <= rated["auroc_high"]).all()
    walls = rated[(rated["features"] == "prompt") & (rated["target"] == "wall")]
    assert (walls["auroc"] > 0.95).all()  # what the prompt says is read off it
    start = rated[(rated["place"] == "solution") & (rated["state"] == 0)]
    assert (start["auroc"] == 0.5).all()  # an embedding knows nothing of the maze


def test_patches(tables):
    table = tables["patches"]
    plain = table[table["state"].isna()]
    assert len(plain) == 4
    assert (plain["unchanged"] == 1).all()
    assert len(table) == 4 * (1 + 2 * SMOKE.model.layers + 1)
    assert (table["n"] == 4).all()


def test_effects_have_the_names_of_claims(tables):
    quantities = set(tables["effects"]["quantity"])
    ours = {claim.quantity for claim in claims.CLAIMS if claim.table == "latents/effects.csv"}
    assert len(ours) > 3
    assert {name for name in ours if "swapped" not in name} <= quantities
    assert {name.replace("swapped", "correct") for name in ours} <= quantities
    assert "plan at solution: correct with gaps - prompt" in quantities
    seeds = tables["effects"].set_index("quantity")["seeds"]
    assert seeds["plan at solution: solution_only - prompt"] == 2
    assert seeds["plan at solution: correct with gaps - prompt"] == 1


def test_an_interval_over_seeds_is_wider():
    draws = np.random.default_rng(4).normal(0.1, 0.01, (2, 201))
    draws[:, 0] = 0.1, 0.2
    (one, low, high), (both, both_low, both_high) = (
        latents._interval(list(draws[:seeds])) for seeds in (1, 2))
    assert (one, both) == (0.1, pytest.approx(0.15))
    assert both_high - both_low > 10 * (high - low)


def test_figures(tables):
    for draw, name in ((probing.draw_probes, "probes"), (probing.draw_patches, "patches")):
        figure = draw(tables[name])
        assert png(figure).startswith(b"\x89PNG")
        assert "correct with gaps" in figure.alt
        assert draw(tables[name].iloc[:0]).alt.startswith("Nothing to draw")


def test_a_table_for_people(tables):
    wide = probing.told(tables["probes"], "wall")
    assert ("solution", "state 1") in wide.columns
    said = wide.xs("prompt", level="features")["prompt"]
    assert said.map(lambda text: float(text.split(" [")[0]) > 0.95).all(axis=None)
