"""The tests mirror the package: ``promptkit/x/y.py`` is tested by ``tests/x/test_y.py``, or the exception is listed here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import ROOT

# Files that test no single module, with the guarantee that they are about.
CROSS_CUTTING = {
    "cli/test_bad_rows.py": "rows that cannot be used are told one a line",
    "examples/test_extending.py": "pieces of third parties work everywhere, from one short file each",
    "parsing/test_fragments.py": "a part of a number, label or text is never read as the answer",
    "test_docs.py": "what the documentation shows is what the code does",
    "adapters/test_contract.py": "every strategy keeps the contract, and every check of the contract can fail",
    "adapters/test_contract_of_weights.py": "strategies that learn weights keep the contract too",
    "assistants/test_typed_local.py": "200 typed answers of the reference model are valid",
    "backends/local/test_equality.py": "tokens equal those of generate, for every architecture and in any batch",
    "backends/local/test_peft.py": "answers with weights equal those of stock PEFT",
    "backends/local/test_votes.py": "voting on a real engine",
    "cli/test_climb_signals.py": "a climb ends politely on a signal, and goes on",
    "cli/test_one_door.py": "nothing that a command prints steers a terminal",
    "data/test_near_real.py": "copies in disguise are found among questions of strangers",
    "data/test_near_shipped.py": "copies planted into the shipped tasks are found",
    "evaluation/test_honesty.py": "rates of false claims of whole comparisons",
    "evaluation/test_real.py": "figures on real outputs equal those of scipy",
    "examples/test_textgen.py": "the text that the reference model learns from",
    "examples/test_training.py": "the training of the reference model, end to end",
    "export/test_edited_adapters.py": "an edited adapter is refused, or is the original",
    "html/test_browser.py": "the page in a real browser, where there is one",
    "ladder/test_climb_server.py": "a climb on a server that fails",
    "ladder/test_groups.py": "dependent items are one observation of a climb",
    "ladder/test_resume.py": "a climb that is cut off anywhere ends in the same record",
    "support/test_server.py": "the misbehaving server of the tests",
    "tasks/test_golden.py": "the prompts of the shipped tasks, byte for byte",
    "test_distribution.py": "what is installed, and under which name",
    "test_doors.py": "every function that opens a path",
    "test_examples.py": "every example runs",
    "test_import_cost.py": "import promptkit and --help load no torch",
    "test_mirror.py": "this file",
    "test_public_api.py": "public names and signatures",
    "test_published_figures.py": "published figures of self-consistency",
    "test_readme.py": "what README says is so",
    "training/test_kills.py": "SIGKILL at any moment of a training",
}

# Modules without a file of their own, with the file that tests them.
TESTED_BY = {
    "__main__": "cli/test_app.py",
    "adapters/base": "adapters/test_contract.py",
    "adapters/lora": "adapters/test_tuning.py",
    "adapters/plan": "adapters/test_predictor.py",
    "adapters/search": "adapters/test_selection.py",
    "adapters/settings": "adapters/test_few_shot.py",
    "adapters/soft_prompt": "adapters/test_tuning.py",
    "artifacts/peft_config": "artifacts/test_weights.py",
    "assistants/questions": "assistants/test_router.py",
    "backends/cache_rows": "backends/test_cached.py",
    "backends/local/chat_prices": "backends/local/test_chat_sandbox.py",
    "backends/local/facts": "backends/local/test_machine.py",
    "backends/openai/errors": "backends/openai/test_client.py",
    "cli/inputs": "cli/test_run.py",
    "cli/reports": "cli/test_compare.py",
    "data/check": "data/test_load.py",
    "data/choices": "data/test_near.py",
    "data/csv_rows": "data/test_sources.py",
    "data/frames": "data/test_near.py",
    "data/item": "data/test_near.py",
    "errors": "test_doors.py",
    "evaluation/arms": "evaluation/test_comparing.py",
    "evaluation/comparison": "evaluation/test_comparing.py",
    "export/tokens": "export/test_models.py",
    "html/arms": "html/test_page.py",
    "html/payback": "html/test_page.py",
    "html/scales": "html/test_charts.py",
    "ladder/bounds": "ladder/test_climbing.py",
    "ladder/candidate": "ladder/test_climbing.py",
    "ladder/facts": "ladder/test_record.py",
    "ladder/memory": "ladder/test_record.py",
    "ladder/reading": "ladder/test_record.py",
    "ladder/writing": "ladder/test_record.py",
    "parsing/extractors": "parsing/test_parser.py",
    "parsing/number_text": "parsing/test_numbers.py",
    "parsing/number_tokens": "parsing/test_numbers.py",
    "parsing/number_values": "parsing/test_numbers.py",
    "testing/contract": "adapters/test_contract.py",
    "training/checks": "training/test_trainer.py",
    "training/general": "training/test_initialization.py",
    "training/graceful_stop": "training/test_checkpoints.py",
    "training/log": "training/test_trackers.py",
    "training/loop": "training/test_trainer.py",
    "training/lora": "training/test_trainer.py",
    "training/soft_prompt": "training/test_trainer.py",
    "types": "test_public_api.py",
}


def names(folder: str, pattern: str) -> set[str]:
    root = ROOT / folder
    return {path.relative_to(root).as_posix() for path in root.rglob(pattern)}


def mirror(module: str) -> str:
    """Where the test of a module is wanted; that of a package is ``test_init.py`` in its folder."""
    path = Path(module)
    name = "init" if path.name == "__init__" else path.name
    return (path.parent / f"test_{name}.py").as_posix()


MODULES = {name.removesuffix(".py") for name in names("promptkit", "*.py")}
TESTS = names("tests", "test_*.py")


def test_every_test_file_is_about_a_module_or_a_listed_guarantee() -> None:
    strangers = TESTS - {mirror(module) for module in MODULES} - set(CROSS_CUTTING)
    assert not strangers, "name the file after its module, or list it in CROSS_CUTTING with its guarantee"


def test_every_module_has_a_test_file_or_names_one() -> None:
    own = {module for module in MODULES if mirror(module) in TESTS or module.endswith("__init__")}
    assert not MODULES - own - set(TESTED_BY), "add its mirrored test file, or name the one that tests it in TESTED_BY"


@pytest.mark.parametrize("module", TESTED_BY)
def test_what_is_listed_is_there_and_needs_to_be_listed(module: str) -> None:
    assert module in MODULES, "the module is gone: take it off the list"
    assert TESTED_BY[module] in TESTS, "the file that tests it is gone"
    assert mirror(module) not in TESTS, "it has a file of its own: take it off the list"


def test_no_listed_guarantee_is_without_its_file() -> None:
    assert set(CROSS_CUTTING) <= TESTS
    assert not set(CROSS_CUTTING) & {mirror(module) for module in MODULES}
