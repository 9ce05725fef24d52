"""The file for llama.cpp, as its own reader and llama.cpp itself take it."""

import numpy as np
import pytest
import xllamacpp
from gguf import GGUFReader

from helpers import __main__ as cli
from helpers.checkpoints import read_checkpoint, under
from helpers.conditions import CONDITIONS, prompts
from helpers.engine.files import PROJECT
from helpers.share.box import read_responses

LAPTOP = PROJECT / "results" / "laptop"
MODELS = ("correct_1", "solution_only_1")
ASKED = 10  # mazes of each kind


@pytest.fixture(scope="module", params=MODELS)
def exported(request, tmp_path_factory):
    """A published model's name, and its file."""
    folder = tmp_path_factory.mktemp(request.param)
    model = LAPTOP / "models" / f"{request.param}.safetensors"
    assert cli.main(["export", str(model), str(folder), "--gguf"]) == 0
    return request.param, folder / "model.gguf"


def test_its_own_reader_finds_the_weights(exported):
    name, path = exported
    reader = GGUFReader(path)
    weights = under("model.", read_checkpoint(LAPTOP / "models" / f"{name}.safetensors")[1])
    read = {tensor.name: tensor.data for tensor in reader.tensors}
    # queries, keys and values, and the halves of the SwiGLU's input, are one matrix with us
    assert sum(data.size for data in read.values()) == sum(w.numel() for w in weights.values())
    np.testing.assert_array_equal(read["token_embd.weight"], weights["embedding.weight"].float())
    np.testing.assert_array_equal(read["blk.0.ffn_down.weight"],
                                  weights["blocks.0.down.weight"].float())
    assert reader.get_field("general.architecture").contents() == "qwen2"


@pytest.mark.parametrize("distribution", ["wilson", "drunkards_walk"])
def test_llama_cpp_writes_the_published_answers(exported, distribution):
    name, path = exported
    stored = read_responses(LAPTOP / "responses" / name / f"{distribution}.jsonl.gz")
    decode = stored.corpus.vocabulary.decode
    asked = prompts(stored.corpus, CONDITIONS[stored.about["condition"]])
    settings = xllamacpp.CommonParams()
    settings.model.path, settings.n_ctx, settings.n_parallel = str(path), 1024, 1
    settings.special, settings.cpuparams.n_threads = True, 1  # ``end`` is written out
    # by default it keeps keys and values in float16, and rounds in attention
    settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = xllamacpp.Server(settings)
    for prompt, ours in zip(asked[:ASKED], stored.responses, strict=False):
        answer = server.handle_completions({"prompt": decode(prompt), "n_predict": 480,
                                            "temperature": 0, "cache_prompt": False})
        assert answer["choices"][0]["text"].split() == decode(ours).split()
