"""Models that keep no cache, or one of another kind: they answer as they would by themselves, or are refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from promptkit.backends.local.backend import LocalBackend
from promptkit.backends.local.model import load_model
from promptkit.errors import BackendError, UnsupportedError
from promptkit.training import Pair, SoftSpec, TrainingConfig, train
from promptkit.types import Prompt, Request, Sampling, ScoreRequest, Weights

TEXTS = ["Question: Jane has 2 apples. She bought 3 more.\nAnswer:", "Review: a fine film.\nLabel:", "Review: dull."]
NEW = 8
SMALL: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2}
ATTENTION = SMALL | {"num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 256}
HYBRID = ATTENTION | {"num_key_value_heads": 2}
SHAPES: dict[str, dict[str, Any]] = {
    "mamba": SMALL | {"state_size": 4},
    "mamba2": SMALL | {"state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups": 1},
    "rwkv": SMALL | {"attention_hidden_size": 32, "context_length": 256},
    "openai-gpt": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "jamba": HYBRID
    | {"attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 2, "use_mamba_kernels": False, "mamba_d_state": 4}
    | {"expert_layer_period": 2, "expert_layer_offset": 1},
    "recurrent_gemma": HYBRID
    | {"head_dim": 8, "lru_width": 32, "attention_window_size": 32, "block_types": ["recurrent", "attention"]},
    "bert": ATTENTION | {"is_decoder": True},
    "mixtral": HYBRID | {"num_local_experts": 4},
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64},
    "xlm": {"emb_dim": 32, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 256},
    "roberta": ATTENTION | {"is_decoder": True},
    "bert both ways": ATTENTION,
    "reformer": SMALL
    | {"attn_layers": ["local", "lsh"], "num_attention_heads": 2, "attention_head_size": 16, "feed_forward_size": 64}
    | {"axial_pos_embds": False, "max_position_embeddings": 512, "is_decoder": True},
}
WAYS = {
    "mamba": "alone",
    "mamba2": "alone",
    "rwkv": "uncached",
    "openai-gpt": "uncached",
    "jamba": "alone",
    "recurrent_gemma": "uncached",
    "bert": "shared",
}
REFUSED = ["xlnet", "xlm", "roberta", "bert both ways"]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, make_tokenizer: Callable[..., Any]) -> Callable[[str], Path]:
    """A function that returns the folder of a small random model of an architecture."""
    root = tmp_path_factory.mktemp("probed")

    @cache
    def build(kind: str) -> Path:
        tokenizer = make_tokenizer()
        ends = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
        config = transformers.AutoConfig.for_model(kind.split()[0], **ends, **SHAPES[kind])
        torch.manual_seed(3)
        model = transformers.AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(4)
        model.save_pretrained(root / kind)
        tokenizer.save_pretrained(root / kind)
        return root / kind

    return build


@cache
def backend(folder: Path) -> LocalBackend:
    window = json.loads((folder / "config.json").read_text()).get("max_position_embeddings")
    return LocalBackend(folder, max_context=None if window or folder.name == "openai-gpt" else 256)


@cache
def plain(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def expected(folder: Path, text: str) -> str:
    codec, ids = backend(folder)._codec, backend(folder)._codec.prompt_ids(Prompt(text=text))
    asked = torch.tensor([ids])
    with torch.no_grad():
        out = plain(folder).generate(
            input_ids=asked, attention_mask=torch.ones_like(asked), do_sample=False, max_new_tokens=NEW
        )
    new = out[0].tolist()[len(ids) :]
    return codec.text(ids, new[:-1] if new[-1] == 1 else new)


def logits_of(folder: Path, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = plain(folder)(torch.tensor([ids]), use_cache=False).logits[0].float()
    return logits


@pytest.mark.parametrize("kind", WAYS)
def test_greedy_text_is_that_of_plain_generate(small: Callable[[str], Path], kind: str) -> None:
    folder = small(kind)
    assert backend(folder)._loaded.sharing == WAYS[kind]
    replies = backend(folder).generate([Request(Prompt(text=text), Sampling(max_new_tokens=NEW)) for text in TEXTS])
    assert [reply.completions[0].text for reply in replies] == [expected(folder, text) for text in TEXTS]


@pytest.mark.parametrize("kind", WAYS)
def test_samples_and_scores_are_those_of_the_plain_forward_pass(small: Callable[[str], Path], kind: str) -> None:
    folder, model = small(kind), backend(small(kind))
    sampling = Sampling(max_new_tokens=5, temperature=1.0)
    together = model.generate([Request(Prompt(text=text), sampling, 3, (0, 1, 2)) for text in TEXTS])
    (alone,) = model.generate([Request(Prompt(text=TEXTS[1]), sampling, 3, (2,))])
    assert alone.completions[0].text == together[1].completions[2].text
    assert len({completion.text for reply in together for completion in reply.completions}) > 6
    labels = (" positive", " negative and dull", "\n")
    for text, scores in zip(
        TEXTS, model.score([ScoreRequest(Prompt(text=text), labels) for text in TEXTS]), strict=True
    ):
        prompt = model._codec.prompt_ids(Prompt(text=text))
        for label, (value, count) in zip(labels, scores, strict=True):
            new = model._codec.continuation_ids(Prompt(text=text), label)
            found = logits_of(folder, prompt + new).log_softmax(-1)
            want = sum(float(found[len(prompt) - 1 + at, token]) for at, token in enumerate(new))
            assert (value, count) == (pytest.approx(want, abs=1e-3), len(new))


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_whose_answers_depend_on_the_way_is_refused(
    small: Callable[[str], Path], kind: str, dtype: str
) -> None:
    if (kind, dtype) == ("bert both ways", "bfloat16"):
        pytest.skip("so small a model hides behind the rounding of 16 bits")
    with pytest.raises(UnsupportedError, match=f"LocalBackend: a {kind.split()[0]} model must (compute|predict)"):
        load_model(small(kind), dtype=dtype, device="cpu", max_context=256 if kind == "xlnet" else None)


def test_a_model_of_random_attention_is_refused(small: Callable[[str], Path]) -> None:
    with pytest.raises(UnsupportedError, match="a reformer model must compute the same from the same text"):
        load_model(small("reformer"), dtype="float32", device="cpu", max_context=None)


class _Forgetful(transformers.GPT2LMHeadModel):
    """The bad twin: takes a cache, and drops it."""

    def forward(self, *args: Any, past_key_values: Any = None, use_cache: Any = None, **more: Any) -> Any:
        return super().forward(*args, past_key_values=None, use_cache=False, **more)


class _Rereading(_Forgetful):
    """Drops the cache as well, but its ``generate`` reads the whole text at every step."""

    def prepare_inputs_for_generation(self, input_ids: torch.Tensor, **more: Any) -> dict[str, Any]:
        return {"input_ids": input_ids}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("cached", [True, False])
def test_a_dropped_cache_is_noticed(
    tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, dtype: str, cached: bool
) -> None:
    folder, clone = tiny("gpt2"), _Forgetful if cached else _Rereading
    assert load_model(folder, dtype=dtype, device="cpu", max_context=None).sharing == "shared"
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", clone.from_pretrained)
    if cached:
        with pytest.raises(UnsupportedError, match="a gpt2 model must compute each token from those before it"):
            load_model(folder, dtype=dtype, device="cpu", max_context=None)
    else:
        assert load_model(folder, dtype=dtype, device="cpu", max_context=None).sharing == "uncached"


def test_a_model_without_cache_keeps_its_text(tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny("gpt2")
    requests = [Request(Prompt(text=text), Sampling(max_new_tokens=NEW)) for text in TEXTS]
    want = [reply.completions[0].text for reply in LocalBackend(folder).generate(requests)]
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", _Rereading.from_pretrained)
    with pytest.warns(UserWarning, match="a gpt2 model keeps no cache that can be used"):
        uncached = LocalBackend(folder)
    assert uncached._loaded.sharing == "uncached"
    assert [reply.completions[0].text for reply in uncached.generate(requests)] == want


class _RereadingT5(transformers.T5ForConditionalGeneration):
    """An encoder-decoder model that takes a cache, drops it, and reads the whole answer at every step."""

    def forward(self, *args: Any, past_key_values: Any = None, use_cache: Any = None, **more: Any) -> Any:
        return super().forward(*args, past_key_values=None, use_cache=False, **more)

    def prepare_inputs_for_generation(self, input_ids: torch.Tensor, **more: Any) -> dict[str, Any]:
        return {"decoder_input_ids": input_ids, "encoder_outputs": more["encoder_outputs"]}


class _OneByOneT5(transformers.T5ForConditionalGeneration):
    """One whose decoder takes a single token beside its cache, and raises otherwise, as ProphetNet's does."""

    def forward(self, *args: Any, decoder_input_ids: Any = None, past_key_values: Any = None, **more: Any) -> Any:
        assert past_key_values is None or decoder_input_ids.shape[1] == 1
        return super().forward(*args, decoder_input_ids=decoder_input_ids, past_key_values=past_key_values, **more)


@pytest.mark.parametrize(("clone", "way"), [(_RereadingT5, ("uncached", False)), (_OneByOneT5, ("padded", True))])
def test_encoder_decoder_models_keep_text_and_scores(
    tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, clone: Any, way: tuple[str, bool]
) -> None:
    folder = tiny("t5")
    requests = [Request(Prompt(text=text), Sampling(max_new_tokens=NEW)) for text in TEXTS]
    weighed = [ScoreRequest(Prompt(text=text), (" positive", " a fine film")) for text in TEXTS]
    usual = LocalBackend(folder)
    assert (usual._loaded.sharing, usual._loaded.single) == ("padded", False)
    monkeypatch.setattr(transformers.AutoModelForSeq2SeqLM, "from_pretrained", clone.from_pretrained)
    other = LocalBackend(folder)
    assert (other._loaded.sharing, other._loaded.single) == way
    texts = [[reply.completions[0].text for reply in backend.generate(requests)] for backend in (usual, other)]
    assert texts[0] == texts[1]
    for one, two in zip(usual.score(weighed), other.score(weighed), strict=True):
        assert [value for value, _ in two] == pytest.approx([value for value, _ in one], abs=1e-3)


@pytest.mark.parametrize("causal", [True, False])
def test_a_model_whose_generate_fails_is_held_to_its_forward_pass(
    tiny: Callable[..., Path], small: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, causal: bool
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise IndexError("list index out of range")

    monkeypatch.setattr(transformers.GenerationMixin, "generate", broken)
    if causal:
        for kind, way in (("gpt2", "shared"), ("t5", "padded")):
            assert load_model(tiny(kind), dtype="float32", device="cpu", max_context=None).sharing == way
    else:
        with pytest.raises(UnsupportedError, match="a bert model must compute each token from those before it"):
            load_model(small("bert both ways"), dtype="float32", device="cpu", max_context=None)


@pytest.mark.parametrize("kind", ["mixtral", "jamba", "mamba2", "bert"])
def test_rounding_in_16_bits_does_not_cost_a_model_its_cache(small: Callable[[str], Path], kind: str) -> None:
    window = 256 if kind == "mamba2" else None
    assert load_model(small(kind), dtype="bfloat16", device="cpu", max_context=window).sharing in ("shared", "alone")


def test_logits_without_a_number_are_an_error_at_loading(
    tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Damaged(transformers.GPT2LMHeadModel):
        def forward(self, *args: Any, **more: Any) -> Any:
            output = super().forward(*args, **more)
            output.logits = output.logits * float("nan")
            return output

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", Damaged.from_pretrained)
    with pytest.raises(BackendError, match="logits must be finite"):
        load_model(tiny("gpt2"), dtype="float32", device="cpu", max_context=None)


def lora(model: LocalBackend, path: str, size: float) -> Weights:
    layer: Any = model.model.get_submodule(path)
    draw = np.random.default_rng(5)
    tensors = {
        f"{path}.lora_A.weight": draw.normal(size=(2, layer.in_features)).astype(np.float32),
        f"{path}.lora_B.weight": (draw.normal(size=(layer.out_features, 2)) * size).astype(np.float32),
    }
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": [path]}
    return Weights("lora", config, tensors, model.fingerprint())


def soft(model: LocalBackend) -> Weights:
    width = model.model.get_input_embeddings().weight.shape[1]
    vectors = np.random.default_rng(6).normal(size=(3, width)).astype(np.float32)
    config = {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 3}
    return Weights("soft_prompt", config, {"prompt_embeddings": vectors}, model.fingerprint())


@pytest.mark.parametrize(
    ("kind", "path"), [("mamba", "backbone.layers.0.mixer.in_proj"), ("rwkv", "rwkv.blocks.0.attention.key")]
)
def test_learned_weights_are_exact_on_models_without_keys_and_values(
    small: Callable[[str], Path], kind: str, path: str
) -> None:
    folder, model = small(kind), backend(small(kind))
    change, vectors = lora(model, path, 0.5), soft(model)
    requests = [
        Request(Prompt(text=text), Sampling(max_new_tokens=1), lora=low, soft_prompt=front)
        for text in TEXTS
        for low in (None, change)
        for front in (None, vectors)
    ]
    layer = plain(folder).get_submodule(path)
    a, b = (torch.from_numpy(np.array(change.tensors[f"{path}.lora_{part}.weight"])) for part in "AB")
    for request, reply in zip(requests, model.generate(requests), strict=True):
        ids = torch.tensor([model._codec.prompt_ids(request.prompt)])
        embedded = plain(folder).get_input_embeddings()(ids)
        if request.soft_prompt is not None:
            front = torch.from_numpy(np.array(vectors.tensors["prompt_embeddings"]))[None]
            embedded = torch.cat([front, embedded], dim=1)
        before = layer.weight.detach().clone()
        with torch.no_grad():
            if request.lora is not None:
                layer.weight += b @ a
            want = plain(folder)(inputs_embeds=embedded, use_cache=False).logits[0, -1].float().log_softmax(-1)
            layer.weight.copy_(before)
        assert reply.completions[0].logprob == pytest.approx(float(want.max()), abs=1e-3)


def test_a_lora_that_the_model_would_pass_by_is_refused(small: Callable[[str], Path]) -> None:
    model, path = backend(small("mamba")), "backbone.layers.0.mixer.dt_proj"
    with pytest.raises(UnsupportedError, match=f"must change layers that the model calls, got '{path}'"):
        model.check_weights(lora(model, path, 0.5))
    model.check_weights(lora(model, path, 0.0))  # as it is before training, and stays in training


@pytest.mark.parametrize("kind", ["openai-gpt", "mamba", "jamba"])
def test_a_prefix_is_refused_to_a_model_without_keys_and_values(small: Callable[[str], Path], kind: str) -> None:
    model = backend(small(kind))
    pairs = [Pair(Prompt(text=TEXTS[1]), " positive")]
    with pytest.raises(UnsupportedError, match="keep their keys and values"):
        train(
            model,
            pairs,
            (),
            TrainingConfig(precision="float32"),
            lora=None,
            soft=SoftSpec(kind="prefix", tokens=2),
            seed=0,
        )
    config = {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 2}
    tensors = {"prompt_embeddings": np.zeros((2, 128), np.float32)}
    with pytest.raises(UnsupportedError, match="keep their keys and values"):
        model.check_weights(Weights("prefix", config, tensors, model.fingerprint()))
