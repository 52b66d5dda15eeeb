"""Makes ordinary model folders: a LoRA merged into the weights, a soft prompt baked into the vocabulary."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer
from transformers.pytorch_utils import Conv1D

from promptkit.backends.local.adapters import fold_lora, soft_vectors
from promptkit.backends.local.model import no_progress_bars
from promptkit.errors import BackendError, UnsupportedError
from promptkit.export.tokens import check_front, with_soft_tokens
from promptkit.export.write import Learned
from promptkit.training.clone import clone_sharing_weights
from promptkit.types import JSONObject, Weights

if TYPE_CHECKING:
    from promptkit.backends import LocalBackend

__all__ = ["write_baked", "write_merged"]

_NEVER = -1e4  # a bias that no logit of a language model makes up for, and that float16 holds
_BAKED_README = """\
# A model with a soft prompt in its vocabulary

The tokens {first} to {last} (ids {start} to {end}) stand for the vectors of a soft prompt{lora}. They belong before
every prompt, and before its begin token:

- `tokenizer(text)` puts them there by itself, and so does a server that completes texts; do not add them again.
- `tokenizer.apply_chat_template(...)` puts them there too.
- Where you make token ids on your own, start with {start}, {second} ... {end}.

The model never chooses them: greedily it cannot, because their logit is the mean of all others; for samples
`generation_config.json` suppresses them (`suppress_tokens`), and programs that do not read it can forbid the ids.
"""


def write_merged(predictor: Learned, backend: LocalBackend, stage: Path) -> JSONObject:
    """Writes an ordinary model folder whose weights hold the LoRA.

    Args:
        predictor: What is exported; it has a LoRA.
        backend: Its backend, whose model is not changed.
        stage: Where to write.

    Returns:
        What there is to tell of it.
    """
    assert predictor.lora is not None
    model = _copy(backend)
    _merge(model, predictor.lora)
    _save(model, backend.tokenizer, backend, stage)
    return {"dtype": str(model.dtype).removeprefix("torch.")}


def write_baked(predictor: Learned, backend: LocalBackend, stage: Path) -> JSONObject:
    """Writes an ordinary model folder whose vocabulary holds the soft prompt, and whose weights hold the LoRA.

    Args:
        predictor: What is exported; it has a soft prompt.
        backend: Its backend, whose model is not changed.
        stage: Where to write.

    Returns:
        The new tokens.
    """
    soft = predictor.soft_prompt
    assert soft is not None
    model = _copy(backend)
    if model.config.is_encoder_decoder:
        raise UnsupportedError(
            f"export to 'baked': a {model.config.model_type} model must be a decoder alone, as its encoder and decoder "
            "share their tokens; use to='peft' or 'prompt-embeds'"
        )
    if predictor.lora is not None:
        _merge(model, predictor.lora)
    vectors = soft_vectors(soft, model)
    wanted = _probe(model, vectors)
    rows = model.get_input_embeddings().weight.shape[0]
    tokenizer, names, ids = with_soft_tokens(backend.tokenizer, rows, len(vectors))
    _bake(model, vectors, ids)
    _check_equal(model, wanted, ids, rows)
    suppressed = list(range(rows, ids[-1] + 1))
    if model.generation_config is not None:
        model.generation_config.suppress_tokens = [*(model.generation_config.suppress_tokens or []), *suppressed]
    _save(model, tokenizer, backend, stage)
    # As whoever uses the folder will load it: classes of tokenizers may put a frame of their own in place.
    check_front(backend.tokenizer, AutoTokenizer.from_pretrained(stage, local_files_only=True), ids)
    text = _BAKED_README.format(
        first=names[0],
        last=names[-1],
        start=ids[0],
        second=ids[min(1, len(ids) - 1)],
        end=ids[-1],
        lora=", and the weights hold a LoRA" if predictor.lora is not None else "",
    )
    (stage / "README.md").write_text(text, encoding="utf-8")
    return {"order": ["soft_prompt", "text"], "tokens": names, "ids": ids, "suppressed": suppressed}


def _copy(backend: LocalBackend) -> Any:
    """Copies the modules of a model; numbers are shared until they are replaced."""
    with backend.lock:  # a batch may be putting hooks on the modules that are copied
        return clone_sharing_weights(backend.model).requires_grad_(False)


def _merge(model: Any, lora: Weights) -> None:
    """Replaces the weights that a LoRA changes: ``weight * scale + b a``, computed in float32."""
    users: dict[int, int] = {}
    for _, parameter in model.named_parameters(remove_duplicate=False):
        users[id(parameter)] = users.get(id(parameter), 0) + 1
    for path, folded in fold_lora(lora, model).items():
        layer: Any = model.get_submodule(path)
        weight: Tensor = layer.weight
        if not weight.is_floating_point() or users[id(weight)] > 1:
            raise UnsupportedError(
                f"export: {path} must have plain weights of its own to merge a LoRA into, got weights that are "
                "quantised or shared with another layer; use to='peft'"
            )
        full = weight.detach().float().T if isinstance(layer, Conv1D) else weight.detach().float()
        if folded.scale is not None:
            full = full * folded.scale[:, None]
        full = full + folded.b @ folded.a
        if isinstance(layer, Conv1D):
            full = full.T.contiguous()
        layer.weight = nn.Parameter(full.to(weight.dtype), requires_grad=False)


def _bake(model: Any, vectors: Tensor, ids: list[int]) -> None:
    """Gives the vocabulary rows for the vectors, and the head rows that are never chosen."""
    embed, head = model.get_input_embeddings(), model.get_output_embeddings()
    old: Tensor = embed.weight
    rows, size = old.shape[0], ids[-1] + 1
    fresh = torch.zeros((size, old.shape[1]), dtype=old.dtype, device=old.device)
    fresh[:rows] = old
    fresh[ids[0] :] = vectors / _scale(embed)
    above: Tensor = head.weight
    # A mean of logits is never above the greatest of them, whatever the text; a bias can do better where there is one.
    mean = above.float().mean(0, keepdim=True).to(above.dtype)
    fill = torch.zeros_like(mean) if getattr(head, "bias", None) is not None else mean
    weight = torch.cat([above[:rows], fill.expand(size - rows, -1)])
    embed.weight, embed.num_embeddings = nn.Parameter(fresh, requires_grad=False), size
    head.weight, head.out_features = nn.Parameter(weight, requires_grad=False), size
    if getattr(head, "bias", None) is not None:
        never = torch.full((size - rows,), _NEVER, dtype=head.bias.dtype, device=head.bias.device)
        head.bias = nn.Parameter(torch.cat([head.bias[:rows], never]), requires_grad=False)
    for config in {id(one): one for one in (model.config, model.config.get_text_config(decoder=True))}.values():
        config.vocab_size, config.tie_word_embeddings = size, False


def _scale(embed: Any) -> float:
    """Returns by what an embedding layer multiplies its rows."""
    ids = torch.arange(min(64, embed.weight.shape[0]), device=embed.weight.device)
    rows, out = embed.weight[ids].float(), embed(ids).float()
    scale = float((rows * out).sum() / (rows * rows).sum())
    if not torch.allclose(out, scale * rows, rtol=1e-2, atol=1e-6):
        raise UnsupportedError(
            f"export to 'baked': an embedding layer must look rows up, perhaps scaled, got {type(embed).__name__}, "
            "which does more; use to='peft'"
        )
    return scale


def _probe(model: Any, vectors: Tensor) -> Tensor:
    """Computes logits after the vectors and some tokens, ``[tokens, vocabulary]``."""
    embed = model.get_input_embeddings()
    with torch.no_grad():
        inputs = torch.cat([vectors, embed(_probe_ids(model))])[None]
        logits: Tensor = model(inputs_embeds=inputs).logits[0, len(vectors) :]
    return logits.float()


def _probe_ids(model: Any) -> Tensor:
    return torch.arange(3, 11, device=model.device)


def _check_equal(model: Any, wanted: Tensor, ids: list[int], rows: int) -> None:
    """Checks that the new tokens do what the vectors did, and are not chosen: architectures have surprises."""
    with torch.no_grad():
        tokens = torch.cat([torch.tensor(ids, device=model.device), _probe_ids(model)])[None]
        logits = model(input_ids=tokens).logits[0, len(ids) :].float()
    tolerance = (1e-3 if model.dtype == torch.float32 else 0.2) * float(wanted.std())
    equal = float((logits[:, :rows] - wanted).abs().max()) <= tolerance
    if not equal or int(logits.argmax(-1).max()) >= rows:
        raise UnsupportedError(
            f"export to 'baked': a {model.config.model_type} model must answer alike to vectors and to tokens with "
            "these embeddings, got other logits; use to='peft' or 'prompt-embeds'"
        )


def _save(model: Any, tokenizer: Any, backend: LocalBackend, stage: Path) -> None:
    model.config._name_or_path = ""  # where the base lies is nobody else's business
    try:
        with no_progress_bars():
            model.save_pretrained(stage)
        tokenizer.save_pretrained(stage)
    except OSError:
        raise
    except Exception as error:  # transformers checks generation settings on saving, among other things
        raise BackendError(
            f"export: a {model.config.model_type} model must be savable by transformers, got {type(error).__name__}: "
            f"{(str(error).strip().splitlines() or [''])[0]}; correct its configuration"
        ) from error
    form = backend.folder / "promptkit.json"  # says in which form the model wants its prompts
    if form.is_file():
        shutil.copyfile(form, stage / form.name)
