"""Every instruction: followed, and broken with the characters that break it."""

import pytest

from tgdpo_plugins.judges.rules.instructions import (
    CHECKS,
    NOT_IN_IFEVAL,
    Instruction,
    from_columns,
    from_options,
)

ENGLISH = "this is a plain sentence in the english language about nothing much"
GERMAN = "Das ist ein ganz gewöhnlicher Satz in deutscher Sprache über fast nichts"
WORDS = "length_constraints:number_words"
SENTENCES = "length_constraints:number_sentences"
PARAGRAPHS = "length_constraints:number_paragraphs"
NTH = "length_constraints:nth_paragraph_first_word"
CHARACTERS = "length_constraints:number_characters"
BULLETS = "detectable_format:number_bullet_lists"
END = "the end"


def words(number, relation):
    return {"num_words": number, "relation": relation}


def nth(number, place, word):
    return {"num_paragraphs": number, "nth_paragraph": place, "first_word": word}


# Instruction, arguments, text, what breaks it: texts of spans, END for (n, n); None: followed.
CASES = [
    (WORDS, words(3, "less than"), "one two", None),
    (WORDS, words(3, "less than"), "one two three, four", ["three", "four"]),
    (WORDS, words(3, "at least"), "one two three", None),
    (WORDS, words(3, "at least"), "one two", [END]),
    (WORDS, words(2, "at most"), "a-b c", ["c"]),  # hyphens part words, as in IFEval
    (WORDS, words(2, "exactly"), "one", [END]),
    (WORDS, words(2, "more than"), "one two", [END]),
    (WORDS, words(1, "less than"), "one two", ["one", "two"]),
    (SENTENCES, {"num_sentences": 2, "relation": "at least"}, "One. Two!", None),
    (SENTENCES, {"num_sentences": 3, "relation": "at least"}, "Dr. Who met J. Doe. Bye.", [END]),
    (
        SENTENCES,
        {"num_sentences": 2, "relation": "less than"},
        "One? Two. 3.5 e.g. x",
        ["Two.", "3.5 e.g. x"],
    ),
    (CHARACTERS, {"num_characters": 4, "relation": "at most"}, "abcdef", ["ef"]),
    (CHARACTERS, {"num_characters": 9, "relation": "at least"}, "abcdef", [END]),
    (PARAGRAPHS, {"num_paragraphs": 2}, "a\n***\nb", None),
    (PARAGRAPHS, {"num_paragraphs": 2}, "***\na\n***\nb\n***", None),
    (PARAGRAPHS, {"num_paragraphs": 2}, "a\n***\nb\n***\nc", ["c"]),
    (PARAGRAPHS, {"num_paragraphs": 3}, "a\n***\nb", [END]),
    (NTH, nth(2, 2, "weep"), "a b\n\nWeep, he said", None),
    (NTH, nth(2, 2, "weep"), "a b\n\nCry", ["Cry"]),
    (NTH, nth(3, 3, "weep"), "a b\n\nCry", [END]),
    (NTH, nth(1, 1, "a"), "a b\n\nc d", ["c d"]),
    ("keywords:existence", {"keywords": ["Talk", "c++"]}, "I talked in C++", None),
    ("keywords:existence", {"keywords": ["talk", "c++"]}, "I talked", [END]),
    (
        "keywords:frequency",
        {"keyword": "a", "frequency": 2, "relation": "less than"},
        "a x A",
        ["A"],
    ),
    (
        "keywords:frequency",
        {"keyword": "cat", "frequency": 2, "relation": "at least"},
        "cat",
        [END],
    ),
    ("keywords:frequency", {"keyword": "a", "frequency": 2, "relation": "exactly"}, "a A", None),
    (
        "keywords:letter_frequency",
        {"letter": "e", "let_frequency": 2, "let_relation": "at least"},
        "Ee",
        None,
    ),
    (CHARACTERS, {"num_characters": 6, "relation": "exactly"}, "abcdef", None),
    ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, "concatenate", None),
    ("keywords:forbidden_words", {"forbidden_words": ["cat", "dog"]}, "Dog, cat.", ["Dog", "cat"]),
    (
        "keywords:letter_frequency",
        {"letter": "E", "let_frequency": 2, "let_relation": "less than"},
        "eEe",
        ["E", "e"],
    ),
    (
        "keywords:letter_frequency",
        {"letter": "#", "let_frequency": 1, "let_relation": "at least"},
        "x",
        [END],
    ),
    ("language:response_language", {"language": "de"}, GERMAN, None),
    ("language:response_language", {"language": "de"}, "123 + 456", None),
    (
        "language:response_language",
        {"language": "en"},
        f"{ENGLISH}\n{GERMAN}\n{GERMAN}",
        [GERMAN, GERMAN],
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[a] [b]", None),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[a]", [END]),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "x\np. s. y", None),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "x\nP.P.S y", None),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "x", [END]),
    (BULLETS, {"num_bullets": 2}, "* a\n- b", None),
    (BULLETS, {"num_bullets": 1}, "* a\n** no\n- b", ["- b"]),
    (BULLETS, {"num_bullets": 1}, "a", [END]),
    ("detectable_format:constrained_response", {}, "Well. My answer is yes.", None),
    ("detectable_format:constrained_response", {}, "Yes.", ["Yes."]),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* **b**", None),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 1}, "* *", [END]),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Section", "num_sections": 2},
        "Section 1 a Section 2 b",
        None,
    ),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Section", "num_sections": 2},
        "Section 1 a",
        [END],
    ),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', None),
    ("detectable_format:json_format", {}, '{"a": x}', ["x"]),
    ("detectable_format:json_format", {}, '{"a": 1', [END]),
    ("detectable_format:title", {}, "<<a b>> c", None),
    ("detectable_format:title", {}, "<< >> c", [END]),
    (
        "detectable_format:markdown_headings",
        {"num_headings": 1, "relation": "exactly"},
        "# a\nb",
        None,
    ),
    (
        "detectable_format:markdown_headings",
        {"num_headings": 1, "relation": "at most"},
        "# a\n## b",
        ["## b"],
    ),
    ("combination:two_responses", {}, "a\n******\nb", None),
    ("combination:two_responses", {}, "a******a", ["a"]),
    ("combination:two_responses", {}, "a******b******c", ["c"]),
    ("combination:two_responses", {}, "a", [END]),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "say it. It.", None),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "Say is. It.", ["s"]),
    ("startend:end_checker", {"end_phrase": "Bye."}, 'x "bye."', None),
    ("startend:end_checker", {"end_phrase": "Bye."}, "x bye. No", [" No"]),
    ("startend:end_checker", {"end_phrase": "Bye."}, "x", [END]),
    ("startend:start_checker", {"start_phrase": "Well"}, "well, x", None),
    ("startend:start_checker", {"start_phrase": "Well"}, "No. x", ["No."]),
    ("startend:quotation", {}, ' "a" ', None),
    ("startend:quotation", {}, 'a"', ["a"]),
    ("startend:quotation", {}, '"a', [END]),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        "AB-C and D!",
        None,
    ),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 1, "capital_relation": "less than"},
        "A b",
        ["A"],
    ),
    ("change_case:english_capital", {}, ENGLISH.upper(), None),
    ("change_case:english_capital", {}, "THIS is IT", ["is"]),
    ("change_case:english_lowercase", {}, ENGLISH, None),
    ("change_case:english_lowercase", {}, "This is It", ["This", "It"]),
    ("punctuation:no_comma", {}, "a b", None),
    ("punctuation:no_comma", {}, "a, b, c", [",", ","]),
]


@pytest.mark.parametrize(("name", "arguments", "text", "broken"), CASES)
def test_an_instruction_is_followed_or_broken_where_it_is(name, arguments, text, broken):
    found = Instruction(name, arguments).check(text)
    assert found.followed == (broken is None)
    said = [END if a == b == len(text) else text[a:b] for a, b in found.spans]
    assert said == (broken or [])


def test_every_instruction_of_ifeval_is_there_and_tried():
    assert len(CHECKS) - len(NOT_IN_IFEVAL) == 25
    tried = {(name, broken is None) for name, _, _, broken in CASES}
    assert tried == {(name, followed) for name in CHECKS for followed in (True, False)}


@pytest.mark.parametrize("name", CHECKS)
def test_a_blank_answer_follows_nothing(name):
    arguments = next(arguments for n, arguments, _, _ in CASES if n == name)
    found = Instruction(name, arguments).check(" \n")
    assert (found.followed, found.spans) == (False, ((2, 2),))


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("punctuation:no_comma", {}, "Sure, here you are:\nNo marks"),
        ("punctuation:no_comma", {}, "No marks\nWell, bye"),
        ("punctuation:no_comma", {}, "Well, yes\nNo marks\nWell, bye"),
        ("startend:start_checker", {"start_phrase": "Title"}, "**Title** x"),
        ("detectable_format:json_format", {}, "Here it is:\n{}\n"),
    ],
)
def test_loosely_a_frame_and_asterisks_do_not_count(name, arguments, text):
    instruction = Instruction(name, arguments)
    assert not instruction.check(text).followed
    assert instruction.is_followed_loosely(text)
    assert not Instruction("punctuation:no_comma").is_followed_loosely("a, b")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"id": "punctuation:no_coma"}, "did you mean 'punctuation:no_comma'"),
        ({"id": "xyz"}, "known are keywords:existence"),
        ({"punctuation": "no_comma"}, "an instruction is"),
        ({"id": WORDS, "num_words": 3}, "'relation' is not given"),
        ({"id": WORDS, "num_words": 3, "relation": "about"}, "one of less than"),
        ({"id": WORDS, "num_words": "3", "relation": "at least"}, "must be a whole number"),
        ({"id": WORDS, "num_words": -1, "relation": "at least"}, "must be a whole number"),
        ({"id": WORDS, "num_words": True, "relation": "at least"}, "must be a whole number"),
        ({"id": "punctuation:no_comma", "x": 1}, "has no arguments; 'x' is none of them"),
        ({"id": "keywords:existence", "keywords": "a"}, "must be a list of texts"),
        ({"id": "keywords:existence", "keywords": []}, "must be a list of texts"),
        ({"id": "keywords:existence", "keywords": ["a", 1]}, "must be a list of texts"),
        (
            {"id": "keywords:existence", "keywords": ["a", " "]},
            "none of them blank, found ['a', ' ']",
        ),
        ({"id": "keywords:forbidden_words", "forbidden_words": [""]}, "none of them blank"),
        ({"id": "startend:end_checker", "end_phrase": " "}, "must be text"),
    ],
)
def test_what_is_no_instruction_is_refused(given, said):
    with pytest.raises(ValueError, match="instruction") as error:
        from_options([given])
    assert said in str(error.value)


LANGUAGE = "language:response_language"
LETTERS = "keywords:letter_frequency"


def letters(letter, number=1, relation="at least"):
    return {"letter": letter, "let_frequency": number, "let_relation": relation}


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        (
            LANGUAGE,
            {"language": "english"},
            "language must be a code .*, found 'english'. Known are",
        ),
        (LANGUAGE, {"language": "xx"}, "Known are .* de, .* en, .* zh"),
        (LANGUAGE, {"language": "en_US"}, "found 'en_US'"),
        (NTH, nth(2, 5, "x"), "nth_paragraph must be .* from 1 to num_paragraphs=2, found 5"),
        (NTH, nth(2, 0, "x"), "nth_paragraph must be a whole number from 1, found 0"),
        (NTH, nth(2, 1, "two words"), "first_word must be one word, .* found 'two words'"),
        (NTH, nth(2, 1, "hi,"), "first_word must be one word, .* found 'hi,'"),
        (NTH, nth(2, 1, ""), "first_word must be text that is not blank, found ''"),
        (
            PARAGRAPHS,
            {"num_paragraphs": 0},
            "num_paragraphs must be a whole number from 1, found 0",
        ),
        (LETTERS, letters("ll"), "letter must be one character, found 'll'"),
        (
            LETTERS,
            letters("l", relation="around"),
            "let_relation must be one of less than, .*around",
        ),
        (LETTERS, letters("l", 0, "less than"), "let_frequency must be above 0 where let_relation"),
        (WORDS, words(0, "less than"), "num_words must be above 0 where relation is 'less than'"),
        (WORDS, words(-5, "less than"), "num_words must be a whole number from 0, found -5"),
        (
            "startend:end_checker",
            {"end_phrase": 'Bye."'},
            "end_phrase must be text that does not end",
        ),
        ("startend:start_checker", {"start_phrase": '"Hi'}, "start_phrase must be .* not begin"),
    ],
)
def test_arguments_that_no_answer_could_follow_are_refused_by_name(name, arguments, said):
    with pytest.raises(ValueError, match=f"instruction '{name}': .*{said}"):
        Instruction(name, arguments)


@pytest.mark.parametrize("code", ["en", "zh-cn", "pt-BR", "kn", "sw", "ne"])
def test_codes_of_languages_are_those_of_ifeval(code):
    assert Instruction(LANGUAGE, {"language": code}).arguments == {"language": code}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (NTH, nth(7, 7, "Summary")),
        (LETTERS, letters("#", 4)),
        (LETTERS, letters("c", 1, "less than")),
        (WORDS, words(0, "at most")),
        (BULLETS, {"num_bullets": 0}),
    ],
)
def test_arguments_that_can_be_followed_are_taken(name, arguments):
    assert Instruction(name, arguments).arguments == arguments


def test_rows_are_read_as_the_published_tables_have_them():
    sets = [{"num_words": 3.0, "relation": "at least", "keywords": None}, {"num_words": None}, None]
    names = [WORDS, "punctuation:no_comma", "detectable_format:title"]
    found = from_columns(names, sets)
    assert found[0] == Instruction(WORDS, {"num_words": 3, "relation": "at least"})
    assert [each.arguments for each in found[1:]] == [{}, {}]
    assert from_columns('["punctuation:no_comma"]', "[{}]") == (found[1],)


@pytest.mark.parametrize(
    ("ids", "arguments", "said"),
    [
        (["a"], [], "1 instructions, but 0 sets"),
        (
            "punctuation:no_comma",
            [{}],
            "the column 'instruction_id_list' must hold a list, .* found 'punctuation:no_comma'$",
        ),
        (3, [{}], r"'instruction_id_list' must hold a list, .* found '3' \(int\)"),
        (
            [None],
            [{}],
            "'instruction_id_list' must hold names of instructions, found nothing among",
        ),
        (["punctuation:no_comma"], None, "the column 'kwargs' must hold a list, .* found nothing"),
        (
            ["punctuation:no_comma"],
            ["x"],
            "'kwargs' must hold the arguments .* found 'x' for 'punctuation:no_comma'",
        ),
        (
            ["punctuation:no_comma"],
            [[]],
            r"'kwargs' must hold the arguments .* found '\[\]' \(list\)",
        ),
    ],
)
def test_columns_of_another_form_are_refused(ids, arguments, said):
    with pytest.raises(ValueError, match=said):
        from_columns(ids, arguments)
