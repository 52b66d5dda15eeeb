"""Ctrl-C in real processes: one line, exit code 130, what was paid for is kept, and no traceback."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import promptkit as pk
from promptkit.cli.interrupts import advice
from tests.support.server import ScriptedServer

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are other on Windows")


def start(*arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "promptkit", *arguments]
    return subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=250)
    return process.returncode, out, err


def wait_for_calls(server: ScriptedServer, process: subprocess.Popen[str], calls: int) -> None:
    while sum(one.number >= 0 for one in server.seen) < calls:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def slow_server() -> ScriptedServer:
    return ScriptedServer(pk.ScriptedBackend([" The answer is 5."]), latency=0.2)


def check(outcome: tuple[int, str, str], kept: str, expected: int = 130) -> None:
    code, _, err = outcome
    assert code == expected, err
    assert err.startswith("interrupted: ") and err.count("\n") == 1 and kept in err, err


@pytest.mark.parametrize("times", [1, pytest.param(40, marks=pytest.mark.slow)])
def test_answers_are_kept_and_the_line_says_how_to_go_on(tmp_path: Path, times: int) -> None:
    cache, how = tmp_path / "answers.sqlite", random.Random(times)
    with slow_server() as server:
        command = (
            "eval",
            "apples",
            "--limit",
            "60",
            "--model",
            "scripted",
            "--base-url",
            server.base_url,
            "--cache",
            str(cache),
        )
        for seed in range(times):
            time.sleep(0.3)  # calls of the process before may still arrive
            calls = sum(one.number >= 0 for one in server.seen)
            process = start(*command, "--seed", str(seed))  # another seed asks all questions anew
            wait_for_calls(server, process, calls + 1)
            time.sleep(how.uniform(0.0, 0.4))
            process.send_signal(signal.SIGINT)
            code, _, err = end(process)
            if code == 0:  # all was answered before the signal
                continue
            check(
                (code, "", err),
                f"answers that had come are kept in {cache}; go on with: promptkit eval apples --limit 60",
            )
    with pk.CachedBackend(pk.ScriptedBackend(["none"]), cache) as left:
        assert left.stats.bad_rows == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_without_a_cache_the_line_says_what_would_have_kept_the_answers(number: int, code: int) -> None:
    with slow_server() as server:
        process = start("eval", "apples", "--limit", "60", "--model", "scripted", "--base-url", server.base_url)
        wait_for_calls(server, process, 1)
        process.send_signal(number)
        check(
            end(process),
            "nothing was kept; with --cache FILE the next run keeps its answers; start again with: promptkit eval",
            code,
        )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_conversation_ends_too(number: int, code: int) -> None:
    with slow_server() as server:
        options = ("chat", "--task", "apples", "--shots", "0", "--model", "scripted", "--base-url", server.base_url)
        process = start(*options, stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write("How many?\n")
        process.stdin.flush()
        wait_for_calls(server, process, 1)
        process.send_signal(number)
        check(end(process), "a conversation is not kept; start again with: promptkit chat", code)


STUBBORN = """
import sys, time
import promptkit as pk
from promptkit.cli import main

def stubborn():
    print("busy", flush=True)
    {body}

pk.list_tasks = stubborn
sys.argv = ["promptkit", "tasks"]
main()
"""
SWALLOWS = """
    while True:
        try:
            time.sleep(30)
        except BaseException:
            print("swallowed", flush=True)"""
FINALIZER = """
    class Slow:
        def __del__(self):
            time.sleep(30)
    Slow()
    time.sleep(30)"""
CONVERTS = """
    try:
        time.sleep(30)
    except BaseException:
        raise RuntimeError("something else") from None"""


def busy(body: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN.format(body=body)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "busy\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    return process


@pytest.mark.parametrize("body", [FINALIZER, CONVERTS])
def test_an_interrupt_that_python_or_a_library_swallows_ends_the_command_all_the_same(body: str) -> None:
    code, _, err = end(busy(body))
    assert (code, err) == (130, "interrupted: nothing was changed; start again with: promptkit tasks\n")


def test_a_second_interrupt_ends_what_the_first_could_not() -> None:
    process = busy(SWALLOWS)
    assert process.stdout is not None and process.stdout.readline() == "swallowed\n"
    process.send_signal(signal.SIGINT)
    assert end(process)[0] == 130


def newest(checkpoint: Path) -> str:
    return max((path.name for path in checkpoint.glob("step-*") if (path / "manifest.json").exists()), default="")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_goes_on_from_where_a_signal_ended_it(tmp_path: Path, number: signal.Signals) -> None:
    how = random.Random(number)
    whole, parts, checkpoint = tmp_path / "whole", tmp_path / "parts", tmp_path / "checkpoint"
    common = ("fit", "tone", "--strategy", "lora", "--epochs", "2", "--json")
    command = (*common, "--out", str(parts), "--checkpoint", str(checkpoint))
    stops, wait = 0, 1.0
    while stops < 3:
        process = start(*command)
        time.sleep(wait + how.uniform(0.0, 1.0))
        process.send_signal(number)
        code, _, err = end(process)
        assert code == (130 if number == signal.SIGINT else 143), err
        if err.startswith(f"interrupted: checkpoints that were saved are kept in {checkpoint}"):
            wait += 0.5  # the training had not begun
            continue
        stops += 1
        assert err.startswith(f"stopped: train: stopped ({number.name}) after step ") and err.count("\n") == 1, err
        step = int(err.partition("after step ")[2].partition(" ")[0])
        assert newest(checkpoint) == f"step-{step:08d}" and not parts.exists()
    for arguments in (command, (*common, "--out", str(whole))):
        code, _, err = end(start(*arguments))
        assert code == 0, err
    model = pk.LocalBackend("reference")
    one, two = pk.load(whole, model), pk.load(parts, model)
    assert one.lora == two.lora  # type: ignore[attr-defined]


def test_what_is_advised() -> None:
    lora = {"strategy": "lora", "cache": None, "checkpoint": "c"}
    assert advice("fit", lora, ["fit"]) == "checkpoints that were saved are kept in c; go on with: promptkit fit"
    assert "with --checkpoint FOLDER" in advice("fit", {**lora, "checkpoint": ""}, ["fit"])
    assert "with --cache FILE" in advice("fit", {"strategy": "few_shot", "cache": None, "checkpoint": ""}, ["fit"])
    assert advice("climb", {"folder": "f", "cache": None}, ["climb", "a b"]).endswith("promptkit climb 'a b' --resume")
    assert advice("climb", {"folder": "f", "resume": True}, ["climb", "--resume"]).count("--resume") == 1
    assert "with --folder FOLDER" in advice("climb", {"folder": None, "cache": None}, ["climb"])
    assert json.dumps(advice("report", {}, ["report"])) == '"nothing was changed; start again with: promptkit report"'
