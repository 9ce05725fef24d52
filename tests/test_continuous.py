"""Traces taken away step by step; latents fed back, as the definition has it; cached answers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from models import scrambled
from test_training import assert_same_run
from torch.nn.functional import cross_entropy

from helpers import continuous
from helpers.batches import Batches, make_batch
from helpers.checkpoints import read_checkpoint
from helpers.conditions import CONDITIONS, put_together
from helpers.continuous import Feedback, in_rows, latent_loss, think, write
from helpers.corpus import PROMPT_PART, Recipe, build
from helpers.curriculum import (
    LATENT,
    CurriculumConfig,
    KeptBatches,
    LatentBatches,
    PausedBatches,
    RemovedBatches,
    Stage,
    StagedTrainer,
    WithLatents,
    behind,
    latents_of,
    stage_at,
    stages,
)
from helpers.engine.packing import pack
from helpers.language import CLOSE_WORD, END, REASONING
from helpers.layouts import GAPS
from helpers.model import ModelConfig, Transformer
from helpers.optimisation import TrainingConfig
from helpers.responses import respond
from helpers.training import Likelihood, to_tensors, token_weights

pytestmark = pytest.mark.usefixtures("one_thread", "float32")

CORPUS = build(Recipe("drunkards_walk", 4, 4, "train", 1, "indexed", 40))  # prompts of all lengths
MODEL = ModelConfig(vocabulary=CORPUS.vocabulary.size, context=250, width=16, layers=2, heads=2,
                    kv_heads=1, mlp_width=16)
SETTINGS = TrainingConfig(batch_size=4)
CURRICULUM = CurriculumConfig(latent_steps=2, latents_each=2)


def batches(kind=PausedBatches, condition: str = "correct", **how) -> Batches:
    examples = put_together(CORPUS, CONDITIONS[condition], 1)
    return kind(examples, 4, 2, 1, **{"curriculum": CURRICULUM} | how)


# ── stages ──────────────────────────────────────────────────────────────────────────────


def test_stages_are_those_of_the_definition():
    found = stages(100, CurriculumConfig(latent_steps=3, latents_each=2))
    assert found == [(0, 1, 2), (16, 2, 4), (33, 3, 6), (50, None, 6)]
    assert [stage_at(found, step).begins for step in (0, 15, 16, 49, 50, 99)] == [
        0, 0, 16, 33, 50, 50]
    for steps in (12, 13, 14, 99):
        begins = [stage.begins for stage in stages(steps, CurriculumConfig())]
        assert len(set(begins)) == 7
        assert begins == sorted(begins)
        assert begins[-1] == steps // 2
    with pytest.raises(ValueError, match="latent_steps: got 6, takes at most 5, half of the 11 "):
        stages(11, CurriculumConfig())


@pytest.mark.parametrize(("count", "rest"), [
    (0, "close 0 0 c0 c2 create 1 0 c1 c1 close 1 0 c1 c1 close 1 1 c2 c0"),
    (1, "close 1 0 c1 c1 close 1 1 c2 c0"), (2, "close 1 1 c2 c0"), (3, ""), (9, ""), (None, "")])
def test_a_step_is_a_close_with_its_creates(count, rest):
    whole = "reasoning close 0 0 c0 c2 create 1 0 c1 c1 close 1 0 c1 c1 close 1 1 c2 c0"
    trace = CORPUS.vocabulary.encode(whole)
    assert CORPUS.vocabulary.decode(trace[behind(trace, count):]) == rest


def test_a_model_is_asked_with_as_many_latents_as_it_learnt_last():
    follows_from = {"stages": [[0, 1, 2], [5, 2, 4], [10, None, 4]]}
    counts = [latents_of({"follows_from": follows_from, "counters": {"step": step}})
              for step in (0, 1, 5, 6, 10, 20)]
    assert counts == [2, 2, 2, 4, 4, 4]


# ── batches ─────────────────────────────────────────────────────────────────────────────


def texts(batch) -> list[np.ndarray]:
    return np.split(batch.tokens, np.cumsum(batch.lengths)[:-1])


def words_to_learn(batch) -> list[np.ndarray]:
    """The targets of each example."""
    example = np.searchsorted(np.cumsum(batch.lengths), batch.learn, "right")
    return [batch.targets[example == i] for i in range(len(batch.lengths))]


@pytest.mark.parametrize("condition", ["correct", "swapped", "filler"])
@pytest.mark.parametrize("kind", [PausedBatches, RemovedBatches, KeptBatches])
def test_examples_are_what_is_left_with_latents_in_front(condition, kind):
    """Prompt, opening word, latents, rest of the trace, plan; all behind the latents is learnt."""
    found = batches(kind, condition)
    seen = set()
    assert len(found) == 10  # half of two epochs
    for step in range(len(found)):
        stage, batch = stage_at(found.stages, step), found[step]
        seen.add(stage)
        assert kind is not KeptBatches or stage[1:] == (0, 0)
        assert kind is PausedBatches or not stage.latents
        for index, text, learnt in zip(found.indices(step), texts(batch), words_to_learn(batch),
                                       strict=True):
            prompt, trace, plan = (part.piece(index) for part in (
                found.examples.prompts, found.examples.traces, found.examples.plans))
            rest = trace[behind(trace, stage.without):]
            expected = np.concatenate([prompt, [REASONING], [LATENT] * stage.latents, rest, plan])
            assert np.array_equal(text, expected[:-1])
            assert np.array_equal(learnt, np.concatenate([rest, plan]))
            gone = trace[1:len(trace) - len(rest)]
            if stage.without and condition != "filler":
                closes = (trace == CLOSE_WORD).sum()
                assert (gone == CLOSE_WORD).sum() == min(stage.without, closes)
                assert not len(rest) or rest[0] == CLOSE_WORD
    assert [stage.without for stage in sorted(seen)] == (
        [0, 0, 0] if kind is KeptBatches else [1, 2, None])


def test_batches_fit_what_the_model_is_checked_for():
    found = batches(curriculum=CurriculumConfig(latent_steps=5, latents_each=4))
    assert max(found[step].lengths.max() for step in range(len(found))) <= found.longest


def test_kept_is_the_same_as_ever_in_another_order():
    found = batches(KeptBatches, "solution_only")
    usual = Batches(put_together(CORPUS, CONDITIONS["solution_only"], 1), 4, 2, 1)
    assert not np.array_equal(found.indices(0), usual.indices(0))
    for step in range(len(found)):
        again = make_batch(usual.examples, found.indices(step))
        assert all(map(np.array_equal, found[step], again))


@pytest.mark.parametrize("kind", [PausedBatches, RemovedBatches, LatentBatches])
def test_what_has_no_trace_has_none_to_take_away(kind):
    with pytest.raises(ValueError, match="objective: got one that takes the trace away, takes a"):
        batches(kind, "solution_only")


# ── the definition ──────────────────────────────────────────────────────────────────────


def hidden_of(model: Transformer, x: torch.Tensor, places: np.ndarray) -> torch.Tensor:
    """Embeddings of one text [N, C] → [N, C] before the output layer, the usual way."""
    packing = pack(np.array([len(x)]), groups=1, positions=places)
    n = len(packing.positions)
    x, rope = torch.cat([x, torch.zeros(n - len(x), x.shape[1])]), model.rotary(packing.positions)
    for block in model.blocks:
        x = block(x, rope, packing)
    return model.norm(x)[:len(places)]


def by_hand(model: Transformer, text: np.ndarray, places: np.ndarray, opening: int, count: int,
            detached: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Reads a text n + 1 times, each time with one latent more; [N, C], and the latents [n, C]."""
    x = model.embedding(torch.from_numpy(text.astype(np.int64)))
    for i in range(opening, opening + count):
        vector = hidden_of(model, x, places)[i]
        vector = vector.detach() if detached else vector
        x = torch.cat([x[:i + 1], vector[None], x[i + 2:]])
    return hidden_of(model, x, places), x[opening + 1:opening + 1 + count]


def losses_by_hand(model: Transformer, found: WithLatents, detached: bool = False) -> torch.Tensor:
    """The weighted loss of a batch, text by text."""
    batch, total, base = found.batch, 0.0, 0
    weights = torch.from_numpy(token_weights(batch, SETTINGS.plan_weight))
    for text, places in zip(texts(batch), np.split(batch.positions, np.cumsum(batch.lengths)[:-1]),
                            strict=True):
        here = (batch.learn >= base) & (batch.learn < base + len(text))
        at = batch.learn[here] - base
        hidden, _ = by_hand(model, text, places, at[0] - found.count, found.count, detached)
        each = cross_entropy(model.logits(hidden[at]), torch.from_numpy(batch.targets[here]),
                             reduction="none")
        total, base = total + (each * weights[here]).sum(), base + len(text)
    return total


def gradients(model: Transformer) -> dict[str, torch.Tensor]:
    found = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    return found


@pytest.mark.parametrize("step", [0, 4, 9])
def test_the_loss_is_the_definition(step):
    """Value and gradients, with prompts of several lengths, in parts, behind gaps."""
    model, found = scrambled(MODEL), batches(LatentBatches, gap=GAPS["both"])[step]
    assert found.count == [2, 4, 4][[0, 4, 9].index(step)]
    assert len(set(found.lengths)) > 1
    objective = Feedback(model, SETTINGS.model_copy(update={"micro_batch_tokens": 130}), False)
    numbers = objective(found)()
    ours = gradients(model)
    expected = losses_by_hand(model, found)
    expected.backward()
    assert numbers["loss"] == pytest.approx(float(expected.detach()), rel=1e-4)
    for name, gradient in gradients(model).items():
        assert torch.allclose(ours[name], gradient, rtol=1e-3, atol=1e-5), name


def test_gradients_go_back_through_latents():
    """With latents taken as they are given, weights would learn something else."""
    model, found = scrambled(MODEL), batches(LatentBatches)[4]
    Feedback(model, SETTINGS, False)(found)
    ours = gradients(model)
    losses_by_hand(model, found, detached=True).backward()
    cut = gradients(model)
    name = "blocks.0.gate_up.weight"
    assert (ours[name] - cut[name]).norm() > 0.01 * cut[name].norm()


def test_without_latents_it_is_the_usual_loss():
    batch = batches(KeptBatches)[3]
    found = []
    for make, given in ((Feedback, WithLatents(batch, 0)), (Likelihood, batch)):
        model = scrambled(MODEL)
        found.append((make(model, SETTINGS, False)(given)(), gradients(model)))
    (ours, ours_gradients), (usual, usual_gradients) = found
    assert ours == usual
    assert all(torch.equal(ours_gradients[name], usual_gradients[name]) for name in usual_gradients)


def test_latents_that_are_the_words_embedding_are_the_word(monkeypatch):
    """Fed the embedding of what stands there, a model is one with pauses."""
    model, found = scrambled(MODEL), batches(LatentBatches)[9]
    tensors = to_tensors(found.batch, token_weights(found.batch, 1.0), torch.device("cpu"))
    usual, each = model.loss(*tensors)
    fed, _ = latent_loss(model, found.count, *tensors)

    def given(model, asked, count):
        rows = len(asked.tokens)
        return think(model, asked, count, model.embedding.weight[LATENT].expand(rows, count, -1))

    monkeypatch.setattr(continuous, "think", given)
    same, same_each = latent_loss(model, found.count, *tensors)
    assert float(same.detach()) == pytest.approx(float(usual.detach()), rel=1e-5)
    assert torch.allclose(same_each, each[:len(same_each)], atol=1e-4)
    assert abs(float((fed - usual).detach())) > 1e-3


# ── a training ──────────────────────────────────────────────────────────────────────────


def training(folder, kind=LatentBatches, objective=Feedback, **changes) -> StagedTrainer:
    settings = TrainingConfig(**{"batch_size": 4, "warmup_steps": 1, "snapshots": 2,
                                 "checkpoint_every": 2, "log_every": 1} | changes)
    found = batches(kind)
    return StagedTrainer(scrambled(MODEL, 7), found, settings, seed=3, folder=folder,
                         follows_from={"stages": found.stages}, compiled=False,
                         objective=objective)


def test_killed_and_resumed_it_ends_in_the_same_files(tmp_path):
    """Stopped right before, at and right after each place where a stage begins."""
    assert [stage.begins for stage in training(tmp_path).batches.stages] == [0, 2, 5]
    training(tmp_path / "whole").run()
    for steps in (1, 1, 1, 2, 1, 9):
        training(tmp_path / "parts").run(stop_after=steps)
    assert_same_run(tmp_path / "parts", tmp_path / "whole")


def test_optimisers_begin_anew_with_each_stage(tmp_path):
    found, made = training(tmp_path), []
    for _ in range(len(found.batches)):
        found.run(stop_after=1)
        adam = found.optimizers[1][0]
        made.append({int(state["step"]) for state in adam.state.values()})
    assert made == [{1}, {2}, {1}, {2}, {3}, {1}, {2}, {3}, {4}, {5}]


def test_it_begins_with_the_model_before(tmp_path):
    """Whose weights stay as they are."""
    start, found = scrambled(MODEL, 7), training(tmp_path)
    for name, value in found.model.state_dict().items():
        assert torch.equal(value, start.state_dict()[name])
    found.run(stop_after=1)
    changed = [not torch.equal(value, start.state_dict()[name])
               for name, value in found.model.state_dict().items()]
    assert all(changed)


# ── answers ─────────────────────────────────────────────────────────────────────────────


def plainly(model: Transformer, text: np.ndarray, places: np.ndarray, count: int, most: int,
            vectors: torch.Tensor | None = None) -> tuple[list[int], torch.Tensor]:
    """One answer, the whole text read anew for each latent and each word; and the latents."""
    opening, answer = len(text) - 1, []
    while len(answer) < most and END not in answer:
        words = np.concatenate([text, [LATENT] * count, answer])
        on = places[-1] + 1 + np.arange(count + len(answer))
        if vectors is None:
            hidden, latents = by_hand(model, words, np.append(places, on), opening, count)
        else:
            x = model.embedding(torch.from_numpy(words.astype(np.int64)))
            x = torch.cat([x[:opening + 1], vectors, x[opening + 1 + count:]])
            hidden, latents = hidden_of(model, x, np.append(places, on)), vectors
        answer.append(int(model.exact_logits(hidden[-1]).argmax()))
    return answer, latents


ASKED = [np.append(CORPUS.segment(i, PROMPT_PART), np.uint16(REASONING)) for i in range(4)]
PLACED = [np.arange(len(text)) + np.append(np.zeros(len(text) - 1, int), 5) for text in ASKED]


@pytest.mark.parametrize("count", [1, 3])
def test_cached_answers_are_those_of_whole_texts(count):
    model = scrambled(MODEL, 4)
    rows = in_rows(ASKED, PLACED, torch.device("cpu"))
    found = write(model, rows, count, 8)
    with torch.no_grad():
        expected = [plainly(model, text, places, count, 8)
                    for text, places in zip(ASKED, PLACED, strict=True)]
        assert [row.tolist() for row in found] == [answer for answer, _ in expected]
        latents = think(model, rows, count).vectors
        assert torch.allclose(latents, torch.stack([own for _, own in expected]), atol=1e-4)
        assert len({tuple(answer) for answer, _ in expected}) > 1
        others = [expected[i][1] for i in (1, 2, 3, 0)]
        lent = in_rows([*ASKED[1:], ASKED[0]], [*PLACED[1:], PLACED[0]], torch.device("cpu"))
        with_others = write(model, rows, count, 8, lent)
        for row, text, places, vectors in zip(with_others, ASKED, PLACED, others, strict=True):
            assert row.tolist() == plainly(model, text, places, count, 8, vectors)[0]


def test_an_answer_ends_with_end(monkeypatch):
    """Also while others go on."""
    model = scrambled(MODEL, 2)
    rows = in_rows(ASKED, PLACED, torch.device("cpu"))
    whole = write(model, rows, 2, 8)
    monkeypatch.setattr(continuous, "END", int(whole[0][2]))
    for row, longer in zip(write(model, rows, 2, 8), whole, strict=True):
        ends = np.flatnonzero(longer == whole[0][2])
        assert np.array_equal(row, longer[:ends[0] + 1] if len(ends) else longer)
    assert len(whole[0]) == 8


def test_responses_do_not_depend_on_company():
    model, few = scrambled(MODEL, 2), replace(CORPUS, bounds=CORPUS.bounds[:7])
    how = {"count": 2, "max_new_tokens": 14}
    whole, some = (continuous.respond(model, few, "correct", batch_size=size, **how)
                   for size in (7, 3))
    assert all(map(np.array_equal, whole, some))
    assert max(map(len, whole)) == 12  # latents are part of the room
    lent = [CORPUS.segment(i, PROMPT_PART) for i in (1, 2, 3, 4, 5, 6, 0)]
    others = continuous.respond(model, few, "correct", latents=lent, **how)
    own = [CORPUS.segment(i, PROMPT_PART) for i in range(7)]
    again = continuous.respond(model, few, "correct", latents=own, **how)
    assert all(map(np.array_equal, whole, again))
    assert not all(map(np.array_equal, whole, others))
    moved = continuous.respond(model, few, "correct", gap=np.full(7, 9), **how)
    assert not all(map(np.array_equal, whole, moved))


def test_without_latents_answers_are_the_usual_ones():
    model, few = scrambled(MODEL, 2), replace(CORPUS, bounds=CORPUS.bounds[:5])
    usual = respond(model, few, "correct", max_new_tokens=9, gap=3)
    for ask in (continuous.respond, continuous.respond_paused):
        assert all(map(np.array_equal, usual, ask(model, few, "correct", count=0, max_new_tokens=9,
                                                  gap=3)))
    paused = continuous.respond_paused(model, few, "correct", count=3, max_new_tokens=12, gap=3)
    assert not all(map(np.array_equal, usual, paused))
    assert max(map(len, paused)) == 9


def test_a_checkpoint_says_how_many_latents_there_are(tmp_path):
    training(tmp_path).run()
    paths = [*sorted((tmp_path / "snapshots").glob("*")), tmp_path / "model.safetensors"]
    assert [latents_of(read_checkpoint(path)[0]) for path in paths] == [4, 4]
    assert Stage(*read_checkpoint(paths[-1])[0]["follows_from"]["stages"][0]) == (0, 1, 2)
