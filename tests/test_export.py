"""A Hugging Face folder: transformers load it without a network and write what we write."""

import json
import os
import socket
import struct
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models import scrambled
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from helpers import __main__ as cli
from helpers import decoding
from helpers.checkpoints import load_model, write_checkpoint
from helpers.conditions import CONDITIONS, prompts
from helpers.corpus import Recipe, build
from helpers.engine.files import atomic_folder
from helpers.evaluation import HEADLINE
from helpers.language import Vocabulary
from helpers.model import ModelConfig
from helpers.responses import answer
from helpers.share import card, export
from helpers.share.box import store_model
from helpers.share.tokenizer import special_words, words_of

CORPUS = build(Recipe("searchformer", 4, 5, "train", 1, "indexed", 6))
CONFIG = ModelConfig(vocabulary=CORPUS.vocabulary.size, context=120, width=32, layers=2, heads=4,
                     kv_heads=2, mlp_width=48, rope_theta=5e3, norm_eps=1e-5)
FILES = {"README.md", "config.json", "generation_config.json", "model.safetensors",
         "special_tokens_map.json", "tokenization_words.py", "tokenizer.json",
         "tokenizer_config.json"}
ORDERS = ("ours", "published")


def checkpoint(path: Path, config: ModelConfig = CONFIG, **about) -> str:
    """A model with lively answers, as a training would leave it."""
    follows_from = {"condition": "correct", "seed": 1, "model": config.shape(),
                    "training": {"batch_size": 8}, "corpus": asdict(CORPUS.recipe)}
    weights = {f"model.{name}": value for name, value in scrambled(config).state_dict().items()}
    write_checkpoint(path, {"follows_from": follows_from, "context": config.context, **about},
                     weights)
    return str(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory, one_thread) -> str:
    return checkpoint(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="module", params=ORDERS)
def folder(request, model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("export") / request.param
    assert cli.main(["export", model, str(path), "--vocabulary", request.param]) == 0
    return path


@pytest.fixture(autouse=True)
def _without_network(monkeypatch):
    def connect(*_):
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", connect)


def read(folder: Path, name: str) -> dict:
    return json.loads((folder / name).read_text(encoding="utf-8"))


# ── what llama.cpp makes of it ──────────────────────────────────────────────────────────


def read_gguf(content: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    """Settings and tensors of a file, by the format's description alone."""
    place = 0

    def take(form: str):
        nonlocal place
        (value,) = struct.unpack_from(f"<{form}", content, place)
        place += struct.calcsize(f"<{form}")
        return value

    def value(kind: int):
        if kind == 8:
            return take(f"{take('Q')}s").decode()
        if kind == 9:
            item, n = take("I"), take("Q")
            return [value(item) for _ in range(n)]
        return take({4: "I", 5: "i", 6: "f", 7: "?"}[kind])

    assert (take("4s"), take("I")) == (b"GGUF", 3)
    count, pairs = take("Q"), take("Q")
    settings = {value(8): value(take("I")) for _ in range(pairs)}
    infos = [(value(8), [take("Q") for _ in range(take("I"))], take("I"), take("Q"))
             for _ in range(count)]
    start = -(-place // 32) * 32
    assert all((kind, offset % 32) == (0, 0) for *_, kind, offset in infos)
    return settings, {name: np.frombuffer(content, "<f4", int(np.prod(shape)), start + offset
                                          ).reshape(shape[::-1])
                      for name, shape, _, offset in infos}


@pytest.mark.parametrize("order", ORDERS)
def test_a_file_for_llama_cpp(model, order, tmp_path):
    """Its words and shape are those of the folder, its numbers those of the model."""
    assert cli.main(["export", model, str(tmp_path), "--vocabulary", order, "--gguf"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"model.gguf"}
    settings, tensors = read_gguf((tmp_path / "model.gguf").read_bytes())
    words = read(tmp_path, "tokenizer.json")["model"]["vocab"]
    tokens = settings["tokenizer.ggml.tokens"]
    assert [token.removeprefix("▁") for token in tokens] == list(words)
    control = [kind == 3 for kind in settings["tokenizer.ggml.token_type"]]
    assert control == [not token.startswith("▁") for token in tokens]
    assert sum(control) == 4
    assert words["end"] == settings["tokenizer.ggml.eos_token_id"]
    assert not control[words["end"]]  # so that an answer ends with it, as ours
    assert not settings["tokenizer.ggml.add_bos_token"]
    assert settings["qwen2.context_length"] == CONFIG.context
    assert settings["qwen2.attention.head_count_kv"] == CONFIG.kv_heads
    assert settings["qwen2.rope.freq_base"] == CONFIG.rope_theta
    assert settings["qwen2.attention.layer_norm_rms_epsilon"] == pytest.approx(CONFIG.norm_eps)
    theirs = load_file(tmp_path / "model.safetensors")
    assert len(tensors) == len(theirs) == 2 + 12 * CONFIG.layers
    for ours, name in (("token_embd.weight", "model.embed_tokens.weight"),
                       ("output_norm.weight", "model.norm.weight"),
                       ("blk.1.attn_k.bias", "model.layers.1.self_attn.k_proj.bias"),
                       ("blk.0.attn_output.weight", "model.layers.0.self_attn.o_proj.weight"),
                       ("blk.1.ffn_gate.weight", "model.layers.1.mlp.gate_proj.weight"),
                       ("blk.1.ffn_up.weight", "model.layers.1.mlp.up_proj.weight"),
                       ("blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight"),
                       ("blk.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight")):
        np.testing.assert_array_equal(tensors[ours], theirs[name])


# ── what transformers make of it ────────────────────────────────────────────────────────


@pytest.mark.parametrize("condition", ["correct", "solution_only"])
def test_transformers_write_what_we_write(model, folder, condition, monkeypatch):
    """One by one, and side by side behind padding, as far as the context allows."""
    monkeypatch.setattr(decoding, "autocast", lambda _: nullcontext())  # they compute in float32
    ours, asked = load_model(model), prompts(CORPUS, CONDITIONS[condition])
    expected = [answer(ours, CORPUS.mazes.maze(i), condition) for i in range(len(CORPUS))]
    assert len(set(expected)) == len(expected)
    theirs = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert type(theirs).__name__ == "Qwen2ForCausalLM"
    assert theirs.dtype == torch.float32
    texts = [CORPUS.vocabulary.decode(prompt) for prompt in asked]
    opening = texts[0].split()[-1]
    for text, response in zip(texts, expected, strict=True):
        given = tokenizer(text, return_tensors="pt")
        ids = theirs.generate(**given)[0, given["input_ids"].shape[1] - 1:]
        assert tokenizer.decode(ids).replace("|", "") == response  # but for names of specials
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    assert not batch["attention_mask"][:, 0].all()  # some are padded, on the left
    assert batch["attention_mask"][:, -1].all()
    width = batch["input_ids"].shape[1]
    whole = 0
    for row, response in zip(theirs.generate(**batch), expected, strict=True):
        text = f"{opening} {tokenizer.decode(row[width:])}".replace("|", "")
        text = text.partition(" end")[0] + " end" * (" end" in text)  # then padding
        # behind a longer prompt there is less room for an answer that finds no end
        assert response.startswith(text)
        whole += response == text
        assert response == text or len(row) == CONFIG.context
    assert whole > 1


@pytest.fixture(scope="module")
def tokenizer(folder) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(folder)


@given(data=st.data())
def test_text_there_and_back(tokenizer, data):
    size = CORPUS.vocabulary.size
    ids = data.draw(st.lists(st.integers(0, size - 1), max_size=40))
    text = tokenizer.decode(ids)
    assert tokenizer.encode(text) == ids
    assert tokenizer(text)["input_ids"] == ids
    assert tokenizer.decode(tokenizer.encode(text)) == text
    spaced = data.draw(st.sampled_from(["  ", "\n", " \t "]))
    assert tokenizer.encode(spaced + text.replace(" ", spaced)) == ids


def test_the_same_words(tokenizer, folder):
    vocabulary = CORPUS.vocabulary
    words = words_of(vocabulary, folder.name)
    assert tokenizer.get_vocab() == {word: i for i, word in enumerate(words)}
    assert len(tokenizer) == vocabulary.size == read(folder, "config.json")["vocab_size"]
    example = CORPUS.tokens[:CORPUS.bounds[0, 3]]
    ours = np.array(list(words.values()))
    assert ours[tokenizer.encode(vocabulary.decode(example))].tolist() == example.tolist()
    assert tokenizer.encode("query elsewhere c99") == [
        list(words).index("query"), tokenizer.unk_token_id, tokenizer.unk_token_id]


def test_special_ids(tokenizer, folder):
    words = list(words_of(CORPUS.vocabulary, folder.name))
    bars = "|" if folder.name == "published" else ""
    assert (tokenizer.pad_token, tokenizer.unk_token, tokenizer.bos_token) == tuple(
        f"<{bars}{name}{bars}>" for name in ("pad", "unk", "bos"))
    generation = read(folder, "generation_config.json")
    assert generation["eos_token_id"] == tokenizer.eos_token_id == words.index("end")
    assert generation["pad_token_id"] == tokenizer.pad_token_id == words.index(tokenizer.pad_token)
    assert read(folder, "config.json")["eos_token_id"] == words.index("end")


def test_the_published_order():
    """As read from the authors' training code, written out for two rows of three."""
    vocabulary = Vocabulary(2, 3)
    words = words_of(vocabulary, "published")
    assert " ".join(words) == (
        "c0 c1 c2 c3 c4 c5 0 1 2 start goal wall create close plan query reasoning solution end "
        "<|pad|> <|unk|> <|bos|> <|eos|>")
    assert sorted(words.values()) == list(range(vocabulary.size))
    for word, ours in words.items():
        assert vocabulary.tokens[ours] == word.replace("|", "")
    assert len(words_of(Vocabulary(30, 30), "published")) == 944
    assert special_words(words)["pad_token"] == "<|pad|>"
    assert special_words(words_of(vocabulary, "ours"))["unk_token"] == "<unk>"


# ── the folder ──────────────────────────────────────────────────────────────────────────


def test_what_is_written(folder, model, capsys):
    assert {path.name for path in folder.iterdir()} == FILES
    assert {path.name for path in folder.parent.iterdir()} == {folder.name}
    assert cli.main(["export", model, str(folder)]) == 2
    assert capsys.readouterr().err == (
        f"helpers: DIR: got {str(folder)!r}, which is not empty, takes a folder that is empty or "
        "not there yet\n")


def test_an_empty_folder_is_filled_and_bytes_repeat(model, tmp_path):
    (tmp_path / "a").mkdir()
    os.symlink("a", tmp_path / "b")
    for name in ("b", "c"):
        assert cli.main(["export", model, str(tmp_path / name)]) == 0
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "c" / name).read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c"]


def refused(capsys, *words: str) -> str:
    assert cli.main(["export", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_refusals(model, tmp_path, capsys):
    target, file = str(tmp_path / "new"), tmp_path / "file"
    file.write_text("no model")
    assert "DIR: got" in refused(capsys, model, str(file))
    assert "which is no folder" in refused(capsys, model, str(file))
    assert "whose parent is no folder" in refused(capsys, model, str(tmp_path / "no" / "where"))
    assert "no such file; takes the model.safetensors" in refused(capsys, "absent", target)
    assert f"checkpoint {file}: unreadable or truncated" in refused(capsys, str(file), target)
    deaf = checkpoint(tmp_path / "deaf.safetensors", replace(CONFIG, rotary_heads=1))
    assert "rotary_heads: got 1, takes all 2 for an export" in refused(capsys, deaf, target)
    with pytest.raises(SystemExit) as caught:
        cli.main(["export", model, target, "--vocabulary", "theirs"])
    assert caught.value.code == 2
    assert "--vocabulary: got 'theirs', takes ours" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["deaf.safetensors", "file"]


def test_complete_or_not_there(model, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "card", full)
    assert cli.main(["export", model, str(tmp_path / "new")]) == 1
    assert "No space left" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_a_folder_that_was_filled_meanwhile_stays(tmp_path):
    def fill():
        with atomic_folder(tmp_path / "a") as folder:
            (folder / "ours").touch()
            (tmp_path / "a").mkdir()
            (tmp_path / "a" / "theirs").touch()

    with pytest.raises(OSError, match="not empty"):
        fill()
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == [
        "a", "a/theirs"]


# ── the card ────────────────────────────────────────────────────────────────────────────


def test_the_card(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\nlicense: mit\n")
    assert "# `correct`, seed 1, 4×5 mazes" in text
    assert f"{scrambled(CONFIG).parameter_count():,} parameters" in text
    assert '| corpus generator | `"searchformer"` |' in text
    assert "| training batch size | `8` |" in text
    assert "No results of these weights are published." in text
    assert "does not say with which commit" in text
    prompt = text.partition('prompt = "')[2].partition('"')[0]
    assert prompt.startswith("query start ")
    assert prompt.endswith(" reasoning")
    assert CORPUS.vocabulary.encode(prompt).size
    assert "{" not in text


def test_the_card_says_what_is_published_of_these_weights_alone(tmp_path, model):
    made = {"commit": "abc", "machine": {"cores": 2}}
    published = tmp_path / "tiny" / "models" / "correct_1.safetensors"
    published.parent.mkdir(parents=True)
    store_model(Path(model), published, made)
    rows = [["correct", seed, name, 40, *[rate, rate - 0.1, rate + 0.1], rate, *[0.25] * 3, 0.5,
             0.2, 0.3, 9, rate, 0.25]
            for seed, rate in ((1, 0.6), (2, 0.9)) for name in ("wilson", "dfs")]
    pd.DataFrame(rows, columns=HEADLINE).to_csv(tmp_path / "tiny" / "headline.csv", index=False)
    for path in (model, published):
        about, tensors = card.read_checkpoint(path)
        said = card.results(about, tensors, tmp_path)
        assert "of 40 unseen mazes each (`results/tiny/headline.csv`" in said
        assert "  | plans | 60.0 [50.0, 70.0] | 60.0 [50.0, 70.0] |" in said
        assert "  | traces | 25.0 [20.0, 30.0] | 25.0 [20.0, 30.0] |" in said
    assert '| commit | `"abc"` |' in card.made(about)
    assert "| machine cores | `2` |" in card.made(about)
    other = {name: value + 1 for name, value in tensors.items()}
    assert "No results" in card.results(about, other, tmp_path)
    published.rename(published.with_name("correct+plan_weight=4.0_1.safetensors"))
    assert "No results" in card.results(about, tensors, tmp_path)
