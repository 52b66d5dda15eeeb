"""A lean llama-architecture training model.

The hidden matrices of all layers live in two stacked parameters, so that an
optimiser can orthogonalise every matrix of one shape in a single batched product.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHUNK = 128


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the model; the names follow ``transformers.LlamaConfig``."""

    vocab_size: int
    hidden_size: int = 256
    intermediate_size: int = 704
    num_hidden_layers: int = 8
    num_attention_heads: int = 4
    max_position_embeddings: int = 1024
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-6

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Normalises the last dimension in float32; returns the dtype of ``x``."""
    wide = x.float()
    wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return (wide * weight).to(x.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Applies rotary position embedding (half-split layout) to ``[B, T, H, D]``."""
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1).to(x.dtype)


def causal_attention(q: Tensor, k: Tensor, v: Tensor, chunk: int = CHUNK) -> Tensor:
    """Causal softmax attention over chunks of queries.

    On a CPU this is faster, forward and backward, than
    ``scaled_dot_product_attention``: each chunk sees only the keys up to its own end,
    and the products are large batched ones.

    Args:
        q: Queries ``[B, H, T, D]``.
        k: Keys, same shape.
        v: Values, same shape.
        chunk: Queries handled at once.

    Returns:
        The mixed values, same shape.
    """
    time, scale = q.shape[2], q.shape[3] ** -0.5
    index = torch.arange(time, device=q.device)
    mixed = []
    for start in range(0, time, chunk):
        end = min(start + chunk, time)
        scores = (q[:, :, start:end] * scale @ k[:, :, :end].mT).float()
        visible = index[:end] <= index[start:end, None]
        scores = torch.where(visible, scores, -1e9)
        # The maximum only shifts the exponent; it needs no gradient.
        weights = torch.exp(scores - scores.detach().amax(-1, keepdim=True))
        total = weights.sum(-1, keepdim=True)
        mixed.append(((weights.to(v.dtype) @ v[:, :, :end]).float() / total).to(v.dtype))
    return torch.cat(mixed, dim=2)


def block(
    x: Tensor,
    attn: Tensor,
    mlp: Tensor,
    norms: Tensor,
    cos: Tensor,
    sin: Tensor,
    heads: int,
    eps: float,
) -> Tensor:
    """One decoder layer.

    Args:
        x: Residual stream ``[B, T, D]``.
        attn: The q, k, v and o matrices, ``[4, D, D]``, each ``[out, in]``.
        mlp: Gate, up and transposed down matrices, ``[3, F, D]``.
        norms: Weights of the two norms, ``[2, D]``.
        cos: Rotary cosines ``[T, 1, head_dim / 2]``.
        sin: Rotary sines, same shape.
        heads: Number of attention heads.
        eps: Epsilon of the norms.

    Returns:
        The residual stream after attention and the gated MLP.
    """
    batch, time, width = x.shape
    norm_attn, norm_mlp = norms.unbind(0)
    w_qkv, w_out = attn.split([3, 1])
    w_in, w_down = mlp.split([2, 1])
    qkv = F.linear(rms_norm(x, norm_attn, eps), w_qkv.reshape(3 * width, width))
    q, k, v = qkv.view(batch, time, 3, heads, width // heads).unbind(2)
    q, k = rotate(q, cos, sin), rotate(k, cos, sin)
    mixed = causal_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
    x = x + F.linear(mixed.transpose(1, 2).reshape(batch, time, width), w_out.squeeze(0))
    hidden = F.linear(rms_norm(x, norm_mlp, eps), w_in.reshape(-1, width))
    gate, up = hidden.chunk(2, dim=-1)
    return x + (F.silu(gate) * up) @ w_down.squeeze(0)


def head_loss(
    x: Tensor, norm: Tensor, embed: Tensor, targets: Tensor, weights: Tensor, z: float, eps: float
) -> tuple[Tensor, Tensor]:
    """Weighted sum of next-token losses over a micro-batch.

    Args:
        x: Final residual stream ``[B, T, D]``.
        norm: Weight of the final norm.
        embed: Tied output matrix ``[V, D]`` in the compute dtype.
        targets: Token ids ``[B, T]``.
        weights: Loss weights ``[B, T]``.
        z: Coefficient of the z-loss; 0 turns it off.
        eps: Epsilon of the norm.

    Returns:
        The objective (with z-loss) and the plain cross-entropy, both summed.
    """
    logits = F.linear(rms_norm(x, norm, eps), embed).flatten(0, 1).float()
    log_norm = torch.logsumexp(logits, dim=-1)
    picked = logits.gather(1, targets.reshape(-1, 1)).squeeze(1)
    flat = weights.reshape(-1)
    cross_entropy = ((log_norm - picked) * flat).sum()
    if z == 0.0:
        return cross_entropy, cross_entropy.detach()
    return cross_entropy + z * (log_norm.square() * flat).sum(), cross_entropy.detach()


class Llama(nn.Module):
    """Decoder-only language model with float32 weights and a chosen compute dtype."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: ModelConfig, dtype: torch.dtype = torch.bfloat16) -> None:
        """Builds and initialises the model.

        Args:
            config: Shape of the model.
            dtype: Type that matrix products and the residual stream use.
        """
        super().__init__()
        self.config, self.dtype = config, dtype
        depth, width, inner = config.num_hidden_layers, config.hidden_size, config.intermediate_size
        self.embed = nn.Parameter(torch.randn(config.vocab_size, width) * 0.02)
        self.attn = nn.Parameter(torch.randn(depth, 4, width, width) * 0.5 * width**-0.5)
        self.mlp = nn.Parameter(torch.randn(depth, 3, inner, width) * 0.5 * width**-0.5)
        self.norms = nn.Parameter(torch.ones(depth, 2, width))
        self.final_norm = nn.Parameter(torch.ones(width))
        with torch.no_grad():  # Residual branches start as zero.
            self.attn[:, 3].zero_()
            self.mlp[:, 2].zero_()
        half = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
        positions = torch.arange(config.max_position_embeddings, dtype=torch.float32)
        angles = torch.outer(positions, config.rope_theta**-half).unsqueeze(1)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        self._block, self._head_loss = block, head_loss

    def compile_parts(self) -> None:
        """Compiles the layer once for all layers, and the loss."""
        self._block = torch.compile(block, dynamic=False)
        self._head_loss = torch.compile(head_loss, dynamic=False)

    def trunk(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Runs all layers.

        Args:
            tokens: Token ids ``[B, T]``.

        Returns:
            The residual stream and the embedding matrix in the compute dtype.
        """
        config, time = self.config, tokens.shape[1]
        embed = self.embed.to(self.dtype)
        cos, sin = self.cos[:time], self.sin[:time]
        x = F.embedding(tokens, embed)
        layers = zip(
            self.attn.to(self.dtype).unbind(0),
            self.mlp.to(self.dtype).unbind(0),
            self.norms.unbind(0),
            strict=True,
        )
        for attn, mlp, norms in layers:
            x = self._block(x, attn, mlp, norms, cos, sin, config.num_attention_heads, config.rms_norm_eps)
        return x, embed

    def loss(self, tokens: Tensor, targets: Tensor, weights: Tensor, z: float = 0.0) -> tuple[Tensor, Tensor]:
        """Summed weighted loss; see `head_loss`."""
        x, embed = self.trunk(tokens)
        eps = self.config.rms_norm_eps
        return self._head_loss(x, self.final_norm, embed, targets, weights, z, eps)

    def forward(self, tokens: Tensor) -> Tensor:
        """Float32 logits ``[B, T, V]`` of token ids ``[B, T]``."""
        x, embed = self.trunk(tokens)
        return F.linear(rms_norm(x, self.final_norm, self.config.rms_norm_eps), embed).float()
