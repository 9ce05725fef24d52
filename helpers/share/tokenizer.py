"""The study's language as a tokenizer of Hugging Face: words between white space, nothing else.

Written as the plain JSON that the ``tokenizers`` library reads, which is not needed here.
"""

from collections.abc import Sequence

from helpers.language import FIRST_COORDINATE, Vocabulary
from helpers.maze import check_choice

ROLES = ("pad_token", "bos_token", "eos_token", "unk_token")  # of `language.SPECIALS`, in its order
# in the published order: words; then specials, each with ours
PUBLISHED_WORDS = ("start", "goal", "wall", "create", "close", "plan", "query", "reasoning",
                   "solution", "end")
PUBLISHED_SPECIALS = {"<|pad|>": "<pad>", "<|unk|>": "<unk>", "<|bos|>": "<bos>",
                      "<|eos|>": "<eos>"}
VOCABULARIES = ("ours", "published")

# AutoTokenizer (of transformers 5) reads whatever lies beside a Qwen2 as Qwen's own byte pairs, but
# for a tokenizer that names a class of its own; it then takes ``tokenizer_class``, and the class
# named only where it is told to trust the folder's code
MODULE = "tokenization_words.py"
CODE = '''"""Words between white space; the same as without trust in this file."""

from transformers import PreTrainedTokenizerFast


class WordTokenizer(PreTrainedTokenizerFast):
    pass
'''


def words_of(vocabulary: Vocabulary, order: str) -> dict[str, int]:
    """The words of an export in its order, each with our id of it.

    Args:
        order: ``ours``, or ``published``: costs, coordinates, words, specials, as in the authors'
            own training code.

    Raises:
        MazeError: no such order.
    """
    check_choice("vocabulary", order, VOCABULARIES)
    if order == "ours":
        return dict(vocabulary.ids)
    costs = vocabulary.tokens[vocabulary.first_cost:]
    coordinates = vocabulary.tokens[FIRST_COORDINATE:vocabulary.first_cost]
    ours = {**{word: word for word in (*costs, *coordinates, *PUBLISHED_WORDS)},
            **PUBLISHED_SPECIALS}
    return {theirs: vocabulary.ids[word] for theirs, word in ours.items()}


def special_words(words: dict[str, int]) -> dict[str, str]:
    """The special word of each role. A sequence ends with ``end``, as those of the study do."""
    names = {our_id: word for word, our_id in words.items()}
    return {role: names[i] for i, role in enumerate(ROLES)} | {"eos_token": "end"}


def tokenizer_json(words: Sequence[str], specials: dict[str, str]) -> dict:
    """What ``tokenizer.json`` holds: no text is changed, no token is added.

    Args:
        words: by id.
        specials: as from `special_words`.
    """
    ids = {word: i for i, word in enumerate(words)}
    added = [{"id": ids[word], "content": word, "single_word": False, "lstrip": False,
              "rstrip": False, "normalized": False, "special": True}
             for word in sorted(specials.values(), key=ids.get)]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
            "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"},
            "post_processor": None, "decoder": None,
            "model": {"type": "WordLevel", "vocab": ids, "unk_token": specials["unk_token"]}}


def tokenizer_config(context: int, specials: dict[str, str]) -> dict:
    """What ``tokenizer_config.json`` holds."""
    own = f"{MODULE.removesuffix('.py')}.WordTokenizer"
    return {"tokenizer_class": "PreTrainedTokenizerFast",
            "auto_map": {"AutoTokenizer": [None, own]},
            "model_max_length": context, "padding_side": "left",
            "clean_up_tokenization_spaces": False,
            "model_input_names": ["input_ids", "attention_mask"], **specials}
