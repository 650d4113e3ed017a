"""Help in groups: what an option is about stands beside the others of its kind."""

from collections.abc import Sequence
from typing import Any

import click

from tgdpo_cli.option_hints import hint

_GROUPS = {
    "Recipe": "config overrides quick",
    "Model": "model reference trust_remote_code allow_pickle",
    "Data": "prompts prompt_form system dataset eval_dataset split limit columns row_format "
    "template_kwargs special_tokens on_bad_row max_length",
    "Reward": "reward_plugins rewards reward_args reward_transforms transforms controls "
    "reward_betas",
    "Weights and loss": "shaping shapings shaping_args alphas beta betas",
    "Judge": "judge judges judge_args compare baseline tie_rule gamed unfinished kl",
    "Answers": "samples greedy temperature top_p max_new_tokens batch_size engine engine_args "
    "dtype",
    "Choice of the best": "patterns choose_split",
    "Run": "output_dir resume overwrite allow_changed seeds seed dry_run gpu_memory gpus",
    "Processes and machines": "num_processes accelerate_config launch_options jobs executor "
    "address cpus_per_cell gpus_per_cell num_actors cpus_per_actor gpus_per_actor",
    "Output": "describe html_path pages serve port per_page as_json",
}
GROUP_OF = {name: title for title, names in _GROUPS.items() for name in names.split()}
"""Parameter -> the title that it stands under; the same in every command."""
_OTHERS = "Other options"


class GroupedCommand(click.Command):
    """A command whose help has its options in groups, and which knows other names of them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; say what an option of another program, or a key of the recipe, is called here."""
        options = [name for parameter in self.get_params(ctx) for name in parameter.opts]
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            said = hint(error.option_name, options) if "--set" in options else None
            if said is None:
                raise
            raise click.UsageError(f"No such option '{error.option_name}'. {said}", ctx) from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their titles, in the order of ``GROUP_OF``."""
        records: dict[str, list[Any]] = {title: [] for title in (*_GROUPS, _OTHERS)}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                records[GROUP_OF.get(parameter.name or "", _OTHERS)].append(record)
        for title, found in records.items():
            _write(formatter, title, found)


def _write(formatter: click.HelpFormatter, title: str, records: Sequence[Any]) -> None:
    if records:
        with formatter.section(title):
            formatter.write_dl(records)
