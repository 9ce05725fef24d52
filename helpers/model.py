"""The transformer: a Qwen2.5 decoder in plain torch, from a toy to the paper's size.

RMSNorm before each half of a block, rotary positions, grouped key/value heads, SwiGLU,
bias on q/k/v only, tied embeddings. Query, key and value projections are one matrix, so
are the two halves of the SwiGLU's input.

A batch is *packed*, all examples one after the other without padding (`helpers.engine.packing`);
only attention keeps them apart (`helpers.engine.attention`). A trained model can answer step by
step with a key/value cache (`Cache`), which `helpers.decoding` drives.

Shapes: N tokens of a packed batch, B rows, T positions, H query heads, K key/value
heads, D head width, C model width.
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.engine.attention import cached_attention, causal_attention, masked_attention
from helpers.engine.packing import Packing, pack, rearranged


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a model; the defaults are the paper's (Qwen2.5-0.5B) but for the vocabulary."""

    vocabulary: int  # number of tokens
    context: int = 32768  # longest sequence, in tokens
    width: int = 896  # size of the residual stream
    layers: int = 24
    heads: int = 14  # query heads
    kv_heads: int = 2  # key/value heads, a divisor of heads
    mlp_width: int = 4864
    rope_theta: float = 1e6  # base of the rotary wavelengths
    rotary_heads: int | None = None  # key/value heads that know positions, with their queries; all
    norm_eps: float = 1e-6
    init_std: float = 0.02

    def __post_init__(self):
        if self.width % (2 * self.heads):
            raise ValueError(f"width: got {self.width}, takes a multiple of twice the heads "
                             f"({2 * self.heads})")
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads: got {self.kv_heads}, takes a divisor of heads "
                             f"({self.heads})")
        if self.rotary_heads is not None and not 0 <= self.rotary_heads <= self.kv_heads:
            raise ValueError(f"rotary_heads: got {self.rotary_heads}, takes 0 to {self.kv_heads}, "
                             "the kv_heads")

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    def shape(self) -> dict:
        """What the weights follow from: all but the room for sequences."""
        return {name: value for name, value in asdict(self).items() if name != "context"}


# ── the decoder ─────────────────────────────────────────────────────────────────────────


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        y = x.float()
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.eps)
        return (self.weight * y).to(x.dtype)


class Rotary(nn.Module):
    """Rotary position embedding (Su et al. 2021), halves rotated against each other as in Qwen2."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        exponents = torch.arange(0, config.head_width, 2) / config.head_width
        frequencies = (config.rope_theta ** -exponents)[None]
        if config.rotary_heads is not None:  # the others turn by nothing, wherever they are
            turning = (torch.arange(config.kv_heads) < config.rotary_heads).float()
            queries = turning.repeat_interleave(config.heads // config.kv_heads)
            frequencies = torch.cat([queries, turning])[:, None] * frequencies
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """int64 [N] → cos and sin, each float32 [N, 1, D/2], or [N, H + K, D/2]."""
        angles = positions.float()[:, None, None] * self.frequencies
        return angles.cos(), angles.sin()


def rotate(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    """Turns heads [N, heads, D] by the angles of their positions."""
    cos, sin = rope
    a, b = x.float().chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.heads, self.kv_heads = config.heads, config.kv_heads
        self.head_width = config.head_width
        self.qkv = nn.Linear(config.width, (config.heads + 2 * config.kv_heads) * config.head_width)
        self.out = nn.Linear(config.heads * config.head_width, config.width, bias=False)

    def project(self, x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
        """[N, C] → queries, keys (both rotated) and values, [N, H + 2K, D]."""
        qkv = self.qkv(x).view(x.shape[0], -1, self.head_width)
        qk, v = qkv.split([self.heads + self.kv_heads, self.kv_heads], 1)
        return torch.cat([rotate(qk, rope), v], 1)

    def attend(self, qkv: Tensor, packing: Packing) -> Tensor:
        """What `project` gave → [N, C], each example attending to itself."""
        if packing.mask is not None:
            parts = qkv.split([self.heads, self.kv_heads, self.kv_heads], 1)
            return self.out(masked_attention(*parts, packing.mask).reshape(len(qkv), -1))
        placed = rearranged(qkv, packing.places, packing.tokens_at)
        groups, base = [], 0
        for b, t in packing.shapes:
            rows = placed[base:base + b * t].view(b, t, -1, self.head_width).transpose(1, 2)
            y = causal_attention(*rows.split([self.heads, self.kv_heads, self.kv_heads], 1))
            groups.append(y.transpose(1, 2).reshape(b * t, -1))
            base += b * t
        return self.out(rearranged(torch.cat(groups), packing.tokens_at, packing.places))

    def step(self, x: Tensor, rope: tuple[Tensor, Tensor], keys: Tensor, values: Tensor,
             lengths: Tensor, longest: int) -> Tensor:
        """One new token a row, [B, C] → [B, C], against a cache that it extends.

        Args:
            keys, values: [B, K, T, D], written at ``lengths``.
            lengths: int64 [B], tokens each row already has.
            longest: how much of T to read at most, see `attention.cached_attention`.
        """
        q, k, v = self.project(x, rope).split([self.heads, self.kv_heads, self.kv_heads], 1)
        return self.out(cached_attention(q, k, v, keys, values, lengths, longest).flatten(1))


class Block(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.attention_norm = RMSNorm(config.width, config.norm_eps)
        self.attention = Attention(config)
        self.mlp_norm = RMSNorm(config.width, config.norm_eps)
        self.gate_up = nn.Linear(config.width, 2 * config.mlp_width, bias=False)
        self.down = nn.Linear(config.mlp_width, config.width, bias=False)

    def mlp(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, -1)
        return self.down(F.silu(gate) * up)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], packing: Packing,
                wanted: Tensor | None = None) -> Tensor:
        """[N, C] → [N, C], or [M, C], the tokens at ``wanted`` (int64 [M]) alone."""
        qkv = self.attention.project(self.attention_norm(x), rope)
        x = x + self.attention.attend(qkv, packing)
        if wanted is not None:
            x = x[wanted]
        return x + self.mlp(x)

    def step(self, x: Tensor, *cached) -> Tensor:
        """One new token a row, [B, C] → [B, C]; the rest are the arguments of `Attention.step`."""
        x = x + self.attention.step(self.attention_norm(x), *cached)
        return x + self.mlp(x)


class Transformer(nn.Module):
    """The decoder; weights drawn from ``seed``, the same for every condition."""

    def __init__(self, config: ModelConfig, seed: int = 0):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_eps)
        self.rotary = Rotary(config)
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(weight)
            elif weight.dim() == 2:
                nn.init.normal_(weight, std=config.init_std, generator=generator)

    def parameter_count(self) -> int:
        return sum(weight.numel() for weight in self.parameters())

    def hidden(self, tokens: Tensor, packing: Packing, wanted: Tensor | None = None) -> Tensor:
        """int64 [N] packed tokens → [N, C], before the output layer; with ``wanted``, int64 [M],
        [M, C]: the last block's second half, which no other token reads, works on those alone.
        """
        rope = self.rotary(packing.positions)
        x = self.embedding(tokens)
        *blocks, last = self.blocks
        for block in blocks:
            x = block(x, rope, packing)
        return self.norm(last(x, rope, packing, wanted))

    def logits(self, hidden: Tensor) -> Tensor:
        """[…, C] → […, vocabulary], through the tied embedding."""
        return F.linear(hidden, self.embedding.weight)

    def exact_logits(self, hidden: Tensor) -> Tensor:
        """`logits` in float32, whatever autocast says.

        In bfloat16 the likeliest words tie at one answer token in 400, and the first would win.
        """
        with torch.autocast(hidden.device.type, enabled=False):
            return F.linear(hidden.float(), self.embedding.weight.float())

    def read(self, states: list[Tensor]) -> Tensor:
        """What tokens were after each block, [B, C] each → `exact_logits`, [B, vocabulary]."""
        return self.exact_logits(self.norm(states[-1]))

    def forward(self, tokens: Tensor, packing: Packing) -> Tensor:
        """int64 [N] packed tokens → logits [N, vocabulary]."""
        return self.logits(self.hidden(tokens, packing))

    def loss(self, tokens: Tensor, packing: Packing, learn: Tensor, targets: Tensor,
             weights: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted cross entropy of the tokens that are learnt.

        Args:
            tokens: int64 [N]. learn: int64 [M], after which tokens a prediction counts.
            targets: int64 [M], the tokens that follow them. weights: float32 [M].

        Returns:
            The weighted sum, a scalar, and the cross entropy of each target, [M], in nats.
        """
        logits = self.logits(self.hidden(tokens, packing, learn)).float()
        each = F.cross_entropy(logits, targets, reduction="none")
        return (each * weights).sum(), each.detach()


# ── decoding with a cache ───────────────────────────────────────────────────────────────


class Cache:
    """Keys and values of B rows, allocated once for the longest prompt and answer.

    ``keys`` and ``values`` are [layers, B, K, T, D]; ``lengths`` int64 [B] counts the tokens
    each row has, ``gaps`` int64 [B] says how far the positions of the next are ahead of that.
    """

    def __init__(self, config: ModelConfig, rows: int, longest: int, dtype, device):
        shape = (config.layers, rows, config.kv_heads, longest, config.head_width)
        self.keys, self.values = (_zeros(shape, dtype, torch.device(device)) for _ in range(2))
        self.lengths, self.gaps = torch.zeros(2, rows, dtype=torch.int64, device=device)
        self._whole = self.keys, self.values, self.lengths, self.gaps

    def whole(self) -> "Cache":
        """All rows again, none with a token."""
        self.keys, self.values, self.lengths, self.gaps = self._whole
        self.lengths.zero_()
        return self

    def keep(self, rows: Tensor) -> None:
        """Drops all rows but these, moving them to the front in place.

        Args:
            rows: int64 [b], all different; what becomes row i was row i or one behind it.
        """
        lengths = self.lengths.tolist()
        for row, source in enumerate(rows.tolist()):
            if row != source:
                length = lengths[source]
                self.keys[:, row, :, :length] = self.keys[:, source, :, :length]
                self.values[:, row, :, :length] = self.values[:, source, :, :length]
        n = len(rows)
        self.keys, self.values = self.keys[:, :n], self.values[:, :n]
        # in place: a CUDA graph may hold on to this memory
        for name in ("lengths", "gaps"):
            counts = getattr(self, name)
            counts[:n] = counts[rows]
            setattr(self, name, counts[:n])


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    # unlike torch, numpy asks the system for large pages, which are read an eighth faster
    size = torch.empty(0, dtype=dtype).element_size()
    return torch.from_numpy(np.zeros(shape, f"i{size}")).view(dtype)


@torch.no_grad()
def prefill(model: Transformer, cache: Cache, prompts: list[np.ndarray],
            rows: Tensor | None = None, positions: list[np.ndarray] | None = None) -> Tensor:
    """Reads whole prompts into a cache, over whatever was there.

    Args:
        prompts: b arrays of token ids.
        rows: int64 [b], the row for each; all rows in their order if None.
        positions: of the tokens of each prompt; the next token's follows the last. Counted
            from 0 if None.

    Returns:
        Logits after the last token of each prompt, float32 [b, vocabulary].
    """
    device = cache.lengths.device
    lengths = np.array([len(prompt) for prompt in prompts])
    placed = None if positions is None else np.concatenate(positions)
    packing = pack(lengths, groups=1, positions=placed).to(device)
    tokens = np.zeros(len(packing.positions), np.int64)
    tokens[:lengths.sum()] = np.concatenate(prompts)
    rope = model.rotary(packing.positions)
    x = model.embedding(torch.from_numpy(tokens).to(device))
    counts = torch.from_numpy(lengths).to(device)
    rows = torch.arange(len(prompts), device=device) if rows is None else rows
    row_of = rows.repeat_interleave(counts, output_size=int(lengths.sum()))
    places = torch.arange(len(row_of), device=device) - packing.begins[:len(row_of)]
    last, states = counts.cumsum(0) - 1, []
    for layer, block in enumerate(model.blocks):
        attention = block.attention
        qkv = attention.project(block.attention_norm(x), rope)
        _, k, v = qkv[:len(row_of)].split(
            [attention.heads, attention.kv_heads, attention.kv_heads], 1)
        cache.keys[layer][row_of, :, places] = k.to(cache.keys.dtype)
        cache.values[layer][row_of, :, places] = v.to(cache.values.dtype)
        x = x + attention.attend(qkv, packing)
        x = x + block.mlp(x)
        states.append(x[last])
    cache.lengths[rows] = counts
    cache.gaps[rows] = packing.positions[last] + 1 - counts
    return model.read(states)


@torch.no_grad()
def step(model: Transformer, cache: Cache, tokens: Tensor, alive: Tensor | None = None,
         longest: int | None = None) -> Tensor:
    """Appends a token to each row (int64 [B]).

    Args:
        alive: bool [B], the rows that count it; in others the next token takes its place.
        longest: longer than any row whose logits matter, T if None.

    Returns:
        The logits after it, float32 [B, vocabulary].
    """
    rope = model.rotary(cache.lengths + cache.gaps)
    x, states = model.embedding(tokens), []
    for block, keys, values in zip(model.blocks, cache.keys, cache.values, strict=True):
        x = block.step(x, rope, keys, values, cache.lengths, longest or keys.shape[2])
        states.append(x)
    cache.lengths += 1 if alive is None else alive
    return model.read(states)
