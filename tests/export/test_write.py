from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings

import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

import promptkit as pk
from promptkit.artifacts.weights import read_peft_folder
from promptkit.export import FORMS, export, write

TEXT = "Sam buys 3 pens."


def test_a_lora_goes_into_a_folder_of_peft_and_comes_back(backend, make, tmp_path):
    engine = backend("llama")
    lora = make.low_rank(engine)
    folder = export(make.predictor(engine, lora=lora), tmp_path / "out")
    names = {"adapter_config.json", "adapter_model.safetensors", "README.md", "promptkit_export.json"}
    assert {path.name for path in folder.iterdir()} == names
    assert read_peft_folder(folder, engine.fingerprint()) == lora
    assert pk.check_vllm(folder) == []
    facts = json.loads((folder / "promptkit_export.json").read_text())
    assert facts["to"] == "peft" and facts["folders"] == ["."]
    assert facts["base_fingerprint"] == engine.fingerprint() and facts["weights"] == {"lora": lora.fingerprint}


def test_both_kinds_of_weights_go_into_two_folders(backend, make, tmp_path):
    engine = backend("llama")
    weights = {"soft_prompt": make.soft_prompt(engine), "lora": make.low_rank(engine)}
    folder = export(make.predictor(engine, **weights), tmp_path / "out", "peft")
    for name, one in weights.items():
        assert read_peft_folder(folder / name, engine.fingerprint()) == one
    assert "one text at a time" in (folder / "soft_prompt" / "README.md").read_text()
    assert "one text at a time" not in (folder / "lora" / "README.md").read_text()


def test_the_method_of_a_predictor_writes_too(backend, make, tmp_path):
    engine = backend("llama")
    make.predictor(engine, make.prefix(engine)).export(tmp_path / "out", to="peft")
    assert read_peft_folder(tmp_path / "out", engine.fingerprint()).kind == "prefix"


def test_stock_peft_gives_the_answers_of_the_engine(backend, make, tmp_path):
    """One text at a time, as PEFT is right with left padding for low-rank weights only."""
    from peft import PeftModel  # takes seconds

    engine = backend("llama")
    cases = {variant: {"lora": make.low_rank(engine, variant)} for variant in ("lora", "rslora", "dora", "adalora")}
    cases |= {"soft": {"soft_prompt": make.soft_prompt(engine)}, "prefix": {"soft_prompt": make.prefix(engine)}}
    prompt = pk.Prompt(text=TEXT)
    ids = torch.tensor([engine.tokenizer(TEXT)["input_ids"]])
    found = set()
    for name, weights in cases.items():
        folder = export(make.predictor(engine, **weights), tmp_path / name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(engine.folder), folder).eval()
            out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=8)
        wanted = engine.generate([pk.Request(prompt, pk.Sampling(max_new_tokens=8), **weights)])[0].completions[0].text
        assert engine.tokenizer.decode(out[0, -8:], skip_special_tokens=True).endswith(wanted), name
        found.add(wanted)
    assert len(found) > 3, "weights that change nothing would prove nothing"


def test_a_server_that_is_sent_embeddings_gives_the_answers_of_the_engine(backend, make, tmp_path):
    engine = backend("llama")
    soft = make.soft_prompt(engine)
    folder = export(make.predictor(engine, soft), tmp_path / "out", "prompt-embeds")
    facts = json.loads((folder / "promptkit_export.json").read_text())
    assert facts["order"] == ["soft_prompt", "text"] and (facts["tokens"], facts["width"]) == (5, 32)
    vectors = torch.from_numpy(load_file(folder / facts["file"])[facts["tensor"]])
    model = AutoModelForCausalLM.from_pretrained(engine.folder).eval()
    ids = torch.tensor(engine.tokenizer(TEXT)["input_ids"])
    with torch.no_grad():
        embeds = torch.cat([vectors, model.get_input_embeddings()(ids)])[None]
        out = model.generate(inputs_embeds=embeds, do_sample=False, max_new_tokens=8)[0]
    request = pk.Request(pk.Prompt(text=TEXT), pk.Sampling(max_new_tokens=8), soft_prompt=soft)
    assert engine.tokenizer.decode(out, skip_special_tokens=True) == engine.generate([request])[0].completions[0].text
    assert "[5, 32]" in (folder / "README.md").read_text()


def test_a_lora_stands_beside_the_embeddings_it_was_learned_with(backend, make, tmp_path):
    engine = backend("llama")
    lora = make.low_rank(engine)
    folder = export(make.predictor(engine, make.soft_prompt(engine), lora), tmp_path / "out", "prompt-embeds")
    assert read_peft_folder(folder / "lora", engine.fingerprint()) == lora
    assert "must be active" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("kinds", "to", "message"),
    [
        ("", "peft", "weights must be there"),
        ("lora", "onnx", "to must be one of 'peft', 'merged', 'baked', 'prompt-embeds'"),
        ("soft", "merged", "must be a LoRA alone, got 'a soft prompt'; use to='baked'"),
        ("soft lora", "merged", "must be a LoRA alone, got 'a LoRA and a soft prompt'"),
        ("lora", "baked", "must be a soft prompt, got 'a LoRA'"),
        ("lora", "prompt-embeds", "must be a soft prompt"),
        ("prefix", "baked", "a prefix is keys and values"),
        ("prefix lora", "prompt-embeds", "a prefix is keys and values"),
    ],
)  # fmt: skip
def test_what_would_be_lost_is_not_exported(backend, make, tmp_path, kinds, to, message):
    engine = backend("llama")
    made = {"soft": make.soft_prompt, "prefix": make.prefix, "lora": make.low_rank}
    weights = {"lora" if kind == "lora" else "soft_prompt": made[kind](engine) for kind in kinds.split()}
    with pytest.raises(pk.SettingError) as caught:
        export(make.predictor(engine, **weights), tmp_path / "out", to)
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_cache_in_front_of_the_model_changes_nothing(backend, make, tmp_path):
    engine = backend("llama")
    lora = make.low_rank(engine)
    with pk.CachedBackend(engine, tmp_path / "answers.sqlite") as cached:
        for to in ("peft", "merged"):
            export(make.predictor(cached, lora=lora), tmp_path / to, to)
    assert read_peft_folder(tmp_path / "peft", engine.fingerprint()) == lora
    assert (tmp_path / "merged" / "model.safetensors").is_file()


def test_a_backend_without_a_model_exports_nothing(backend, make, tmp_path):
    scripted = pk.ScriptedBackend(lambda request, index: "")
    with pytest.raises(pk.UnsupportedError, match="must be a LocalBackend"):
        export(make.predictor(scripted, lora=make.low_rank(backend("llama"))), tmp_path / "out")


@pytest.mark.parametrize("to", FORMS)
def test_weights_of_another_model_are_not_exported(backend, make, tmp_path, to):
    weights = {} if to == "merged" else {"soft_prompt": make.soft_prompt(backend("gpt2"))}
    weights |= {"lora": make.low_rank(backend("gpt2"))}
    with pytest.raises(pk.ArtifactError, match="base must be"):
        export(make.predictor(backend("llama"), **weights), tmp_path / "out", to)
    assert not list(tmp_path.iterdir())


def test_an_export_replaces_nothing(backend, make, tmp_path):
    predictor = make.predictor(backend("llama"), lora=make.low_rank(backend("llama")))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("mine", "file", "link"):
        with pytest.raises(pk.ArtifactError, match="must be new or empty"):
            export(predictor, tmp_path / name)
    (tmp_path / "empty").mkdir()
    for name in ("empty", "a/b/c"):
        assert (export(predictor, tmp_path / name) / "adapter_config.json").is_file()
    with pytest.raises(pk.ArtifactError, match="must be new or empty"):
        export(predictor, tmp_path / "empty")
    for name in ("", "a\0b"):
        with pytest.raises(pk.ArtifactError, match="must be the path of a folder"):
            export(predictor, name)
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "file", "link", "empty", "a"}
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "all of it"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("boom"), KeyboardInterrupt()])
@pytest.mark.parametrize("fails", ["weights_to_files", "write_facts", "_flush"])
def test_a_failure_leaves_nothing(backend, make, tmp_path, monkeypatch, error, fails):
    predictor = make.predictor(backend("llama"), lora=make.low_rank(backend("llama")))

    def fail(*_args):
        raise error

    monkeypatch.setattr(write, fails, fail)
    wanted, message = type(error), None
    if isinstance(error, OSError):
        wanted, message = pk.ArtifactError, "No space left on device; nothing was left there"
    with pytest.raises(wanted, match=message):
        export(predictor, tmp_path / "out")
    assert not list(tmp_path.iterdir())


SLOW = """
import sys, time
from pathlib import Path
from promptkit.export.write import staged
with staged(Path(sys.argv[1])) as stage:
    for number in range(40):
        (stage / f"{number}.txt").write_bytes(b"x" * 100_000)
        print(number, flush=True)
        time.sleep(0.002)
print("done", flush=True)
time.sleep(60)
"""


def begin(target, after):
    """Starts an export in another process, and returns when it has come so far."""
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(target)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == after:
            break
    return process


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def test_the_next_export_removes_what_killed_ones_left_and_nothing_else(tmp_path):
    kill(begin(tmp_path / "other", "3"))
    (tmp_path / ".out.0123456789abcdef.part").mkdir()  # as earlier versions named it
    kept = [
        ".out.part",
        ".mine.0123456789abcdef.part",
        ".out.promptkit-0123.part",
        "out.promptkit-0123456789abcdef.part",
    ]
    for name in kept:
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("all of it")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "thesis.txt").write_text("all of it")
    (tmp_path / ".link.promptkit-0123456789abcdef.part").symlink_to(tmp_path / "elsewhere")
    assert len([path for path in tmp_path.glob(".*.promptkit-????????????????.part") if not path.is_symlink()]) == 1
    with write.staged(tmp_path / "out") as stage:
        (stage / "x.txt").write_text("x")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {*kept, "elsewhere", "out", ".link.promptkit-0123456789abcdef.part"}
    assert (tmp_path / "elsewhere" / "thesis.txt").read_text() == "all of it"


def test_an_export_that_goes_on_is_left_alone(tmp_path):
    process = begin(tmp_path / "out", "3")
    with write.staged(tmp_path / "third") as stage:
        (stage / "x.txt").write_text("x")
    assert process.stdout is not None
    assert process.stdout.read(0) == "" and process.poll() is None
    for line in process.stdout:
        if line == "done\n":
            break
    kill(process)
    assert len(list((tmp_path / "out").iterdir())) == 40


@pytest.mark.slow
def test_kills_at_random_times_leave_old_or_new_and_no_rubbish_behind(tmp_path):
    how = random.Random(7)
    for turn in range(40):
        target = tmp_path / f"out-{turn}"
        process = begin(target, str(how.randrange(40)))
        time.sleep(how.uniform(0, 0.02))
        kill(process)
        assert not target.exists() or len(list(target.iterdir())) == 40
    with write.staged(tmp_path / "last") as stage:
        (stage / "x.txt").write_text("x")
    assert not [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")]


def test_a_long_name_leaves_room_for_that_of_its_stage(tmp_path):
    for name in ("n" * 255, "\u82f9" * 85):
        with write.staged(tmp_path / name) as stage:
            (stage / "x.txt").write_text("x")
        assert (tmp_path / name / "x.txt").is_file()


@pytest.mark.parametrize("after", ["3", "25", "39", "done"])
def test_a_kill_leaves_the_whole_folder_or_none(tmp_path, after):
    target = tmp_path / "out"
    process = begin(target, after)
    if after == "39":  # somewhere in flushing and renaming
        time.sleep(0.005)
    kill(process)
    assert not target.exists() or len(list(target.iterdir())) == 40
    assert after != "done" or target.exists()
    assert after not in ("3", "25") or not target.exists()
    left = [path.name for path in tmp_path.iterdir() if path != target]
    assert all(name.startswith(".out.") and name.endswith(".part") for name in left)
