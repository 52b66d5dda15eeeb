from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

import pytest

import promptkit as pk
from promptkit.artifacts import check_safetensors
from promptkit.memory_estimate import estimate

BLOOM_1B1 = {
    "model_type": "bloom",
    "vocab_size": 250880,
    "hidden_size": 1536,
    "n_layer": 24,
    "n_head": 16,
}
FALCON_RW_1B = {
    "model_type": "falcon",
    "vocab_size": 50304,
    "hidden_size": 2048,
    "num_hidden_layers": 24,
    "num_attention_heads": 32,
    "alibi": True,
    "bias": True,
    "multi_query": False,
    "new_decoder_architecture": False,
    "parallel_attn": False,
}
LLAMA = {
    "model_type": "llama",
    "vocab_size": 100,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
GPT2 = {"model_type": "gpt2", "vocab_size": 100, "n_embd": 32, "n_layer": 2, "n_head": 4}
T5 = {
    "model_type": "t5",
    "vocab_size": 100,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
}


@pytest.fixture(scope="module")
def task() -> pk.Task:
    return pk.load_task("notation")


def test_bloom_1b1_with_adalora_has_the_textbooks_figures(task):
    told = estimate(BLOOM_1B1, pk.LoRA(task, variant="adalora", rank=8, targets=["query_key_value"]))
    assert told.trainable_parameters == 1_769_760
    assert told.total_parameters == 1_067_084_088
    assert 100 * told.share == pytest.approx(0.1658500974667331, rel=1e-15)
    assert told.memory_bytes == 4 * 1_065_314_304 + 16 * 1_769_760
    assert told.targets == ("query_key_value",) and told.changed_layers == 24
    assert "1,769,760 of 1,067,084,088 parameters (0.1659 %)" in str(told)
    assert "rank 8, starting at 12, variant adalora" in str(told)


def test_falcon_rw_1b_with_lora_has_the_textbooks_figures(task):
    told = estimate(FALCON_RW_1B, pk.LoRA(task, rank=8, targets=["query_key_value"]))
    assert told.trainable_parameters == 1_572_864
    assert told.total_parameters == 1_313_198_080


def test_prompting_trains_nothing(task):
    for adapter in (pk.FewShot(task), pk.ChainOfThought(pk.load_task("apples"))):
        told = estimate(LLAMA, adapter, dtype="bfloat16")
        assert (told.trainable_parameters, told.activation_bytes, told.share) == (0, 0, 0.0)
        assert told.memory_bytes == 2 * told.base_parameters == 2 * told.total_parameters
        assert "activations" not in str(told)


def test_memory_is_the_base_and_sixteen_bytes_per_trained_number(task):
    lora = estimate(LLAMA, pk.LoRA(task, rank=4), dtype="float16", batch_tokens=10)
    assert lora.memory_bytes == 2 * lora.base_parameters + 16 * lora.trainable_parameters
    assert lora.activation_bytes == 10 * 2 * 2 * (9 * 32 + 4 * 64)
    both = estimate(LLAMA, pk.LoRA(task, rank=4, soft_prompt=6))
    assert both.trainable_parameters == lora.trainable_parameters + 6 * 32


def test_all_linear_layers_are_changed_but_never_the_head(task):
    told = estimate(LLAMA, pk.LoRA(task, rank=4))
    assert told.targets == ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj")
    assert told.changed_layers == 14
    untied = estimate({**LLAMA, "tie_word_embeddings": False}, pk.LoRA(task, rank=4))
    assert untied.trainable_parameters == told.trainable_parameters
    assert untied.base_parameters == told.base_parameters + 32 * 100


def test_the_reference_model_is_counted_without_its_weights(task):
    told = estimate("reference", pk.SoftPrompt(task, tokens=20))
    assert told.model == "reference" and told.trainable_parameters == 20 * 256
    weights = Path(pk.__file__).parent / "models" / "reference" / "model.safetensors"
    shapes = [shape for _, shape in check_safetensors(weights.read_bytes()).values()]
    assert told.base_parameters == sum(math.prod(shape) for shape in shapes)


def test_a_folder_needs_its_configuration_only(task, tmp_path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text(json.dumps(LLAMA))
    for model in (tmp_path / "tiny", str(tmp_path / "tiny")):
        told = estimate(model, pk.LoRA(task))
        assert told.model == "tiny"
        assert told.trainable_parameters == estimate(LLAMA, pk.LoRA(task)).trainable_parameters


def test_a_configuration_of_transformers_will_do(task):
    from transformers import LlamaConfig

    fields = {name: value for name, value in LLAMA.items() if name != "model_type"}
    assert (
        estimate(LlamaConfig(**fields), pk.LoRA(task)).base_parameters == estimate(LLAMA, pk.LoRA(task)).base_parameters
    )


def test_plain_values_come_out(task):
    content = estimate(GPT2, pk.LoRA(task)).to_json()
    assert json.loads(json.dumps(content)) == content
    assert content["share"] == content["trainable_parameters"] / content["total_parameters"]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["qkv_proj"], "did you mean 'v_proj' or 'q_proj' or 'k_proj'?"),
        (["self_attn"], "did you mean 'q_proj' or 'k_proj' or 'v_proj' or 'o_proj'?"),
        (["lm_head"], "without the output head"),
        (["embed_tokens"], "'model.embed_tokens' is of class Embedding"),
        (["zzz"], "this model has 'q_proj', 'k_proj'"),
        ([".*proj"], "names of linear layers of this model"),
    ],
)  # fmt: skip
def test_targets_that_are_not_there_are_refused_with_what_is_near(task, targets, message):
    with pytest.raises(pk.SettingError) as caught:
        estimate(LLAMA, pk.LoRA(task, targets=targets))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("./nowhere", "a folder with a config.json"),
        (Path("nowhere"), "a folder with a config.json"),
        ("", "a folder with a config.json"),
        ({"hidden_size": 3}, "with a model_type"),
        ({"model_type": "no-such-thing"}, "with a model_type"),
        ({**LLAMA, "hidden_size": 33, "num_attention_heads": 0}, "must be"),
    ],
)  # fmt: skip
def test_a_model_that_is_not_there_is_named(task, model, message):
    with pytest.raises(pk.BackendError) as caught:
        estimate(model, pk.LoRA(task))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_code_in_a_configuration_is_never_run(task, tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps(
            {"model_type": "mine", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}}
        )
    )
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')")
    with pytest.raises(pk.BackendError):
        estimate(tmp_path, pk.LoRA(task))
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "int4"}, "dtype must be one of"),
        ({"batch_tokens": 0}, "batch_tokens must be"),
        ({"adapter": object()}, "adapter must be FewShot"),
    ],
)  # fmt: skip
def test_bad_settings_are_named(task, change, message):
    values = {"model": LLAMA, "adapter": pk.FewShot(task), **change}
    with pytest.raises(pk.SettingError, match=message):
        estimate(**values)


def test_a_prefix_needs_keys_and_values(task):
    with pytest.raises(pk.SettingError, match="'prompt' or 'ptuning' for a t5 model"):
        estimate(T5, pk.SoftPrompt(task, kind="prefix"))


def _lora(task: pk.Task, target: str, variant: str) -> pk.LoRA:
    return pk.LoRA(task, rank=6, targets=[target], variant=variant)


def test_counts_equal_those_of_peft(task):
    """PEFT builds every variant and kind on the same empty models; it is the oracle of all counts."""
    import torch
    import transformers
    from peft import (
        AdaLoraConfig,
        LoraConfig,
        PrefixTuningConfig,
        PromptEncoderConfig,
        PromptTuningConfig,
        get_peft_model,
    )

    def counted(config: dict, peft_config: object) -> tuple[int, int]:
        kind = transformers.AutoModelForSeq2SeqLM if config is T5 else transformers.AutoModelForCausalLM
        with torch.device("meta"):
            model = kind.from_config(transformers.AutoConfig.for_model(**config))
        model.tie_weights()
        named = list(get_peft_model(model, peft_config).named_parameters())
        # ranknum is a constant that PEFT keeps as a parameter, and by mistake a trainable one; here it is not trained.
        trained = sum(each.numel() for name, each in named if each.requires_grad and ".ranknum." not in name)
        return trained, sum(each.numel() for _, each in named)

    for config, target in ((LLAMA, "q_proj"), (GPT2, "c_attn"), (BLOOM_1B1, "query_key_value"), (T5, "q")):
        lora = partial(_lora, task, target)
        form = {"task_type": "SEQ_2_SEQ_LM" if config is T5 else "CAUSAL_LM", "target_modules": [target]}
        more = {"num_virtual_tokens": 5, "task_type": form["task_type"], "num_transformer_submodules": 1}
        cases = [
            (lora("lora"), LoraConfig(r=6, **form)),
            (lora("rslora"), LoraConfig(r=6, use_rslora=True, **form)),
            (lora("dora"), LoraConfig(r=6, use_dora=True, **form)),
            (lora("adalora"), AdaLoraConfig(init_r=9, target_r=6, total_step=9, **form)),
            (pk.SoftPrompt(task, tokens=5), PromptTuningConfig(**more)),
            (pk.SoftPrompt(task, tokens=5, kind="ptuning"), PromptEncoderConfig(**more)),
        ]
        if config is not T5:
            cases.append((pk.SoftPrompt(task, tokens=5, kind="prefix"), PrefixTuningConfig(**more)))
        for adapter, peft_config in cases:
            told = estimate(config, adapter)
            assert (told.trainable_parameters, told.total_parameters) == counted(config, peft_config), (config, adapter)


def test_the_estimate_of_activations_is_of_the_right_size(task):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    llama = {**LLAMA, "hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 4}
    gpt2 = {**GPT2, "n_embd": 64, "n_layer": 4, "resid_pdrop": 0.0, "attn_pdrop": 0.0, "embd_pdrop": 0.0}
    for fields in (llama, gpt2):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**fields)).requires_grad_(False)
        kept: list[torch.Tensor] = []

        def keep(tensor: torch.Tensor, kept: list[torch.Tensor] = kept) -> torch.Tensor:
            kept.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model.base_model(inputs_embeds=torch.randn(2, 64, 64, requires_grad=True), use_cache=False)
        own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        sizes = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in kept}
        measured = sum(size for place, size in sizes.items() if place not in own)
        told = estimate(fields, pk.SoftPrompt(task), batch_tokens=2 * 64)
        assert 0.8 < told.activation_bytes / measured < 2.5


@pytest.mark.parametrize("variant", ["dora", "adalora", "prompt", "prefix", "ptuning", "both"])
def test_training_learns_as_many_numbers_as_were_planned(task, variant):
    """And what it learned is written and read back as the very same weights."""
    from promptkit.artifacts.weights import weights_from_files, weights_to_files
    from promptkit.training import Pair, SoftSpec, TrainingConfig, train

    soft = variant in ("prompt", "prefix", "ptuning")
    if soft:
        adapter = pk.SoftPrompt(task, tokens=3, kind=variant)
    else:
        adapter = pk.LoRA(
            task,
            rank=4,
            targets=["q_proj"],
            variant="lora" if variant == "both" else variant,
            soft_prompt=3 if variant == "both" else None,
        )
    backend = pk.LocalBackend("reference", device="cpu")
    pairs = [Pair(pk.Prompt(text=f"{number} and"), f" {number}\n\n") for number in range(12)]
    spec = None if not soft and variant != "both" else SoftSpec(variant if soft else "prompt", 3)
    trained = train(
        backend,
        pairs,
        [],
        TrainingConfig(epochs=1, batch_size=1, precision="float32"),
        lora=None if soft else adapter.tuning().lora,
        soft=spec,
        seed=0,
    )
    told = estimate("reference", adapter)
    assert trained.log.trainable_parameters == told.trainable_parameters
    assert trained.log.total_parameters == told.total_parameters
    for weights in (trained.lora, trained.soft_prompt):
        if weights is not None:
            assert weights_from_files(weights_to_files(weights), base=weights.base) == weights
            backend.check_weights(weights)
