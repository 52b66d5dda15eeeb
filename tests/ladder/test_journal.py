"""The journal keeps what was finished through kills, damage and full disks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.errors import SettingError
from promptkit.ladder.journal import Journal, JournalError, RunLock

TEXTS = st.text(st.characters(exclude_categories=()), max_size=20)


def filled(path: Path, n: int = 5) -> Path:
    journal = Journal(path)
    for number in range(n):
        journal.put(f"key:{number}", {"value": number})
    journal.close()
    return path


def test_what_was_put_is_there_after_a_new_start(tmp_path: Path) -> None:
    again = Journal(filled(tmp_path / "journal"))
    assert [again.get(f"key:{number}") for number in range(6)] == [{"value": n} for n in range(5)] + [None]
    assert again.count("key:") == 5 and again.values("key:")[2] == {"value": 2} and again.broken == 0


@given(
    st.dictionaries(
        TEXTS, st.lists(TEXTS | st.integers() | st.floats(allow_nan=False, allow_infinity=False)), max_size=4
    )
)
def test_any_text_comes_back_as_it_was(values: dict[str, list[object]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal")
        journal.put_all(values)
        journal.close()
        again = Journal(Path(folder) / "journal")
        assert {key: again.get(key) for key in values} == values
        again.close()


def test_torn_anywhere_it_keeps_every_whole_line_and_goes_on(tmp_path: Path) -> None:
    data = filled(tmp_path / "whole").read_bytes()
    ends = [place for place, byte in enumerate(data) if byte == ord("\n")]
    for cut in range(0, len(data) + 1, 3):
        path = tmp_path / "torn"
        path.write_bytes(data[:cut])
        journal = Journal(path)
        whole = sum(end < cut for end in ends)
        assert journal.count("key:") == whole and journal.broken == 0
        journal.put("more", 1)
        journal.close()
        again = Journal(path)
        assert again.count("key:") == whole and again.get("more") == 1
        again.close()


def test_a_flipped_byte_costs_its_line_alone(tmp_path: Path) -> None:
    data = filled(tmp_path / "whole").read_bytes()
    for place in range(0, len(data), 7):
        if data[place] == ord("\n"):
            continue
        path = tmp_path / "flipped"
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        journal = Journal(path)
        assert journal.broken == 1 and journal.count("key:") == 4
        assert all(journal.get(f"key:{n}") in (None, {"value": n}) for n in range(5))
        journal.close()


def test_time_goes_on_where_it_was(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal._elapsed = 100.0
    journal.put("late", 1)
    journal.close()
    assert 100 <= Journal(tmp_path / "journal").elapsed < 160


def test_a_disk_that_refuses_is_an_error_and_nothing_counts_as_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "journal")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(JournalError, match="could not be written: No space left on device; make room and continue"):
        journal.put("key", 1)
    assert journal.get("key") is None


def test_a_journal_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be opened"):
        Journal(tmp_path)


def test_the_second_lock_is_refused_and_the_first_can_be_lifted(tmp_path: Path) -> None:
    first = RunLock(tmp_path)
    with pytest.raises(SettingError, match="climb: folder must be used by one climb at a time"):
        RunLock(tmp_path)
    first.release()
    RunLock(tmp_path).release()
