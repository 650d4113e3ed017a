import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgdpo_plugins.playground.task import (
    DIGITS,
    END,
    Label,
    apply_operator,
    check,
    check_text,
    make_prompt,
    parse_prompt,
    solve,
    split_pieces,
    stated_result,
    step_ends,
    true_result,
)

F, C, E, A = Label.FILLER, Label.CORRECT, Label.ERROR, Label.AFTER_BREAK
seeds = st.integers(0, 2**32)

# Each case: prompt, pieces, labels, number of errors, solved.
WRITTEN_OUT = {
    "all right, 3+4=7 and 7*2=14": (
        "3+4*2=",
        [" so ", "+", "4", "7", " now ", " then ", "*", "2", "4", END],
        [F, C, C, C, F, F, C, C, C, C],
        0,
        True,
    ),
    "one wrong digit, the next step is right from it: 6*2=12": (
        "3+4*2=",
        [" so ", "+", "4", "6", " now ", "*", "2", "2", END],
        [F, C, C, E, F, C, C, C, C],
        1,
        False,
    ),
    "a wrong digit, then the digit that would have been right without it": (
        "3+4*2=",
        [" so ", "+", "4", "6", " now ", "*", "2", "4", END],
        [F, C, C, E, F, C, C, E, C],
        2,
        False,
    ),
    "negative results wrap around: 1-4=-3": (
        "1-4=",
        [" so ", "-", "4", "7", END],
        [F, C, C, C, C],
        0,
        True,
    ),
    "no filler breaks the form in the first of two steps": (
        "3+4*2=",
        ["+", "4", "7"],
        [E, A, A],
        2,
        False,
    ),
    "a third filler breaks the form in the second of two steps": (
        "3+4*2=",
        [" so ", "+", "4", "7", " so ", " so ", " so ", "*"],
        [F, C, C, C, F, F, E, A],
        1,
        False,
    ),
    "a wrong copy of the operator": (
        "3+4=",
        [" so ", "-", "4", "7", END],
        [F, E, A, A, A],
        1,
        False,
    ),
    "a wrong copy of the operand": (
        "3+4=",
        [" so ", "+", "5", "7", END],
        [F, C, E, A, A],
        1,
        False,
    ),
    "an operator where the digit should be": (
        "3+4=",
        [" so ", "+", "4", "+"],
        [F, C, C, E],
        1,
        False,
    ),
    "an early end misses both steps": ("3+4*2=", [END], [E], 2, False),
    "no end": ("3+4=", [" so ", "+", "4", "7"], [F, C, C, C], 1, False),
    "text after the last step": ("3+4=", [" so ", "+", "4", "7", "1"], [F, C, C, C, E], 1, False),
    "a filler before the end": (
        "3+4=",
        [" so ", "+", "4", "7", " so ", END],
        [F, C, C, C, F, E],
        1,
        False,
    ),
    "text after the end": ("3+4=", [" so ", "+", "4", "7", END, "1"], [F, C, C, C, C, E], 1, False),
    "a piece of no kind": ("3+4=", ["?", END], [E, A], 1, False),
    "nothing": ("3+4*2=", [], [], 2, False),
}


@pytest.mark.parametrize(
    ("prompt", "pieces", "labels", "num_errors", "solved"),
    WRITTEN_OUT.values(),
    ids=WRITTEN_OUT.keys(),
)
def test_labels_are_those_written_out(
    prompt: str, pieces: list[str], labels: list[Label], num_errors: int, solved: bool
) -> None:
    verdict = check(prompt, pieces)
    assert list(verdict.labels) == labels
    assert verdict.num_errors == num_errors
    assert verdict.solved is solved


@given(seeds)
def test_the_solver_is_always_right(seed: int) -> None:
    rng = random.Random(seed)
    prompt = make_prompt(rng)
    verdict = check_text(prompt, solve(prompt, rng))
    assert verdict.solved
    assert verdict.num_errors == 0
    assert set(verdict.labels) == {F, C}


@given(seeds, st.integers(0, 4), st.integers(1, 9))
def test_a_corrupted_digit_is_an_error_at_its_place(seed: int, step: int, shift: int) -> None:
    rng = random.Random(seed)
    prompt = make_prompt(rng)
    pieces = [*split_pieces(solve(prompt, rng)), END]
    results = [i for i in range(2, len(pieces)) if pieces[i] in DIGITS and pieces[i - 1] in DIGITS]
    place = results[step]
    pieces[place] = DIGITS[(int(pieces[place]) + shift) % 10]

    verdict = check(prompt, pieces)

    # The next step may become wrong too (its digit followed from the old one), no other can.
    wrong = {i for i, label in enumerate(verdict.labels) if label is E}
    assert place in wrong
    assert wrong <= {place, *results[step + 1 : step + 2]}
    assert verdict.num_errors == len(wrong)
    assert not verdict.solved


@given(seeds)
def test_pieces_join_to_the_text(seed: int) -> None:
    rng = random.Random(seed)
    prompt = make_prompt(rng)
    answer = solve(prompt, rng)
    assert "".join(split_pieces(answer)) == answer
    assert split_pieces(prompt) + split_pieces(answer) == split_pieces(prompt + answer)


def test_split_pieces_keeps_two_fillers_apart() -> None:
    assert split_pieces(" so  then +47") == [" so ", " then ", "+", "4", "7"]


def test_a_prompt_has_five_steps() -> None:
    prompt = make_prompt(random.Random(0))
    assert len(parse_prompt(prompt).steps) == 5
    assert len(prompt) == 12


@pytest.mark.parametrize(
    ("operator", "left", "right", "result"),
    [("+", "7", "5", "2"), ("-", "2", "9", "3"), ("*", "7", "8", "6")],
)
def test_results_are_modulo_ten(operator: str, left: str, right: str, result: str) -> None:
    assert apply_operator(operator, left, right) == result


@pytest.mark.parametrize(
    "prompt", ["", "3+4", "3+=", "=", "3 + 4=", "3/4=", "3+4=\n", ["3+4="], "\u0663+4="]
)
def test_another_prompt_is_refused_with_an_example(prompt: object) -> None:
    with pytest.raises(ValueError, match=r"Not a playground prompt.*e\.g\. '3\+4"):
        parse_prompt(prompt)


@given(seeds)
def test_a_right_answer_states_the_true_result_and_has_an_end_for_every_step(seed: int) -> None:
    rng = random.Random(seed)
    prompt = make_prompt(rng)
    answer = solve(prompt, rng)
    assert stated_result(answer) == true_result(prompt)
    pieces = split_pieces(answer)
    assert [pieces[end - 1] for end in step_ends(pieces)][-1] == true_result(prompt)
    assert len(step_ends(pieces)) == 5


def test_the_true_result_is_worked_out_from_left_to_right() -> None:
    assert true_result("3+4*2-5=") == "9"  # 7, 14, 9


@pytest.mark.parametrize("text", ["", "3+4=", " so +", " so +47 now ", "7-"])
def test_a_text_that_ends_in_no_digit_states_no_result(text: str) -> None:
    assert stated_result(text) is None


def test_a_step_ends_behind_two_digits_right_or_wrong() -> None:
    assert step_ends([" so ", "+", "4", "8", " now ", "-", "9", "1"]) == [4, 8]
    assert step_ends([" so ", "+", "4", " now "]) == []
