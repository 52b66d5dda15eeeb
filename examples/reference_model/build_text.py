"""Writes the tokenizer and the token files on which the reference model is trained.

Run ``python examples/reference_model/build_text.py --out build --tokens 60e6``; it writes ``build/tokenizer/``,
``build/tokens.bin`` (uint16) and ``build/mask.bin`` (uint8, 1 where a token is to be learnt).
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
from textgen.documents import draw_document
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
# Line breaks, digits, Chinese characters and punctuation marks stand alone, so that the tokens of a prompt do not
# depend on what follows it, and sums are read digit by digit.
SPLIT = r"\n|\p{Han}| ?[[\p{L}\p{M}]&&[^\p{Han}]]+| ?\p{N}| ?[^\s\p{L}\p{M}\p{N}]|[^\S\n]+"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def train_tokenizer(documents: int, vocabulary: int, context: int, seed: int) -> PreTrainedTokenizerFast:
    """Trains a byte-level BPE tokenizer on freshly drawn documents.

    Args:
        documents: Number of documents to learn from.
        vocabulary: Number of tokens, control tokens included.
        context: Context window in tokens, stored in the tokenizer's settings.
        seed: Seed of the documents.

    Returns:
        The tokenizer, with control tokens and a chat template.
    """
    rng = random.Random(seed)
    texts = ("".join(text for text, _ in draw_document(rng)) for _ in range(documents))
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])  # type: ignore[assignment]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>", model_max_length=context,
        additional_special_tokens=["<|im_start|>", "<|im_end|>"], clean_up_tokenization_spaces=False,
    )  # fmt: skip
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def write_tokens(tokenizer: PreTrainedTokenizerFast, out: Path, tokens: int, seed: int) -> int:
    """Draws documents until there are enough tokens, and writes them with their mask.

    Args:
        tokenizer: The tokenizer.
        out: Folder for ``tokens.bin`` and ``mask.bin``.
        tokens: Number of tokens wanted.
        seed: Seed of the documents.

    Returns:
        Number of tokens written.
    """
    rng, core, written = random.Random(seed), tokenizer.backend_tokenizer, 0
    with (out / "tokens.bin").open("wb") as ids, (out / "mask.bin").open("wb") as mask:
        while written < tokens:
            documents = [draw_document(rng) for _ in range(2_000)]
            pieces = [piece for document in documents for piece in [("", False), *document, ("", True)]]
            encoded = core.encode_batch_fast([text for text, _ in pieces], add_special_tokens=False)
            chunk: list[int] = []
            learn: list[int] = []
            for (text, learnt), encoding in zip(pieces, encoded, strict=True):
                # An empty piece opens (not learnt) or closes (learnt) a document.
                piece = encoding.ids if text else [2 if learnt else 1]
                chunk += piece
                learn += [int(learnt)] * len(piece)
            ids.write(np.array(chunk, dtype=np.uint16).tobytes())
            mask.write(np.array(learn, dtype=np.uint8).tobytes())
            written += len(chunk)
            print(f"{written / 1e6:.1f}M of {tokens / 1e6:.0f}M tokens", end="\r", flush=True)
    print()
    return written


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokens", type=float, default=60e6)
    parser.add_argument("--vocabulary", type=int, default=2048)
    parser.add_argument("--documents", type=int, default=15_000, help="documents from which the tokenizer is learnt")
    parser.add_argument("--tokenizer", type=Path, help="use this tokenizer instead of training one")
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.tokenizer:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(args.tokenizer)
    else:
        tokenizer = train_tokenizer(args.documents, args.vocabulary, args.context, args.seed)
    tokenizer.save_pretrained(args.out / "tokenizer")
    print(write_tokens(tokenizer, args.out, int(args.tokens), args.seed + 1), "tokens")


if __name__ == "__main__":
    main()
