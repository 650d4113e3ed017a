"""The contract of named data sets."""

from typing import Any

from tgdpo_core.plugin_api.datasets import NamedDataset
from tgdpo_core.testing.contract import PluginContract, require


class DatasetContract(PluginContract):
    """Checks of a ``NamedDataset``.

    Attributes:
        splits: the splits that it has.
    """

    plugin: NamedDataset
    splits: tuple[str, ...] = ("train", "test")

    def test_every_row_is_a_preference_pair(self) -> None:
        """Each split has rows, all in one of the known formats; or prompts, if it says so."""
        from tgdpo_core.data.columns import RowReading
        from tgdpo_core.data.formats import parse_rows
        from tgdpo_core.data.report import DataReport

        for split in self.splits:
            rows = [(f"{split} row {i}", row) for i, row in enumerate(self._rows(split), 1)]
            report = DataReport(f"{self.who}, split '{split}'")
            parse_rows(rows, report, RowReading(prompts_suffice=self.plugin.only_prompts))
            report.raise_if_unusable("error")

    def test_it_gives_the_same_rows_twice(self) -> None:
        """Runs can be repeated."""
        for split in self.splits:
            require(
                self._rows(split) == self._rows(split),
                f"{self.who}: the rows of the split '{split}' differ from one call to the next. "
                "Seed what is drawn.",
            )

    def test_an_unknown_split_is_refused_with_those_that_exist(self) -> None:
        """``ValueError`` names the splits."""
        try:
            self._rows("no-such-split")
        except ValueError as error:
            require(
                self.splits[0] in str(error),
                f"{self.who}: the message for an unknown split, '{error}', must list those that "
                f"exist: {', '.join(self.splits)}.",
            )
            return
        raise AssertionError(
            f"{self.who}: rows('no-such-split') must raise ValueError with the splits that exist."
        )

    def test_its_model_can_be_found(self) -> None:
        """The base model, if it brings one, is a model folder."""
        from tgdpo_core.models.paths import resolve_model_path

        if self.plugin.model is not None:
            resolve_model_path(self.plugin.model)

    def test_it_leaves_global_random_states_alone(self) -> None:
        """The run continues as if the data set were drawn elsewhere."""
        from tgdpo_core.testing.trials import untouched

        with untouched(self.who, "nothing", None):
            for split in self.splits:
                self._rows(split)

    def _rows(self, split: str) -> list[Any]:
        return list(self.fresh().rows(split))
