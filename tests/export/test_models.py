from __future__ import annotations

import json
import warnings

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import promptkit as pk
from promptkit.export import export

TEXTS = ["Sam buys 3 pens.", "a b c d e f g h. What is it?", "Answer:"]
SAMPLING = pk.Sampling(max_new_tokens=8)


def answers(backend, **weights):
    requests = [pk.Request(pk.Prompt(text=text), SAMPLING, **weights) for text in TEXTS]
    return [reply.completions[0].text for reply in backend.generate(requests)]


def plain_answers(folder):
    """Greedy answers of transformers alone, one text at a time."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    found = []
    for text in TEXTS:
        inputs = tokenizer(text, return_tensors="pt")
        inputs.pop("token_type_ids", None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = model.generate(**inputs, do_sample=False, max_new_tokens=8)[0, inputs["input_ids"].shape[1] :]
        found.append(tokenizer.decode(out, skip_special_tokens=True))
    return found


def state(backend):
    return {name: tensor.clone() for name, tensor in backend.model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("kind", "variant"),
    [
        *(("llama", variant) for variant in ("lora", "rslora", "dora", "adalora")),
        ("gpt2", "dora"),
        *(pytest.param("gpt2", variant, marks=pytest.mark.slow) for variant in ("lora", "rslora", "adalora")),
        *(pytest.param(kind, "dora", marks=pytest.mark.slow) for kind in ("bloom", "opt", "falcon")),
    ],
)
def test_a_merged_folder_answers_as_the_engine_does(backend, make, tmp_path, kind, variant):
    engine = backend(kind)
    lora = make.low_rank(engine, variant)
    wanted = answers(engine, lora=lora)
    assert wanted != answers(engine), "weights that change nothing would prove nothing"
    before, config = state(engine), engine.model.config.to_dict()
    folder = export(make.predictor(engine, lora=lora), tmp_path / "out", "merged")
    assert same(before, state(engine)) and config == engine.model.config.to_dict()
    assert plain_answers(folder) == wanted
    assert answers(pk.LocalBackend(folder, max_context=256)) == wanted
    assert not (folder / "README.md").exists()


# gpt2 has a byte-level frame of its own, gemma scales embeddings, phi has a biased head, bloom normalises embeddings.
ODD = ["gpt2", "gemma", "phi", "bloom"]
EVEN = ["falcon", "gpt_neox", "qwen2", "opt"]


@pytest.mark.parametrize("kind", ["llama", *ODD, *(pytest.param(kind, marks=pytest.mark.slow) for kind in EVEN)])
def test_a_baked_folder_answers_as_the_engine_does(backend, make, tmp_path, kind):
    engine = backend(kind)
    soft = make.soft_prompt(engine)
    wanted = answers(engine, soft_prompt=soft)
    assert wanted != answers(engine)
    before, config = state(engine), engine.model.config.to_dict()
    folder = export(make.predictor(engine, soft), tmp_path / "out", "baked")
    assert same(before, state(engine)) and config == engine.model.config.to_dict()
    assert plain_answers(folder) == wanted
    assert answers(pk.LocalBackend(folder, max_context=256)) == wanted


def test_lora_and_soft_prompt_are_merged_and_baked(backend, make, tmp_path):
    engine = backend("llama")
    weights = {"soft_prompt": make.soft_prompt(engine), "lora": make.low_rank(engine, "dora")}
    folder = export(make.predictor(engine, **weights), tmp_path / "out", "baked")
    wanted = answers(engine, **weights)
    assert len({tuple(wanted), *(tuple(answers(engine, **{name: one})) for name, one in weights.items())}) == 3
    assert plain_answers(folder) == wanted
    assert "and the weights hold a LoRA" in (folder / "README.md").read_text()


def test_the_tokens_of_a_soft_prompt_are_never_generated(backend, make, tmp_path):
    engine = backend("llama")
    folder = export(make.predictor(engine, make.soft_prompt(engine)), tmp_path / "out", "baked")
    facts = json.loads((folder / "promptkit_export.json").read_text())
    assert facts["tokens"] == [f"<soft-{n}>" for n in range(5)] and facts["ids"] == list(range(2048, 2053))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    assert model.config.tie_word_embeddings is False and engine.model.config.tie_word_embeddings is True
    assert model.generation_config.suppress_tokens == facts["suppressed"] == facts["ids"]
    inputs = tokenizer(["a b c"] * 64, return_tensors="pt")
    torch.manual_seed(0)
    out = model.generate(**inputs, do_sample=True, temperature=10.0, max_new_tokens=20, top_k=0)
    assert int(out[:, inputs["input_ids"].shape[1] :].max()) < 2048
    # Even where nothing suppresses them, theirs is never the greatest logit: it is the mean of all others.
    with torch.no_grad():
        logits = model(input_ids=torch.randint(0, 2053, (16, 40))).logits
    assert torch.allclose(logits[..., 2048:], logits[..., :2048].mean(-1, keepdim=True), atol=1e-4)
    assert int(logits.argmax(-1).max()) < 2048


def test_rows_without_a_token_stay_apart_from_the_new_ones(backend, make, tmp_path):
    engine = backend("llama", vocab_size=2060)
    soft = make.soft_prompt(engine)
    folder = export(make.predictor(engine, soft), tmp_path / "out", "baked")
    facts = json.loads((folder / "promptkit_export.json").read_text())
    assert facts["ids"] == facts["suppressed"] == list(range(2060, 2065))
    assert len(AutoTokenizer.from_pretrained(folder)) == 2065
    assert plain_answers(folder) == answers(engine, soft_prompt=soft)


def test_a_chat_starts_with_the_soft_prompt(backend, make, tmp_path):
    engine = backend("llama")
    soft = make.soft_prompt(engine)
    folder = export(make.predictor(engine, soft), tmp_path / "out", "baked")
    message = pk.Prompt(messages=(pk.Message("user", "Sam buys 3 pens."),))
    wanted = engine.generate([pk.Request(message, SAMPLING, soft_prompt=soft)])
    baked = pk.LocalBackend(folder, max_context=256)
    assert baked.generate([pk.Request(message, SAMPLING)])[0].completions[0].text == wanted[0].completions[0].text
    assert baked.count_tokens(message) == engine.count_tokens(message) + 5


def test_text_cannot_name_the_tokens_of_a_soft_prompt(backend, make, tmp_path):
    engine = backend("llama")
    folder = export(make.predictor(engine, make.soft_prompt(engine)), tmp_path / "out", "baked")
    baked = pk.LocalBackend(folder, max_context=256)
    prompt = pk.Prompt(text="<soft-0> a")
    assert baked.count_tokens(prompt) == engine.count_tokens(prompt) + 5


def test_the_base_model_answers_as_before(backend, make, tmp_path):
    engine = backend("gpt2")
    before = answers(engine)
    weights = {"soft_prompt": make.soft_prompt(engine), "lora": make.low_rank(engine)}
    export(make.predictor(engine, **weights), tmp_path / "out", "baked")
    assert answers(engine) == before


def test_a_model_whose_head_is_shared_with_its_decoder_is_not_baked(backend, make, tmp_path):
    engine = backend("t5")
    with pytest.raises(pk.UnsupportedError, match="a t5 model must be a decoder alone"):
        export(make.predictor(engine, make.soft_prompt(engine)), tmp_path / "out", "baked")
    assert not list(tmp_path.iterdir())


def test_a_baking_that_would_answer_otherwise_is_refused(backend, make, tmp_path, monkeypatch):
    """The bad twin: vectors put into the wrong rows."""
    from promptkit.export import models

    engine = backend("llama")
    bake = models._bake
    monkeypatch.setattr(models, "_bake", lambda model, vectors, ids: bake(model, vectors.flip(0), ids))
    with pytest.raises(pk.UnsupportedError, match="must answer alike"):
        export(make.predictor(engine, make.soft_prompt(engine)), tmp_path / "out", "baked")
    assert not list(tmp_path.iterdir())


def test_no_folder_of_this_machine_stands_in_an_export(backend, make, tmp_path):
    engine = backend("llama")
    weights = {"soft_prompt": make.soft_prompt(engine), "lora": make.low_rank(engine)}
    for to in ("baked", "peft", "prompt-embeds"):
        folder = export(make.predictor(engine, **weights), tmp_path / to, to)
        for path in folder.rglob("*"):
            assert path.is_dir() or str(engine.folder.parent).encode() not in path.read_bytes(), path
