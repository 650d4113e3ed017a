"""The rows of the fault table: what goes wrong, what a user gets, and tests of other rooms."""

from typing import NamedTuple

_VALUES = (
    "faults/test_plugin_faults_values.py::test_a_fault_is_named_with_plugin_distribution_and_row"
)
_LOADING = "faults/test_plugin_faults_loading.py::test_a_broken_plugin_"
_STORE = "core/store/test_collection.py::test_"
_DATA = "core/data/test_"
_BAD_ROW = "core/data/test_bad_rows.py::test_a_bad_row_is_named_with_what_is_wrong"


class Row(NamedTuple):
    """A fault, what a user gets, and tests that hold it beside those that name it."""

    id: str
    fault: str
    gets: str
    tests: tuple[str, ...] = ()


ROWS = [
    Row(
        "P1", "a plugin raises", "exit 4: plugin, rows, cause; what was stored is kept", (_VALUES,)
    ),
    Row(
        "P2",
        "a wrong shape, type or dtype",
        "exit 4 at the first batch: found and expected",
        (_VALUES,),
    ),
    Row("P3", "a reward that is not finite", "exit 4 with the token"),
    Row("P4", "a reward model with other tokens", "aligned by characters, or exit 4", (_VALUES,)),
    Row("P5", "rewards on the prompt", "exit 4: too many values", (_VALUES,)),
    Row("P6", "rewards too large for a gradient", "exit 6 before training"),
    Row("P7", "a plugin hangs", "named after 60 s; `TGDPO_PLUGIN_TIMEOUT` ends it"),
    Row("P8", "a plugin that answers differently", "asked twice, exit 4"),
    Row("P9", "a key that differs between processes", "keys are canonical JSON"),
    Row("P10", "other weights under the same name", "keys hold content: computed again"),
    Row(
        "P11",
        "a plugin that cannot be imported",
        "listed as broken, stops nobody else",
        (
            f"{_LOADING}is_listed",
            f"{_LOADING}stops_no_command_that_does_not_use_it",
        ),
    ),
    Row("P12", "two of one name, a misspelt hook", "exit 4 with both"),
    Row(
        "P13",
        "a plugin of another API",
        "listed as broken with the version",
        (f"{_LOADING}is_named_with_its_reason_where_it_is_used",),
    ),
    Row("P14", "a plugin that draws or writes", "its batch is a copy; draws are exit 4"),
    Row("P15", "a plugin out of memory", "asked about half as many, then named"),
    Row(
        "C1",
        "a shard that is cut",
        "what is whole is kept, the rest computed again",
        (f"{_STORE}a_cut_file_loses_its_last_entries_only",),
    ),
    Row(
        "C2",
        "a flipped bit in a shard",
        "noticed, set aside, computed again",
        (f"{_STORE}a_flipped_bit_is_noticed_and_what_is_whole_is_kept",),
    ),
    Row("C3", "a stale key", "everything that changes a value is in the key"),
    Row(
        "C4",
        "two writers",
        "each in its own shards; work is looked up again",
        (
            "core/scoring/test_filling.py::test_two_commands_share_the_work",
            f"{_STORE}two_processes_may_write_at_once",
        ),
    ),
    Row(
        "C5",
        "a lock of a dead process",
        "the system frees it",
        (f"{_STORE}a_killed_process_loses_nothing_that_it_had_added",),
    ),
    Row(
        "C6",
        "kill while scoring",
        "every answered batch is kept",
        ("core/scoring/test_filling.py::test_a_killed_command_loses_the_batch_that_it_was_in",),
    ),
    Row(
        "C7",
        "a full disk while scoring",
        "exit 5, the rest is kept",
        (f"{_STORE}a_full_disk_keeps_what_was_stored",),
    ),
    Row("C8", "a store of another version", "not read, computed again"),
    Row("C9", "rows in another order", "found by content"),
    Row(
        "C10",
        "a store that cannot be written",
        "exit 5 with the folder",
        (f"{_STORE}a_store_that_cannot_be_written_says_where_and_what_to_do",),
    ),
    Row(
        "C11",
        "ids that are not those stored",
        "checksums hold key, name and length",
        (
            f"{_STORE}values_of_another_key_or_another_name_do_not_pass",
            f"{_STORE}a_wrong_length_with_a_right_checksum_is_computed_again",
        ),
    ),
    Row(
        "D1",
        "a missing or misspelt key",
        "exit 3: row, file, line, suggestion",
        (
            _BAD_ROW,
            f"{_DATA}bad_rows.py::test_bad_rows_stop_by_default_and_all_are_counted",
        ),
    ),
    Row(
        "D2",
        "null, numbers, text and chat mixed",
        "the same report",
        (
            _BAD_ROW,
            f"{_DATA}bad_rows.py::test_rows_of_two_kinds_in_one_file_are_refused",
        ),
    ),
    Row("D3", "an empty or equal response", "refused or counted", (_BAD_ROW,)),
    Row(
        "D4",
        "chat rows with wrong roles",
        "refused or counted",
        (f"{_DATA}message_roles.py::test_a_dialogue_out_of_order_is_refused_in_every_format",),
    ),
    Row(
        "D5",
        "a prompt without room",
        "refused or counted",
        (
            "cli/test_bad_input.py::test_a_prompt_longer_than_the_limit_is_named",
            f"{_DATA}shares.py::test_a_share_above_its_limit_names_share_limit_rows_and_setting",
        ),
    ),
    Row(
        "D6",
        "a huge row",
        "cut to max_length, counted",
        (
            f"{_DATA}shared_data.py::test_the_limits_cut_and_count",
            "core/training/test_layout_changes_nothing.py::test_a_sequence_longer_than_the_models_positions_is_refused",
        ),
    ),
    Row(
        "D7",
        "special tokens in text",
        "ordinary text, or refused; counted",
        (f"{_DATA}special_tokens.py::test_marks_that_a_user_wrote_into_messages_are_text",),
    ),
    Row(
        "D8",
        "a file that is no data",
        "exit 3 with line and reason",
        (
            f"{_DATA}row_files.py::test_a_damaged_file_is_named_with_its_line",
            "faults/fuzz/test_fuzz_row_files.py::test_a_line_is_read_as_it_stands_there_or_refused",
        ),
    ),
    Row(
        "D9",
        "duplicates",
        "counted",
        (
            f"{_DATA}duplicates.py::test_duplicates_are_counted",
            f"{_DATA}duplicates.py::test_overlap_is_counted",
        ),
    ),
    Row(
        "D10",
        "a template that breaks prefixes",
        "a bad row with its place",
        (
            f"{_DATA}templates.py::test_a_row_that_a_template_refuses_is_a_bad_row_and_the_others_are_kept",
            f"{_DATA}templates.py::test_a_template_that_runs_away_is_stopped_and_named",
        ),
    ),
    Row("K1", "kill -9 at any point of a save", "`--resume` goes on from the newest whole one"),
    Row("K2", "a file lost, cut or flipped", "the one before is taken, the reason said"),
    Row("K3", "no room for a save", "exit 5 before a byte is written; the last one stays"),
    Row("K4", "SIGTERM, SIGINT, SIGHUP", "the step is saved, exit 75; the second stops at once"),
    Row("K5", "another setting on `--resume`", "exit 2: a table old/new, unless allowed by name"),
    Row(
        "K6",
        "exactness of a resumed run",
        "bit-identical weights, under the conditions above",
        (
            "core/training/test_run_lifecycle.py::test_a_resumed_run_ends_with_bit_identical_weights",
        ),
    ),
    Row("K7", "the log of a resumed run", "the same rows, the same train_loss"),
    Row(
        "K8",
        "a folder with another run, or with other files",
        "exit 2; nothing is touched",
        (
            "core/training/test_run_lifecycle.py::test_a_second_run_into_the_same_folder_is_refused",
            "core/training/test_foreign_files.py::test_a_folder_with_files_and_no_run_is_refused_and_left_alone",
        ),
    ),
    Row("K9", "two processes in one folder", "exit 2 with pid, host and time of the first"),
    Row("K10", "other versions on `--resume`", "exit 2, or `--allow-changed versions`"),
    Row("K11", "a number that is not finite", "exit 6 before the update, the batch is kept"),
    Row(
        "K12",
        "out of memory in a step",
        "pairs, tokens, what to lower",
        (
            "core/training/test_layout_changes_nothing.py::test_running_out_of_memory_names_the_row_and_the_remedy",
        ),
    ),
    Row("R1", "one process dies", "the others end, exit 7; resume is exact"),
    Row("R2", "an error on one process", "its code and cause there, 7 on the others"),
    Row("R3", "one process hangs", "every stack after 0.9 of ddp_timeout; it ends"),
    Row(
        "R4",
        "uneven shares",
        "metrics count each pair once",
        ("core/training/test_rank_rows.py::test_every_pair_counts_once",),
    ),
    Row("R5", "processes that disagree", "exit 2 before anything is computed: what differs"),
    Row("R6", "a store of its own per process", "exit 2 with the folder"),
    Row(
        "R7",
        "one or two processes",
        "the same model to 1e-4",
        ("core/training/test_two_processes.py::test_two_processes_train_the_same_model_as_one",),
    ),
    Row(
        "S1",
        "a malicious pickle",
        "never loaded: weights_only, safetensors",
        (
            "core/models/test_what_is_refused.py::test_an_evil_pickle_is_not_executed_even_with_leave",
        ),
    ),
    Row("S2", "remote code by a recipe", "exit 2 without `--trust-remote-code`"),
    Row(
        "S3",
        "plugin code",
        "`TGDPO_LOAD_PLUGINS` names what may load",
        (
            "core/plugin_api/test_plugin_manager.py::test_the_environment_says_which_distributions_are_loaded",
        ),
    ),
    Row(
        "S4",
        "links and odd paths",
        "nothing is deleted through a link",
        (
            "core/training/test_foreign_files.py::test_a_link_is_removed_and_never_what_it_points_to",
        ),
    ),
    Row(
        "S5",
        "HTML and Markdown in data",
        "escaped in pages and in the model card",
        (
            "core/reports/test_heatmap_html.py::test_data_adds_no_element_and_no_attribute",
            "core/experiments/test_report.py::test_what_comes_from_outside_is_text",
        ),
    ),
    Row("S6", "terminal escapes in data", "shown as escapes in errors, reports and logs"),
    Row(
        "S7",
        "YAML bombs and misread numbers",
        "exit 2, in no time, in one line",
        ("faults/fuzz/test_fuzz_recipes.py::test_a_number_given_by_set_is_that_number_or_refused",),
    ),
    Row(
        "S8",
        "secrets",
        "none in a file, a log, a card, an upload",
        ("core/training/test_hub_push.py::test_a_token_is_in_no_file_and_settings_in_no_pickle",),
    ),
    Row("S9", "a judge that asks a server", "`llm` asks the one it is given; no other does"),
    Row("S10", "telemetry", "none, and no look-up"),
    Row("S11", "formulas in exports", "an apostrophe before them"),
    Row("S12", "supply chain", "hashes of all packages; `make audit`; SECURITY.md"),
]
