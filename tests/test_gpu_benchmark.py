"""The GPU's benchmark in miniature on the CPU: every part runs, none takes the others along."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from models import CONFIGS, scrambled

from benchmarks import gpu
from helpers import model as model_module
from helpers.engine.packing import pack


@pytest.fixture(scope="module")
def jobs():
    return gpu.sizes(torch.device("cpu"), True)


def test_every_part(tmp_path, capsys):
    path = tmp_path / "bench" / "here.json"
    assert gpu.main(["--tiny", "--device", "cpu", "--output", str(path)]) == 0
    found = json.loads(path.read_text())
    assert found["torch"] == torch.__version__
    rows = {row["name"]: row for row in found["rows"]}
    assert not [row for row in rows.values() if "error" in row]
    assert all(row["value"] > 0 for row in rows.values())
    assert all(row["machine"].startswith("no GPU; ") for row in rows.values())
    assert {"peak", "training", "training FLOP/s", "training, varlen_attn", "training, rows",
            "training, peer", "decoding", "decoding, peer, static cache",
            "decoding, laptop, peer, dynamic cache"} <= set(rows)
    for name in ("training", "decoding", "training, laptop", "decoding, laptop"):
        row = rows[name]
        rivals = [other["value"] for other in rows.values()
                  if other["name"].startswith(f"{name}, peer") and other["unit"] == "tokens/s"]
        assert row["peer_value"] == max(rivals)
        assert row["ratio"] == pytest.approx(row["value"] / row["peer_value"], rel=2e-3)
    share = rows["training FLOP/s"]
    assert share["ratio"] == pytest.approx(share["value"] / rows["peak"]["value"], rel=2e-3)
    assert re.search(r"^ *training, peer ", capsys.readouterr().out, re.MULTILINE)


def test_a_part_that_fails_is_a_row(capsys):
    def fails():
        raise torch.OutOfMemoryError("CUDA out of memory.\n  Tried to allocate")

    rows = gpu.measured({"a": fails, "b": lambda: [("", 2.0, "tokens/s")]}, 1,
                        torch.device("cpu"))
    assert [(row["name"], row["value"], row.get("error")) for row in rows] == [
        ("b", 2.0, None),
        ("a", None, "OutOfMemoryError: CUDA out of memory. Tried to allocate")]
    assert "OutOfMemoryError" in capsys.readouterr().out


def test_parts_that_come_too_late(tmp_path):
    path = tmp_path / "here.json"
    assert gpu.main(["--tiny", "--device", "cpu", "--minutes", "0", "--parts", "peak", "training",
                     "--output", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    assert [row["name"] for row in rows][:2] == ["peak", "training"]
    assert not [row["name"] for row in rows if row["name"].startswith("decoding")]
    assert {row["error"] for row in rows} == {"left out: 0 minutes had passed"}


def test_without_transformers(jobs, monkeypatch):
    monkeypatch.setattr(gpu.qwen2, "available", lambda: False)
    names = list(gpu.parts(*jobs, True))
    assert names
    assert not [name for name in names if "peer" in name]


def test_without_a_gpu(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2
    assert capsys.readouterr().out == "benchmarks.gpu: there is no GPU that torch can use\n"


@pytest.mark.parametrize("shares", [True, False])
def test_attention_of_variable_length(monkeypatch, shares):
    """What the kernel of torch is given; a CPU has none, so its place is taken."""
    def written_out(q, k, v, bounds, longest, grouped):
        assert longest == (bounds[1:] - bounds[:-1]).max()
        out = []
        for a, b in pairwise(bounds):
            parts = (x[a:b].transpose(0, 1) for x in (q, k, v))
            out.append(torch.nn.functional.scaled_dot_product_attention(
                *parts, is_causal=True, enable_gqa=grouped).transpose(0, 1))
        return torch.cat(out)

    def newer(q, k, v, cu_q, cu_k, max_q, max_k, *, window_size=(-1, -1), enable_gqa=False):
        assert window_size == (-1, 0)
        assert enable_gqa
        return written_out(q, k, v, cu_q, max_q, True)

    def older(q, k, v, cu_q, cu_k, max_q, max_k, is_causal=False):
        assert is_causal
        return written_out(q, k, v, cu_q, max_q, False)

    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", newer if shares else older)
    model = scrambled(CONFIGS["grouped"])
    packing = pack(np.array([20, 3, 70]))
    tokens = torch.arange(len(packing.positions)) % 37
    with torch.no_grad():
        expected = model(tokens, packing)
        with gpu.varlen():
            ours = model(tokens, packing.masked("cpu"))
    module = model_module.masked_attention.__module__
    assert module == "helpers.engine.attention"  # all is as before
    torch.testing.assert_close(ours[:93], expected[:93], rtol=1e-4, atol=1e-4)
