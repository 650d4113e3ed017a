from pathlib import Path

import pytest

from tgdpo_core.errors import DataError
from tgdpo_core.generation.answers import Answer, AnsweredPrompt, read_answers, write_answers

CHAT = [{"role": "user", "content": "Good\u2028morning 😀"}]


def test_answers_are_read_as_they_were_written(tmp_path: Path) -> None:
    answers = (
        Answer("a\nb", finished=True, num_tokens=3),
        Answer("", finished=False, num_tokens=0, seed=7),
    )
    answered = [AnsweredPrompt(CHAT, answers, {"topic": 1}), AnsweredPrompt("text", ())]
    write_answers(tmp_path / "answers.jsonl", answered)
    assert list(read_answers(tmp_path / "answers.jsonl")) == answered


@pytest.mark.parametrize("line", ["{", "[]", '{"prompt": "a", "answers": [{"text": "b"}]}'])
def test_a_line_of_another_form_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "answers.jsonl"
    write_answers(path, [AnsweredPrompt("text", ())])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=r"answers\.jsonl:2: not a line of answers"):
        list(read_answers(path))


def test_a_line_in_another_encoding_is_named_and_a_mark_of_the_order_of_bytes_is_none(
    tmp_path: Path,
) -> None:
    path = tmp_path / "answers.jsonl"
    write_answers(path, [AnsweredPrompt("text", ())])
    line = path.read_bytes()
    path.write_bytes(b"\xef\xbb\xbf" + line)
    assert [item.prompt for item in read_answers(path)] == ["text"]
    path.write_bytes(line + line.replace(b"text", b"caf\xe9"))
    with pytest.raises(DataError, match=r"answers\.jsonl:2: not a line of answers.*decode"):
        list(read_answers(path))


def test_other_tools_make_another_question() -> None:
    def asked(**columns: object) -> str:
        return AnsweredPrompt(CHAT, (), columns).key

    assert asked(tools=[{"name": "f"}]) != asked(tools=[{"name": "g"}])
    assert asked(tools=[]) == asked(topic=1) == asked()


def test_a_prompt_has_the_same_key_whoever_answers() -> None:
    mine, theirs = AnsweredPrompt(CHAT, ()), AnsweredPrompt([dict(CHAT[0])], (), {"x": 1})
    assert mine.key == theirs.key
    assert mine.key != AnsweredPrompt("text", ()).key
