"""Exports of 20 answers, taken by the benchmarks' own packages: `make test-readers`.

AlpacaEval and FastChat are packages; Arena-Hard is none, and is read as its repository does.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

pytest.importorskip("alpaca_eval", reason="make test-readers")
pytest.importorskip("fastchat", reason="make test-readers")
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of packages that are older than their dependencies
    pytest.mark.checkout,
]

from alpaca_eval import main as alpaca_eval  # noqa: E402 - after importorskip
from alpaca_eval import metrics  # noqa: E402
from alpaca_eval import utils as alpaca_utils  # noqa: E402
from fastchat.llm_judge import common as fastchat  # noqa: E402

from tgdpo_cli.main import cli  # noqa: E402
from tgdpo_core.exchange.markdown_counts import markdown_counts  # noqa: E402
from tgdpo_core.exchange.written_answers import MT_BENCH_TEMPERATURES  # noqa: E402
from tgdpo_core.generation.answers import Answer, AnsweredPrompt, write_answers  # noqa: E402

NUM = 20
SHARED = Path(os.environ.get("TGDPO_SHARED", Path(__file__).parents[3] / "shared"))


def run(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [*map(str, arguments)])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def lines(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def mt_bench_questions() -> list[dict[str, Any]]:
    """Return 20 questions of every category, the published ones where they lie beside us."""
    published = SHARED / "data" / "mt_bench_questions.jsonl"
    if published.exists():
        rows = [json.loads(line) for line in published.read_text().splitlines()]
        return rows[:: len(rows) // NUM][:NUM]
    kinds = [*MT_BENCH_TEMPERATURES][:8]
    return [
        {"question_id": 81 + i, "category": kinds[i % 8], "turns": [f"What is {i}?", "And then?"]}
        for i in range(NUM)
    ]


@pytest.fixture
def mt_bench(tmp_path: Path) -> tuple[list[dict[str, Any]], Path]:
    questions = mt_bench_questions()
    answered = []
    for row in questions:
        first, second = row["turns"]
        said = f"First, {first[:20]}"
        talk = [("user", first), ("assistant", said), ("user", second)]
        later = [{"role": role, "content": text} for role, text in talk]
        answered += [
            AnsweredPrompt(first, (Answer(said, True, 5),)),
            AnsweredPrompt(later, (Answer(f"Second, {second[:20]}", True, 5),)),
        ]
    write_answers(tmp_path / "mine.jsonl", answered)
    path = lines(tmp_path / "q.jsonl", questions)
    run("export", "mt-bench", tmp_path / "mine.jsonl", "--prompts", path, "--output-dir", tmp_path)
    return questions, tmp_path / "data" / "mt_bench"


def test_fastchat_finds_both_turns_of_every_question(mt_bench: Any) -> None:
    questions, folder = mt_bench
    assert fastchat.load_questions(str(folder / "question.jsonl"), None, None) == questions
    answers = fastchat.load_model_answers(str(folder / "model_answer"))
    assert list(answers) == fastchat.get_model_list(str(folder / "model_answer")) == ["mine"]
    fastchat.check_data(questions, answers, {}, ["mine"], {})
    assert all(len(a["choices"][0]["turns"]) == 2 for a in answers["mine"].values())
    assert len(answers["mine"]) == NUM


def test_fastchat_judges_what_was_exported_and_its_files_are_read(
    mt_bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own matches, with a judge that answers here: scores by the length of the prompt."""
    questions, folder = mt_bench
    said = []

    def reply(model: str, conversation: Any, **_: Any) -> str:
        said.append(conversation.messages[-2][1])
        return f"Rating: [[{len(said[-1]) % 10 + 1}]]"

    monkeypatch.setattr(fastchat, "chat_completion_openai", reply)
    answers = fastchat.load_model_answers(str(folder / "model_answer"))["mine"]
    file = tmp_path / "gpt-4_single.jsonl"
    texts = {
        False: "[Q] {question} [A] {answer}",
        True: "{question_1} {answer_1} {question_2} {answer_2}",
    }
    for multi_turn, text in texts.items():
        prompt = {
            "name": "single-v1",
            "type": "single",
            "system_prompt": "",
            "prompt_template": text,
            "output_format": "[[rating]]",
        }
        judge = fastchat.Judge("gpt-4", prompt, multi_turn=multi_turn)
        for row in questions:
            match = fastchat.MatchSingle(
                row, "mine", answers[row["question_id"]], judge, multi_turn=multi_turn
            )
            fastchat.play_a_match_single(match, str(file))
    assert len(said) == 2 * NUM
    printed = run("import", "mt-bench", file, "--output-dir", tmp_path / "back", "--json")
    (headline,) = json.loads(printed)["headlines"]
    judged = fastchat.load_single_model_judgments(str(file))[("gpt-4", "single-v1")]
    second = [value["score"] for value in judged.values()]  # it keeps the last turn of each
    assert headline["values"]["second turn"] == pytest.approx(sum(second) / NUM)
    assert headline["values"]["judgements"] == 2 * NUM


def test_our_temperatures_are_those_of_fastchat() -> None:
    assert dict(MT_BENCH_TEMPERATURES) == fastchat.temperature_config


@pytest.fixture
def alpaca(tmp_path: Path) -> Path:
    rows = [
        {"instruction": f"Say {i}.", "dataset": "own", "output": "x" * i, "generator": "base"}
        for i in range(NUM)
    ]
    answered = [
        AnsweredPrompt(r["instruction"], (Answer(f"It is {i}", True, 2),))
        for i, r in enumerate(rows)
    ]
    write_answers(tmp_path / "mine.jsonl", answered)
    (tmp_path / "reference.json").write_text(json.dumps(rows))
    path = tmp_path / "reference.json"
    run(
        "export",
        "alpaca-eval",
        tmp_path / "mine.jsonl",
        "--prompts",
        path,
        "--output-dir",
        tmp_path,
    )
    return tmp_path


def test_alpaca_eval_reads_outputs_and_config(alpaca: Path) -> None:
    table = alpaca_utils.load_or_convert_to_dataframe(alpaca / "results/mine/model_outputs.json")
    assert len(table) == NUM
    assert alpaca_utils.get_generator_name(None, table) == "mine"
    assert list(alpaca_utils.load_configs("mine", relative_to=alpaca / "models_configs")) == [
        "mine"
    ]


def test_alpaca_eval_judges_what_was_exported_and_its_file_is_read(
    alpaca: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own evaluation, offline, with its judge for tests; win rates equal to its leaderboard."""
    (alpaca / "prompt.txt").write_text("{instruction} {output_1} {output_2}")
    config = {
        "here": {
            "prompt_template": str(alpaca / "prompt.txt"),
            "fn_completions": "test_completions",
            "completions_kwargs": {"value": "Output (a)"},
            "completion_parser_kwargs": {
                "outputs_to_match": {1: r"Output \(a\)", 2: r"Output \(b\)"}
            },
            "batch_size": 1,
        }
    }
    (alpaca / "configs.yaml").write_text(yaml.safe_dump(config))
    board, annotations = alpaca_eval.evaluate(
        model_outputs=str(alpaca / "results/mine/model_outputs.json"),
        reference_outputs=str(alpaca / "reference.json"),
        annotators_config=str(alpaca / "configs.yaml"),
        fn_metric="get_winrate",
        sort_by="win_rate",
        precomputed_leaderboard=None,
        output_path=str(alpaca / "judged"),
        is_return_instead_of_print=True,
        caching_path=None,
    )
    assert len(annotations) == NUM
    file = next((alpaca / "judged").rglob("annotations.json"))
    out = json.loads(run("import", "alpaca-eval", file, "--output-dir", alpaca / "back", "--json"))
    (headline,) = out["headlines"]
    assert 0 < headline["values"]["win_rate"] < 100
    for name in ("win_rate", "standard_error", "n_wins", "n_draws", "discrete_win_rate"):
        assert headline["values"][name] == pytest.approx(board.loc["mine", name])


@pytest.mark.parametrize(
    "preferences", [[1, 2, 0, 2], [1.0, 1.3, 1.5, 1.99], [1, None, 2, float("nan")]]
)
def test_win_rates_are_those_of_alpaca_eval(preferences: list[Any], tmp_path: Path) -> None:
    rows = [
        {
            "instruction": f"{i}",
            "generator_1": "base",
            "generator_2": "mine",
            "output_1": "a",
            "output_2": "b",
            "annotator": "j",
            "preference": preference,
        }
        for i, preference in enumerate(preferences)
    ]
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(rows))
    theirs = metrics.get_winrate(rows)
    out = json.loads(run("import", "alpaca-eval", path, "--output-dir", tmp_path / "o", "--json"))
    (headline,) = out["headlines"]
    assert headline["values"] == pytest.approx({k: float(v) for k, v in theirs.items()})


def test_arena_hard_answers_are_read_as_its_repository_does(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    questions = [{"uid": f"u{i}", "category": "hard_prompt", "prompt": f"P{i}"} for i in range(NUM)]
    answered = [AnsweredPrompt(q["prompt"], (Answer("# A\n- **b**", True, 9),)) for q in questions]
    write_answers(tmp_path / "mine.jsonl", answered)
    path = lines(tmp_path / "q.jsonl", questions)
    run(
        *("export", "arena-hard", tmp_path / "mine.jsonl", "--prompts", path),
        *("--output-dir", tmp_path, "--token-count", "model"),
    )
    table = pandas.read_json(tmp_path / "data/arena-hard-v2.0/model_answer/mine.jsonl", lines=True)
    assert table.iloc[0]["model"] == "mine"
    assert set(table["messages"].map(lambda m: m[-1]["content"]["answer"])) == {"# A\n- **b**"}
    styles = table.set_index("uid")["metadata"].to_dict()
    assert styles["u0"] == {"token_len": 8, **markdown_counts("# A\n- **b**")}
    # Its style control: every entry is a number, or a dict of numbers that are added up.
    assert [v if isinstance(v, int) else sum(v.values()) for v in styles["u0"].values()] == [
        8,
        1,
        1,
        1,
    ]
