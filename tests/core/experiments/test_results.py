"""From the logs of an ablation to results.csv and results.md."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tgdpo_core.errors import CheckpointError, UsageError
from tgdpo_core.experiments.collection import collect
from tgdpo_core.experiments.comparison import results_of
from tgdpo_core.experiments.results import write_results


def written(folder: Path) -> str:
    """Return results.md of an ablation; minus signs as people type them."""
    return results_of(collect(folder)).markdown().replace("\N{MINUS SIGN}", "-")


def table(text: str, title: str) -> dict[str, dict[str, str]]:
    """Return a table of results.md: first cell of a row -> column -> text."""
    _, _, rest = text.partition(f"## {title}\n\n")
    columns, _, *rows = (
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in rest.partition("\n\n")[0].splitlines()
    )
    return {row[0]: dict(zip(columns, row, strict=True)) for row in rows}


def paragraphs(text: str) -> list[str]:
    """Return the findings: what stands between the title and the first table."""
    return text.partition("\n\n## ")[0].split("\n\n")[1:]


@pytest.fixture
def two_cells(ablation: Any) -> Any:
    """Three seeds; tgdpo is better by .1, .2, .3 at its peak and worse by .1 at the end."""
    for seed, base in enumerate((0.3, 0.4, 0.2)):
        ablation.judged("dpo", [0.1, base, base - 0.1], seed, kl=[0, 1, 2])
        gain = 0.1 * (seed + 1)
        ablation.judged(
            "tgdpo",
            [0.1, base, base + gain, base - 0.2],
            seed,
            kl=[0, 2, 4, 8],
            settings={"reward": "induced", "beta": 0.1, "alpha": 0.5},
            trained={
                "weights/mean_chosen": 1.25,
                "weights/mean_rejected": 0.75,
                "logps/chosen_delta": -2.0,
            },
        )
    return ablation


def test_the_main_table_by_hand(two_cells: Any) -> None:
    rows = table(written(two_cells.folder), "Results")
    # dpo: peak at epoch 1, mean of .3 .4 .2; standard error .1 / sqrt(3).
    assert rows["dpo"]["peak: judge, sampled (epoch)"] == "0.300 ± 0.058 (1)"
    assert rows["dpo"]["end: judge, sampled"] == "0.200 ± 0.058"
    assert rows["dpo"]["against the baseline"] == "is the baseline"
    # tgdpo: peak at epoch 2 (.4 .6 .5); differences to dpo's own peak .1 .2 .3.
    assert rows["tgdpo"]["peak: judge, sampled (epoch)"] == "0.500 ± 0.058 (2)"
    assert rows["tgdpo"]["peak - baseline"].startswith("+0.200 [+0.1")
    assert rows["tgdpo"]["end - baseline"] == "-0.100 [-0.100, -0.100]"
    assert rows["tgdpo"]["against the baseline"] == "peak not distinguishable, end below"
    assert (rows["dpo"]["compared with"], rows["tgdpo"]["compared with"]) == ("\N{EN DASH}", "dpo")
    assert rows["tgdpo"]["mean f_w / f_l"] == "1.25 / 0.75"
    assert rows["tgdpo"]["KL at end"] == "8.00"
    assert rows["tgdpo"]["chosen log-prob. change"] == "-2.00"
    assert rows["tgdpo"]["loss at end"] == "0.200"  # .6 / 3
    assert rows["tgdpo"]["seeds"] == "3"


def test_the_csv_has_a_row_per_cell_seed_and_evaluation(two_cells: Any) -> None:
    write_results(two_cells.folder)
    found = pd.read_csv(two_cells.folder / "results.csv")
    assert len(found) == 3 * 3 + 3 * 4
    row = found[(found.cell == "tgdpo") & (found.seed == 1) & (found.step == 20)].iloc[0]
    assert row["epoch"] == 2
    assert row["judge/sampled"] == pytest.approx(0.6)
    assert row["judge/kl"] == 4
    assert row["loss"] == pytest.approx(0.3)
    assert (row["settings/reward"], row["settings/alpha"]) == ("induced", 0.5)
    assert (row["variant"], row["control"], row["baseline"]) == ("tgdpo", False, "dpo")
    assert "tokens_per_second" not in found.columns


def test_training_metrics_are_means_since_the_evaluation_before(ablation: Any) -> None:
    rows = [{"step": step, "epoch": step / 4, "loss": float(step)} for step in (1, 2, 3, 4)]
    judged = [{"step": step, "epoch": step / 4, "judge/sampled": 0.5} for step in (2, 4)]
    ablation.done("dpo", [*rows, *judged])
    write_results(ablation.folder)
    found = pd.read_csv(ablation.folder / "results.csv")
    assert found["loss"].tolist() == [1.5, 3.5]


def test_a_step_that_was_logged_twice_counts_once_with_its_last_values(ablation: Any) -> None:
    """A resumed run logs the steps after its checkpoint again."""
    twice = [{"step": 1, "epoch": 1.0, "loss": 9.0}, {"step": 1, "epoch": 1.0, "loss": 0.4}]
    ablation.done("dpo", [*twice, {"step": 1, "epoch": 1.0, "judge/sampled": 0.5}])
    write_results(ablation.folder)
    found = pd.read_csv(ablation.folder / "results.csv")
    assert found["loss"].tolist() == [0.4]


def test_what_may_be_said_is_said_at_the_peak_and_at_the_end(ablation: Any) -> None:
    noise = (0.01, -0.01, 0.02, 0.0)
    for seed, e in enumerate(noise):
        ablation.judged("dpo", [0.3, 0.5, 0.5], seed)
        ablation.judged("better", [0.3, 0.7 + e, 0.4 + e], seed)
        ablation.judged("same", [0.3, 0.49 + 2 * e, 0.49 + 2 * e], seed)
    found = paragraphs(written(ablation.folder))
    assert found[0] == (
        "Of 2 cells compared at the peak: 1 above the baseline, 1 not distinguishable from the "
        "baseline."
    )
    assert found[1].startswith("Above at the peak: better (+0.205 [+0.19")
    assert found[2] == "Not distinguishable at the peak: same."
    assert found[3].startswith("Of 2 cells compared at the end: 1 below the baseline, 1 not")
    assert found[4].startswith("Below at the end: better (-0.095 [")
    assert found[5] == "Not distinguishable at the end: same."
    assert found[6] == (
        "The best peak is 0.705 ± 0.006 (judge, sampled; better, epoch 1); at its end, epoch 2, "
        "that cell is at 0.405 ± 0.006."
    )


def test_one_seed_makes_no_statement(ablation: Any) -> None:
    ablation.judged("dpo", [0.3, 0.5])
    ablation.judged("tgdpo", [0.3, 0.9])
    text = written(ablation.folder)
    found = paragraphs(text)
    assert found[0] == "One seed: no statement about any difference is possible."
    assert found[1].startswith("The best peak is 0.900 (")
    row = table(text, "Results")["tgdpo"]
    assert row["peak - baseline"] == "+0.400"
    assert row["against the baseline"] == "undecided (one seed)"


def test_a_cell_with_one_common_seed_is_counted_by_itself(ablation: Any) -> None:
    for seed in range(3):
        ablation.judged("dpo", [0.3, 0.5], seed)
        ablation.judged("same", [0.3, 0.5], seed)
    ablation.judged("few", [0.3, 0.9], 1)
    ablation.add("few", 2)
    found = paragraphs(written(ablation.folder))
    assert found[0] == (
        "Of 2 cells compared at the end: 1 not distinguishable from the baseline, 1 undecided (one "
        "seed)."
    )
    assert "Undecided (one seed) at the end: few." in found


def test_where_every_peak_is_the_end_it_is_said_once(ablation: Any) -> None:
    for seed in range(3):
        ablation.judged("dpo,beta=0.1", [0.3, 0.4, 0.5], seed, baseline="dpo,beta=0.1")
        ablation.judged("dpo,beta=0.5", [0.3, 0.4, 0.6], seed, baseline="dpo,beta=0.1")
        ablation.judged("tgdpo", [0.3, 0.4, 0.7], seed, baseline="dpo,beta=0.1")
    text = "\n".join(paragraphs(written(ablation.folder)))
    assert "compared at the end: 2 above the baseline." in text
    assert text.count("best-tuned") == 1
    assert "at the peak" not in text


def test_every_cell_is_compared_with_its_own_baseline(ablation: Any) -> None:
    for seed in range(2):
        ablation.judged("dpo,beta=0.1", [0.1, 0.2], seed, baseline="dpo,beta=0.1")
        ablation.judged("dpo,beta=0.5", [0.1, 0.6], seed, baseline="dpo,beta=0.5")
        ablation.judged("tgdpo,beta=0.1", [0.1, 0.5], seed, baseline="dpo,beta=0.1")
        ablation.judged("tgdpo,beta=0.5", [0.1, 0.5], seed, baseline="dpo,beta=0.5")
        ablation.judged("alone", [0.1, 0.5], seed, baseline=None)
    rows = table(written(ablation.folder), "Results")
    assert rows["tgdpo,beta=0.1"]["peak - baseline"] == "+0.300 [+0.300, +0.300]"
    assert rows["tgdpo,beta=0.5"]["peak - baseline"] == "-0.100 [-0.100, -0.100]"
    assert rows["dpo,beta=0.5"]["against the baseline"] == "is the baseline"
    assert rows["alone"]["against the baseline"] == "no baseline"


def test_the_best_tuned_baseline_is_the_one_to_beat(ablation: Any) -> None:
    for seed in range(3):
        ablation.judged("dpo,beta=0.1", [0.1, 0.4, 0.3], seed, baseline="dpo,beta=0.1")
        ablation.judged("dpo,beta=0.5", [0.1, 0.6, 0.2], seed, baseline="dpo,beta=0.1")
        ablation.judged("tgdpo", [0.1, 0.5, 0.5], seed, baseline="dpo,beta=0.1")
    text = written(ablation.folder)
    row = table(text, "Against the best-tuned baseline")["tgdpo"]
    # Peak: 0.5 against 0.6 of beta 0.5; end: 0.5 against 0.3 of beta 0.1.
    assert list(row.values())[1:] == [
        *("-0.100 [-0.100, -0.100]", "below"),
        *("+0.200 [+0.200, +0.200]", "above"),
    ]
    assert list(row)[1] == "peak - dpo,beta=0.5"
    assert list(row)[3] == "end - dpo,beta=0.1"
    assert "at the peak, dpo,beta=0.5, is beaten by no other variant." in text
    assert "at the end, dpo,beta=0.1, is beaten by tgdpo (+0.200 [+0.200, +0.200])." in text


def test_a_baseline_of_one_cell_has_no_table_of_its_own(two_cells: Any) -> None:
    assert "best-tuned" not in written(two_cells.folder)


def test_matched_kl_compares_where_both_have_moved_as_far(two_cells: Any) -> None:
    rows = table(written(two_cells.folder), "At equal KL(policy || reference)")
    # At 1 nat dpo is at epoch 1 (.3 .4 .2); tgdpo half-way between .1 and the same.
    assert rows["dpo"]["judge, sampled at KL 1"] == "0.300 ± 0.058"
    assert rows["tgdpo"]["judge, sampled at KL 1"] == "0.200 ± 0.029"
    assert rows["tgdpo"]["difference at KL 1"].startswith("-0.100 [")


def test_seeds_that_do_not_move_so_far_are_counted(ablation: Any) -> None:
    ablation.judged("dpo", [0.1, 0.5], 0, kl=[0, 1])
    ablation.judged("dpo", [0.1, 0.5], 1, kl=[0, 3])
    rows = table(written(ablation.folder), "At equal KL(policy || reference)")
    assert rows["dpo"]["judge, sampled at KL 0.5"].startswith("0.233 ± 0.067")  # .3 and .1667
    assert rows["dpo"]["judge, sampled at KL 2"] == "0.367 (1 of 2 seeds)"


def test_the_diagnostics_are_means_over_seeds_of_what_was_logged(ablation: Any) -> None:
    for seed, share in enumerate((0.2, 0.4)):
        ablation.judged("dpo", [0.1, 0.5], seed)
        trained = {"weighted/label_free_share": share, "rewards/accuracies": 0.75}
        ablation.judged("tgdpo", [0.1, 0.5], seed, trained=trained)
    rows = table(written(ablation.folder), "Diagnostics at the end of training")
    assert rows["tgdpo"] == {"cell": "tgdpo", "label-free share": "0.300", "accuracy": "0.750"}
    assert rows["dpo"]["accuracy"] == "\N{EN DASH}"


def test_runs_without_a_result_are_listed_with_the_reason(ablation: Any) -> None:
    for seed in range(2):
        ablation.judged("dpo", [0.3, 0.5], seed)
    ablation.judged("tgdpo", [0.3, 0.6], 0)
    failed = ablation.add("tgdpo", 1)
    failed.mkdir(parents=True)
    record = {"status": "failed", "error": "NumericError: The loss is nan.\nSecond line"}
    (failed / "run.json").write_text(json.dumps(record))
    ablation.add("never", 0)
    text = written(ablation.folder)
    rows = table(text, "Runs without a result")
    assert rows["tgdpo"] == {"cell": "tgdpo", "seed": "1", "why": "NumericError: The loss is nan."}
    assert rows["never"]["why"] == "not run"
    assert table(text, "Results")["tgdpo"]["seeds"] == "1 of 2"
    assert "never" not in table(text, "Results")
    assert "2 runs without a result: see below." in text


def test_what_the_executor_noted_comes_first(ablation: Any) -> None:
    run = ablation.add("dpo")
    run.mkdir(parents=True)
    (run / "error.txt").write_text("The worker was killed (signal 9).\n")
    (run / "run.json").write_text('{"status": "running"}')
    assert "The worker was killed (signal 9)." in written(ablation.folder)


def test_of_losses_the_lowest_is_best_and_below_is_better(ablation: Any) -> None:
    for seed, e in enumerate((0.01, -0.01, 0.0)):
        for name, losses in (("dpo", (0.6, 0.5)), ("tgdpo", (0.4 + e, 0.45 + e))):
            rows = [
                {"step": n, "epoch": float(n), "loss": 0.7, "eval_loss": loss}
                for n, loss in enumerate(losses, start=1)
            ]
            ablation.done(name, rows, seed)
    text = written(ablation.folder)
    row = table(text, "Results")["tgdpo"]
    assert row["peak: evaluation loss (epoch)"] == "0.400 ± 0.006 (1)"
    assert paragraphs(text)[0] == "Of 1 cell compared at the peak: 1 below (better) the baseline."
    assert row["against the baseline"] == "below (better)"


def test_a_metric_that_one_run_lacks_is_not_the_main_one(ablation: Any) -> None:
    both = {"step": 1, "epoch": 1.0, "judge/sampled": 0.5, "eval_rewards/accuracies": 0.8}
    ablation.done("dpo", [both])
    ablation.done("tgdpo", [{"step": 1, "epoch": 1.0, "eval_rewards/accuracies": 0.9}])
    text = written(ablation.folder)
    assert "peak: preference accuracy (epoch)" in table(text, "Results")["dpo"]


def test_a_judge_of_pairs_comes_before_the_losses(ablation: Any) -> None:
    row = {"step": 1, "epoch": 1.0, "eval_loss": 0.5, "eval_rewards/accuracies": 0.6}
    ablation.done("dpo", [row | {"judge/pairs": 0.7}])
    row = table(written(ablation.folder), "Results")["dpo"]
    assert row["end: judge, pairs"] == "0.700"


def test_without_evaluations_the_last_log_row_is_the_end_of_training(ablation: Any) -> None:
    rows = [{"step": step, "epoch": step / 2, "loss": 1.0 / step} for step in (1, 2)]
    ablation.done("dpo", rows)
    text = written(ablation.folder)
    assert paragraphs(text)[0].startswith("Nothing was evaluated in every finished run")
    assert table(text, "Results")["dpo"]["loss at end"] == "0.500"


def test_judged_before_training_only_there_is_nothing_to_compare(ablation: Any) -> None:
    ablation.judged("dpo", [0.3])
    assert paragraphs(written(ablation.folder)) == ["No cell was evaluated after training began."]


@pytest.mark.parametrize("planned", [False, True])
def test_an_ablation_without_a_finished_run_has_results_that_say_so(
    ablation: Any, planned: bool
) -> None:
    if planned:
        ablation.add("dpo")
    results = write_results(ablation.folder)
    assert results.findings[0] == "No run of this ablation is finished yet."
    assert pd.read_csv(ablation.folder / "results.csv").empty
    assert "No run of this ablation is finished yet." in (
        ablation.folder / "report.html"
    ).read_text(encoding="utf-8")


def test_text_of_plugins_does_not_break_the_tables(ablation: Any) -> None:
    name = "x | y <b>`\\\n\N{RIGHT-TO-LEFT OVERRIDE}"
    ablation.judged(name, [0.3, 0.5], variant="x")
    text = written(ablation.folder)
    assert table(text, "Results")["x \\| y \\<b>\\`\\\\ \\\\u202e"]["seeds"] == "1"


def test_a_second_call_replaces_what_the_first_one_wrote(two_cells: Any) -> None:
    def contents() -> dict[str, bytes]:
        made = [*two_cells.folder.glob("*.*"), *(two_cells.folder / "plots").iterdir()]
        return {path.name: path.read_bytes() for path in made}

    returned = write_results(two_cells.folder)
    first = contents()
    assert first["results.md"].decode() == returned.markdown()
    assert {"results.csv", "report.html", "metric.svg", "differences.svg"} <= set(first)
    write_results(two_cells.folder)
    assert contents() == first
    shutil.rmtree(two_cells.folder / two_cells.cells[0]["folder"])
    write_results(two_cells.folder)
    assert b"1 run without a result: see below." in contents()["results.md"]


def test_a_folder_that_holds_no_ablation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is no ablation folder: it has no cells.json"):
        write_results(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("cells.json", "[{", r"cells.json cannot be read: .*writes it anew"),
        ("cells.json", '[{"nmae": "dpo"}]', r"cells.json cannot be read: .*nmae"),
        ("{run}/run.json", "{", r"run.json cannot be read: .*runs it again"),
        ("{run}/run.json", "[]", r"run.json cannot be read: .*no JSON object.*runs it again"),
        ("{run}/logs/train.jsonl", '{"step": 1}\n{"st', r"train.jsonl line 2 .*runs it again"),
        ("{run}/logs/train.jsonl", '{"step": 1}\n3\n', r"train.jsonl line 2 .*no JSON object"),
    ],
)
def test_a_damaged_file_is_named(ablation: Any, file: str, content: str, message: str) -> None:
    ablation.judged("dpo", [0.3, 0.5])
    run = ablation.cells[0]["folder"]
    (ablation.folder / file.format(run=run)).write_text(content)
    with pytest.raises(CheckpointError, match=message):
        write_results(ablation.folder)


def test_a_finished_run_without_its_log_is_damaged(ablation: Any) -> None:
    run = ablation.judged("dpo", [0.3, 0.5])
    (run / "logs" / "train.jsonl").unlink()
    with pytest.raises(CheckpointError, match=r"train.jsonl of a finished run cannot be read"):
        write_results(ablation.folder)
