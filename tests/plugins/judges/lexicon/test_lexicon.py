"""The judge and the token reward `lexicon`."""

import pytest

from tgdpo_core import Generation, Unjudged
from tgdpo_core.data.alignment import project
from tgdpo_core.testing import make_examples
from tgdpo_plugins.judges.lexicon import Lexicon
from tgdpo_plugins.judges.lexicon.word_list import read_word_list
from tgdpo_plugins.token_rewards.lexicon import LexiconReward

AFINN = (
    "good\t3\nbad\t-3\nnot good\t-2\ncan't stand\t-3\nself-deluded\t-2\n:)\t2\nhate*\t-4\n😀\t1\n"
)


@pytest.fixture
def file(tmp_path):
    def write(text=AFINN, name="words.tsv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def score(path, text, **options):
    return Lexicon(path=path, **options).score([Generation("p", text)])[0]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A good day", [3]),
        ("GOOD, good!", [3, 3]),
        ("goodness", []),
        ("not good", [-2]),  # the phrase, not the word
        ("not  \n good", [-2]),
        ("not, good", [3]),
        ("I can't stand it", [-3]),
        ("I can’t stand it", [-3]),  # noqa: RUF001
        ("self-deluded", [-2]),
        ("nice :)", [2]),
        ("nice::)", []),
        ("hateful hate", [-4, -4]),
        ("fun😀😀", [1, 1]),
        ("", []),
    ],
)
def test_words_and_phrases_are_found(file, text, values):
    found = read_word_list(file(), value=None, keeps_case=False).hits(text)
    assert [value for _, _, value in found] == values


def test_the_score_is_the_mean_over_all_words_or_the_sum(file):
    assert score(file(), "A good bad good day") == pytest.approx(3 / 5)
    assert score(file(), "A good bad good day", scores="sum") == 3
    assert score(file(), "nothing said") == 0


@pytest.mark.parametrize(("text", "reason"), [(" \n", "empty answer"), ("...", "without words")])
def test_an_answer_without_words_is_unjudged(file, text, reason):
    found = score(file(), text)
    assert isinstance(found, Unjudged)
    assert reason in found.reason


def test_case_counts_only_if_asked_for(file):
    path = file("US\t1\nus\t-1\n")
    with pytest.raises(ValueError, match=r"words.tsv:2: 'us' has the value -1, and 1 .*case=true"):
        score(path, "us")
    assert score(path, "US us us", scores="sum", case=True) == -1


def test_words_without_values_need_one(file):
    path = file("# bad words\ndamn\nf**k\n")
    with pytest.raises(ValueError, match=r"words.tsv:2: 'damn' has no value. Say .* value=-1"):
        score(path, "damn")
    assert score(path, "Damn, f**k it", value=-1, scores="sum") == -2


def test_a_csv_file_may_have_a_header(file):
    path = file('word,value\ngood,3\n"well, well",1\n', "words.csv")
    assert score(path, "good", scores="sum") == 3
    assert score(path, "well, well", scores="sum") == 1


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Word\tValence\ngood\t3\n", "words.tsv"),
        ("# mine\n\nterm,sentiment_score\ngood,3\n", "words.csv"),
        ("word,V.Mean.Sum\ngood,3\n", "words.csv"),
    ],
)
def test_a_header_names_its_column_of_values(file, text, name):
    found = read_word_list(file(text, name), value=None, keeps_case=False)
    assert found.values == {"good": 3}


@pytest.mark.parametrize(
    "value", ["nan", "inf", "-1,5", "", " ", "x", "NA", "none", "no value", "1_0"]
)
@pytest.mark.parametrize("separator", ["\t", ","])
@pytest.mark.parametrize("above", ["", "# remark\n\n", "good{0}3\n"])
def test_a_first_line_without_a_number_is_no_header(file, value, separator, above):
    name = "words.csv" if separator == "," else "words.tsv"
    cell = f'"{value}"' if separator == "," else value
    path = file(f"{above.format(separator)}awful{separator}{cell}\nbad{separator}-1\n", name)
    number = above.count("\n") + 1
    with pytest.raises(ValueError, match=rf"{name}:{number}: expected a word and a finite number"):
        Lexicon(path=path).validate()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('"bad, very"', "words.csv:2: 'bad, very' has no value. Say .* write word,value"),
        ('"bad, very', r"words.csv:2: '\"bad, very' cannot be read as CSV .unexpected end"),
        ('"bad" very,2', "words.csv:2: .* cannot be read as CSV"),
        ('"",2', "words.csv:2: expected a word"),
        ('""', "words.csv:2: expected a word"),
        ("bad;2", "words.csv:2: 'bad;2' is no line of this table"),
        ("bad;1,5", "words.csv:2: 'bad;1,5' is no line of this table"),
        ("bad\t1,5", "words.csv:2: .* is no line of this table"),
    ],
)
@pytest.mark.parametrize("value", [None, -1.0])
def test_a_damaged_line_of_a_csv_file_is_refused_with_its_number(file, line, said, value):
    if value and "has no value" in said:
        assert score(file(f"good,3\n{line}\n", "words.csv"), "bad, very", value=value) == -0.5
        return
    with pytest.raises(ValueError, match=said):
        Lexicon(path=file(f"good,3\n{line}\n", "words.csv"), value=value).validate()


def test_lines_end_at_line_breaks_alone(file):
    path = file("good\u2028day\t2\nbad\tx\n")
    with pytest.raises(ValueError, match=r"words.tsv:2: expected a word"):
        Lexicon(path=path).validate()
    assert score(file("good\u2028day\t2\n"), "good day", scores="sum") == 2


def test_columns_behind_the_value_are_not_read(file):
    assert score(file("good\t1.9\t0.9\t[2, 1, 1]\n"), "good") == 1.9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("good\t3\nbad\tx\n", "words.tsv:2: expected a word and a finite number"),
        ("good\t3\nbad\tnan\n", "words.tsv:2: expected a word and a finite number"),
        ("good\t3\n\t1\n", "words.tsv:2: expected a word"),
        ("good\t3\ngood\t2\n", "words.tsv:2: 'good' has the value 2, and 3 further above"),
        ("# only\n", "has no words"),
    ],
)
def test_a_damaged_list_is_refused_with_its_line(file, text, said):
    with pytest.raises(ValueError, match=r"words\.tsv") as error:
        Lexicon(path=file(text)).validate()
    assert said in str(error.value)


def test_a_list_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"word list /nowhere: .*No such file"):
        Lexicon(path="/nowhere").validate()


def test_words_of_negative_value_are_error_spans(file):
    batch = [Generation("p", "good and bad"), Generation("p", "")]
    assert Lexicon(path=file()).error_spans(batch) == [[(9, 12)], []]
    assert Lexicon(path=file(), errors="positive").error_spans(batch) == [[(0, 4)], []]


def test_how_many_words_the_list_has_is_recorded(file):
    judge = Lexicon(path=file())
    judge.score([Generation("p", "good and bad")])
    assert judge.record() == {"words": 3, "words_in_list": 2}


@pytest.mark.parametrize("how", ["sum", "mean"])
def test_the_token_reward_gives_words_their_values(file, how):
    rows = [{"prompt": "p ", "chosen": "a good bad day", "rejected": "hateful"}]
    reward = LexiconReward(path=file(), how=how)
    for example in make_examples(rows):
        spans = reward.score([example])[0]
        values = project(spans, example.offsets, len(example.response))
        expected = Lexicon(path=file(), scores="sum").score([Generation("p", example.response)])
        if how == "sum":
            assert values.sum() == pytest.approx(expected[0])
        else:
            assert set(values) <= {0.0, 3.0, -3.0, -4.0}


def test_the_words_name_the_stored_values_not_the_file(file):
    one, moved = (LexiconReward(path=file(name=name)) for name in ("a.tsv", "b.tsv"))
    other = LexiconReward(path=file("good\t2\n", "c.tsv"))
    assert one.fingerprint() == moved.fingerprint() != other.fingerprint()
    assert "path" not in one.options(stored_only=True)
