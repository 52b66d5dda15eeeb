"""Tiny random models with a tokenizer of their own, saved as ordinary folders."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

CORPUS = [
    "Question: Jane has 2 apples. She bought 3 more. How many apples does Jane have now?\nAnswer: The answer is 5.",
    "Review: a fine film, warm and funny.\nLabel: positive\n\nReview: dull from end to end.\nLabel: negative",
    "The firm's fund pays 4 per cent a year; its fee is 1 per cent. Ask for the terms before you sign anything.",
    "什么是苹果? 苹果是一种水果。",
]
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512}),
    "llama": ("Llama", {"num_key_value_heads": 2}),
    "qwen2": ("Qwen2", {"num_key_value_heads": 2}),
    "mistral": ("Mistral", {"num_key_value_heads": 2, "sliding_window": 48}),
    "gpt_neox": ("GPTNeoX", {"rotary_pct": 0.5}),
    "bloom": ("Bloom", {"n_layer": 2, "n_head": 4, "seq_length": 512}),
    "opt": ("OPT", {"ffn_dim": 64, "word_embed_proj_dim": 32}),
    "falcon": ("Falcon", {"new_decoder_architecture": False, "alibi": False}),
    "falcon_rw": ("Falcon", {"new_decoder_architecture": False, "alibi": True, "multi_query": False, "bias": True}),
    "qwen3": ("Qwen3", {"num_key_value_heads": 2, "head_dim": 16}),
    "gemma": ("Gemma", {"num_key_value_heads": 1, "head_dim": 16}),
    "phi": ("Phi", {"partial_rotary_factor": 0.5}),
    "t5": ("T5", {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "n_positions": 512}),
}
COMMON = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}


def tiny_tokenizer(*, chat: bool = False, bos: bool = False, closing: bool = False) -> Any:
    """A byte-level BPE tokenizer with special and ordinary added tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    rust = Tokenizer(models.BPE())
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rust.decoder = decoders.ByteLevel()
    specials = ["<pad>", "</s>", "<s>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rust.train_from_iterator(CORPUS * 3, trainer)
    rust.add_tokens([AddedToken("<think>", special=False), AddedToken("    ", special=False, normalized=False)])
    if bos or closing:
        single = f"{'<s> ' if bos else ''}$A{' </s>' if closing else ''}"
        rust.post_processor = processors.TemplateProcessing(
            single=single, special_tokens=[("<s>", rust.token_to_id("<s>")), ("</s>", rust.token_to_id("</s>"))]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=rust, pad_token="<pad>", eos_token="</s>", bos_token="<s>", unk_token=None
    )
    if chat:
        tokenizer.chat_template = CHAT
    return tokenizer


@cache
def _built(root: Path, kind: str, options: str) -> Path:
    import torch
    import transformers

    chosen = json.loads(options)
    tokenizer = tiny_tokenizer(
        chat=chosen.pop("chat", False), bos=chosen.pop("bos", kind == "llama"), closing=kind == "t5"
    )
    name, shape = SHAPES[kind]
    settings = {} if kind in ("gpt2", "t5") else dict(COMMON)
    settings |= shape | {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    settings |= {"decoder_start_token_id": 0} if kind == "t5" else {}
    if kind == "bloom":
        settings.pop("max_position_embeddings")
    config = getattr(transformers, f"{name}Config")(**(settings | chosen))
    suffix = "ForConditionalGeneration" if kind == "t5" else "LMHeadModel" if kind == "gpt2" else "ForCausalLM"
    torch.manual_seed(7)
    model = getattr(transformers, f"{name}{suffix}")(config)
    with torch.no_grad():  # the usual small start would make every logit and every position look alike
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(6)
    folder = root / f"{kind}-{len(list(root.iterdir()))}"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_model(root: Path, kind: str = "llama", **options: Any) -> Path:
    """Saves a tiny model below ``root``, once for each kind and options, and returns its folder."""
    return _built(root, kind, json.dumps(options, sort_keys=True))
