"""Tasks of the harness: found by name, in built-in and own folders, with data from local files."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from tgdpo_core.errors import DataError, UsageError, did_you_mean

_BUILDERS = {".json": "json", ".jsonl": "json", ".csv": "csv", ".parquet": "parquet"}


@dataclass(frozen=True)
class Asking:
    """How tasks are put.

    Attributes:
        tasks: names of tasks, groups or tags.
        include_path: folder of further tasks (YAML), or None.
        data: files in place of a task's Hub data set, by task and split.
        num_fewshot: solved examples in front of each question; None: as the task says. A task that
            fixes 0 keeps it.
        limit: first questions of each task; None: all.
        apply_chat_template: put questions as a user's messages.
        system: a system message; needs ``apply_chat_template``.
        seed: of few-shot examples and of drawn answers.
    """

    tasks: Sequence[str]
    include_path: Path | None = None
    data: Mapping[str, Mapping[str, Path]] | None = None
    num_fewshot: int | None = None
    limit: int | None = None
    apply_chat_template: bool = False
    system: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class TaskScore:
    """One metric of one task.

    Attributes:
        task: its name.
        metric: of the task, with its filter where that is not ``none``.
        value: as the harness computes it.
        standard_error: of the value; None: the harness gives none.
        num_samples: questions.
        num_fewshot: solved examples that really stood in front.
        version: of the task.
    """

    task: str
    metric: str
    value: float
    standard_error: float | None
    num_samples: int | None
    num_fewshot: int | None
    version: Any


@dataclass(frozen=True)
class TaskScores:
    """What a model reached, and of how many questions the beginning was cut."""

    scores: Sequence[TaskScore]
    samples: Sequence[Mapping[str, Any]]
    num_requests: int
    num_cut: int

    def document(self) -> dict[str, Any]:
        """Return JSON without the samples."""
        return {
            "scores": [asdict(score) for score in self.scores],
            "num_requests": self.num_requests,
            "num_cut": self.num_cut,
        }


def require_harness() -> None:
    """Raise ``UsageError`` where lm-evaluation-harness is not installed."""
    import importlib.util

    if importlib.util.find_spec("lm_eval") is None:
        raise UsageError(
            "--tasks: lm-evaluation-harness is not installed. pip install 'tgdpo[lm-eval]'."
        )


def task_manager(asking: Asking) -> Any:
    """Return the harness's manager of its own and the user's tasks; it reads thousands of files."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(asking.include_path) if asking.include_path else None)


def found_tasks(asking: Asking, manager: Any, folder: Path) -> list[str]:
    """Return what the harness is asked to load.

    Args:
        asking: which tasks.
        manager: of tasks.
        folder: an empty one, for tasks whose data are replaced.

    Raises:
        UsageError: an unknown task, or data for a task that is not asked for.
    """
    known = [*manager.all_tasks, *manager.all_tags]
    data = asking.data or {}
    for name in asking.tasks:
        if not manager.match_tasks([name]):
            raise UsageError(f"--tasks: unknown task '{name}'. {_near(name, known)}")
    if others := sorted(set(data) - set(asking.tasks)):
        raise UsageError(f"--task-data: '{others[0]}' is not one of --tasks.")
    return [
        _with_data(name, data[name], manager, folder) if name in data else name
        for name in asking.tasks
    ]


def _near(name: str, known: Sequence[str]) -> str:
    """Return a hint without the list: the harness has thousands of tasks."""
    hint = did_you_mean(name, known)
    near = hint.partition("Available:")[0].strip()
    return f"{near} `lm-eval ls tasks` lists {len(known)}; --include-path adds a folder.".strip()


def _with_data(name: str, files: Mapping[str, Path], manager: Any, folder: Path) -> str:
    """Return the path of a task that is another one with local files as its data, by split."""
    builders = {_BUILDERS.get(path.suffix) for path in files.values()}
    if len(builders) != 1 or None in builders:
        raise UsageError(
            f"--task-data {name}: one kind of file, of {', '.join(_BUILDERS)}; got "
            f"{', '.join(path.name for path in files.values())}."
        )
    if missing := next((path for path in files.values() if not path.is_file()), None):
        raise UsageError(f"--task-data {name}: {missing}: no such file.")
    config = {
        "include": str(manager.task_index[name].yaml_path),
        "task": name,
        "dataset_path": builders.pop(),
        "dataset_name": None,
        "dataset_kwargs": {
            "data_files": {split: str(path.absolute()) for split, path in files.items()}
        },
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return str(path)


def ask(model: Any, asking: Asking, manager: Any) -> TaskScores:
    """Return what a model reaches on tasks.

    Args:
        model: a ``RunModel``.
        asking: which tasks, and how.
        manager: of tasks.

    Raises:
        UsageError: an unknown task.
        DataError: the data of a task cannot be had.
    """
    from datasets.exceptions import DatasetsError
    from lm_eval import simple_evaluate

    try:
        with tempfile.TemporaryDirectory() as folder:
            tasks = found_tasks(asking, manager, Path(folder))
            results = simple_evaluate(
                model,
                tasks=tasks,
                task_manager=manager,
                num_fewshot=asking.num_fewshot,
                limit=asking.limit,
                apply_chat_template=asking.apply_chat_template,
                system_instruction=asking.system,
                random_seed=asking.seed,
                numpy_random_seed=asking.seed,
                torch_random_seed=asking.seed,
                fewshot_random_seed=asking.seed,
            )
    except (OSError, DatasetsError) as error:
        raise DataError(
            f"--tasks {','.join(asking.tasks)}: the data of a task cannot be had: "
            f"{type(error).__name__}: {error} Without a connection: --task-data TASK.SPLIT=FILE, "
            "or a task of your own by --include-path."
        ) from error
    assert results is not None  # None: of ranks other than the first
    return TaskScores(list(_scores(results)), _samples(results), model.num_requests, model.num_cut)


def _scores(results: Mapping[str, Any]) -> Any:
    for task, found in results["results"].items():
        for key, value in found.items():
            metric, _, filtered = key.partition(",")
            if not filtered or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            error = found.get(f"{metric}_stderr,{filtered}")
            counts = results.get("n-samples", {}).get(task, {})
            yield TaskScore(
                task,
                metric if filtered == "none" else f"{metric} ({filtered})",
                float(value),
                float(error) if isinstance(error, int | float) else None,
                counts.get("effective"),
                results.get("n-shot", {}).get(task),
                results.get("versions", {}).get(task),
            )


def _samples(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every question with what the model was found to say, and its metrics."""
    return [
        {
            "task": task,
            "doc_id": sample.get("doc_id"),
            "target": sample.get("target"),
            "filter": sample.get("filter"),
            "responses": sample.get("filtered_resps"),
            "metrics": {name: sample.get(name) for name in sample.get("metrics", ())},
        }
        for task, samples in (results.get("samples") or {}).items()
        for sample in samples
    ]
