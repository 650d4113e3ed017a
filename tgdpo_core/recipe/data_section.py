"""The section of a recipe that says which pairs are trained on, and what of them is acceptable."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from tgdpo_core.recipe.columns import RowFormat, check_columns
from tgdpo_core.recipe.section import Section

Share = Annotated[float, Field(ge=0, le=1)]


class MaxSharesSection(Section):
    """Shares of the data above which a run stops; 1 allows everything."""

    left_out: Share = Field(0.5, description="rows that cannot be used (data.on_bad_row: skip)")
    truncated: Share = Field(0.2, description="responses whose end is cut off")
    prompt_truncated: Share = Field(0.2, description="pairs whose prompt's beginning is cut off")
    boundary_inside_prompt: Share = Field(
        0.05, description="pairs in which the last tokens of the prompt belong to the response"
    )
    special_tokens_in_text: Share = Field(
        0.2, description="pairs with special tokens that are taken as ordinary text"
    )
    duplicates: Share = Field(1.0, description="pairs that repeat an earlier one")
    swapped_duplicates: Share = Field(
        0.05, description="pairs that are there with the responses exchanged, too"
    )
    eval_overlap: Share = Field(0.1, description="evaluation pairs that are trained on")


class DataSection(Section):
    """The preference pairs."""

    path: str = Field(
        description="Hub id, local file (several: a list, commas or a pattern such as *.jsonl), "
        "folder, or a registered data set"
    )
    name: str | None = Field(None, description="configuration of a Hub data set")
    revision: str | None = Field(None, description="branch, tag or commit of a Hub data set")
    split: str = Field(
        "train", description="which split; slices as in datasets: train[:100], train[10%:]"
    )
    format: RowFormat = Field(
        "auto",
        description="row format; auto: what the columns say; implicit: both responses begin with "
        "the prompt",
    )
    columns: dict[str, str | None] = Field(
        default_factory=dict,
        description="field to the column that holds it ({prompt: question, chosen: good}); a "
        "column to null is not used",
    )
    eval_path: str | None = Field(
        None, description="evaluation pairs; a registered data set gives its test split"
    )
    eval_split: str | None = Field(
        None,
        description="split of eval_path; null: test of a registered data set, all of a file, else "
        "split",
    )
    max_length: int = Field(2048, gt=1, description="most tokens of prompt and response")
    max_prompt_length: int | None = Field(None, gt=0, description="most tokens of a prompt")
    on_bad_row: Literal["error", "skip"] = Field(
        "error", description="stop, or leave out and count"
    )
    chat_template_kwargs: dict[str, Any] = Field(
        default_factory=dict,
        description="further variables of the chat template, such as {enable_thinking: false}; a "
        "row's own are preferred; strftime_now fixes the date",
    )
    special_tokens: Literal["auto", "text", "keep", "error"] = Field(
        "auto",
        description="special tokens in the text of a row: ordinary text (auto refuses rows that "
        "look like rendered dialogues), kept as such, or an error",
    )
    lost_text: Literal["error", "count"] = Field(
        "error", description="what a chat template leaves out of a row: a bad row, or only counted"
    )
    add_eos: Literal["auto", "never"] = Field(
        "auto",
        description="auto: a response ends, unless its row says chosen_finished or "
        "rejected_finished: false; never: all go on, so that no end is trained",
    )
    max_shares: MaxSharesSection = Field(
        default_factory=MaxSharesSection,
        description="how much of the data may be cut, left out or doubtful",
    )
    swap: bool = Field(
        False, description="exchange chosen and rejected: with loss sft, a model of what to avoid"
    )

    @field_validator("path", "eval_path", mode="before")
    @classmethod
    def _join_paths(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        if not value or not all(isinstance(path, str) and "," not in path for path in value):
            raise ValueError("expected a text or a list of paths without commas")
        return ",".join(value)

    @field_validator("columns")
    @classmethod
    def _check_columns(cls, value: dict[str, str | None]) -> dict[str, str | None]:
        check_columns(value)
        return value
