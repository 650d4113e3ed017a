"""``tgdpo export``: answers of models as the files that public benchmarks judge."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli.main import Session
from tgdpo_cli.option_sets import trust_of, trust_options
from tgdpo_cli.output import echo, json_option, print_json, quiet_libraries

if TYPE_CHECKING:
    from tgdpo_core.exchange.conversations import Answering, Conversation
    from tgdpo_core.exchange.export_folder import ExportFolder
    from tgdpo_core.exchange.questions import QuestionFile
    from tgdpo_core.generation.sampling import Sampling

# The longest answers that the benchmarks' own settings allow, and their temperature.
_MOST_TOKENS = {"alpaca-eval": 2048, "mt-bench": 1024, "arena-hard": 4096}
_TEMPERATURES = {"alpaca-eval": 0.7, "arena-hard": 0.0}
# Options that files of answers have no use for.
_OF_MODELS = {"temperature", "top_p", "max_new_tokens", "raw", "seed", "engine", "engine_args"}


@click.command("export")
@click.argument("benchmark", type=click.Choice(["alpaca-eval", "mt-bench", "arena-hard"]))
@click.argument("runs", nargs=-1, required=True)
@click.option(
    "--prompts",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The benchmark's own file of questions.",
)
@click.option("--output-dir", required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", "names", multiple=True, help="Name of a model in the files, one a RUN.")
@click.option("--limit", type=click.IntRange(min=1), help="Answer the first N questions only.")
@click.option(
    "--num-choices",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Independent tries at each question (not alpaca-eval, nor arena-hard v2).",
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    help="0: greedy. Default: mt-bench by category as FastChat, alpaca-eval 0.7, arena-hard 0.",
)
@click.option(
    "--top-p", type=float, default=1.0, show_default=True, help="Of answers that are not greedy."
)
@click.option(
    "--max-new-tokens",
    type=click.IntRange(min=1),
    help="Longest answer. Default: mt-bench 1024, alpaca-eval 2048, arena-hard 4096.",
)
@click.option("--system", help="A system message in front of every conversation.")
@click.option("--raw", is_flag=True, help="Go on from the text of a question, without a chat.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--engine", type=click.Choice(["transformers", "vllm", "openai"]), default="transformers"
)
@click.option("--engine-arg", "engine_args", multiple=True, metavar="KEY=VALUE")
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16", "mixed"]),
    default="auto",
    show_default=True,
    help="Number format, as of tgdpo evaluate.",
)
@click.option(
    "--token-count",
    type=click.Choice(["tiktoken", "model"]),
    default="tiktoken",
    show_default=True,
    help="arena-hard: whose tokens the lengths beside the answers are.",
)
@click.option("--link", help="alpaca-eval: where people find the model, for its config.")
@click.option("--overwrite", is_flag=True, help="Replace the answers of a model.")
@trust_options
@json_option
@click.pass_obj
def command(session: Session, /, as_json: bool, **values: Any) -> None:
    """Write the answers of RUNS to the questions of a public benchmark, in its own files.

    RUNS are run folders, folders, Hub ids, registered names, or files of answers (answers.jsonl).
    The files lie below --output-dir as in the benchmark's repository; its judge takes them from
    there: docs/benchmarks-export.md. `tgdpo import` reads the judgements back.

    \b
      tgdpo export mt-bench runs/dpo runs/mine --prompts question.jsonl --output-dir out
    """
    quiet_libraries()
    from tgdpo_core.exchange.export_folder import ExportFolder
    from tgdpo_core.exchange.questions import read_questions
    from tgdpo_core.exchange.token_lengths import token_lengths

    benchmark, runs = values["benchmark"], values["runs"]
    questions = read_questions(values["prompts"], benchmark, values["limit"])
    _refuse_unused(benchmark, questions.form, values)
    names = _names(runs, values["names"])
    folder = ExportFolder(values["output_dir"], questions)
    folder.require_room(names, overwrite=values["overwrite"])
    length = token_lengths(values["token_count"], questions.form) if _is_arena(questions) else len
    if questions.num_repeated:
        echo(
            f"{questions.num_repeated} instructions stand twice: AlpacaEval judges each of their "
            "answers with each of the reference's.",
            err=True,
        )
    models = []
    for run, name in zip(runs, names, strict=True):
        written = _export(session, run, name, folder, length, values)
        counts = written["counts"]
        echo(
            f"{name}: {counts['answers']} answers to {counts['questions']} questions, "
            f"{counts['unfinished']} cut at the most tokens, {counts['empty']} empty: "
            f"{written['file']}",
            err=as_json,
        )
        models.append(written)
    if as_json:
        print_json({"folder": str(values["output_dir"]), "models": models})


def _is_arena(questions: "QuestionFile") -> bool:
    return questions.form.startswith("arena-hard")


def _export(
    session: Session,
    run: str,
    name: str,
    folder: "ExportFolder",
    length: Any,
    values: Mapping[str, Any],
) -> dict[str, Any]:
    """Answer the questions with one model, write its files, and return what came out."""
    from tgdpo_core.exchange.conversations import AnswersOfFile, hold
    from tgdpo_core.exchange.written_answers import benchmark_rows, mt_bench_temperature
    from tgdpo_core.generation.answers import read_answers
    from tgdpo_core.preparation.plan import registered_model

    given = Path(run).expanduser()
    path = run if given.is_file() else registered_model(run, session.plugins) or run
    sampling = _sampling(values)
    fixed = values["temperature"]
    if fixed is None:
        fixed = _TEMPERATURES.get(values["benchmark"])
    temperature = mt_bench_temperature if fixed is None else lambda question: fixed
    config: dict[str, str] = {}
    answering: Answering
    if given.is_file():
        answering = AnswersOfFile(run, list(read_answers(given)))
        tokenizer = None
    else:
        answering, tokenizer = _answering(path, name, sampling, values)
    conversations = hold(
        folder.questions.questions,
        answering,
        temperature,
        num_choices=values["num_choices"],
        system=values["system"],
    )
    if values["benchmark"] == "alpaca-eval":
        drawn = {**asdict(sampling), "temperature": fixed}
        config = _alpaca_config(name, str(path), tokenizer, drawn, values, given.is_file())
    record = _record(run, folder, conversations, values)
    file = folder.write(
        name,
        benchmark_rows(folder.questions.form, name, conversations, time=time.time(), length=length),
        answered=[each for talk in conversations for each in talk.answered_prompts()],
        record=record,
        further=config,
    )
    return {"model": name, "file": str(file), "run": run, "counts": record["counts"]}


def _answering(
    path: str, name: str, sampling: "Sampling", values: Mapping[str, Any]
) -> tuple["Answering", Any]:
    """Return a model that answers, and its tokenizer where the engine has one."""
    from tgdpo_cli.generation_options import precision_of
    from tgdpo_cli.recipe_options import key_value
    from tgdpo_core.exchange.answering import AnswersOfModel
    from tgdpo_core.generation.engines import EngineSettings, open_engine
    from tgdpo_core.store.folder import default_store_path

    trust = trust_of(values)
    args = dict(key_value(text, "--engine-arg") for text in values["engine_args"])
    precision = precision_of(values["dtype"], [path])
    engine = open_engine(
        path, EngineSettings(values["engine"], values["batch_size"], precision, trust, args)
    )
    answers = AnswersOfModel(
        name, engine, sampling, store=Path(default_store_path()), raw=values["raw"]
    )
    return answers, getattr(engine, "tokenizer", None)


def _sampling(values: Mapping[str, Any]) -> "Sampling":
    from tgdpo_core.generation.sampling import Sampling

    most = values["max_new_tokens"] or _MOST_TOKENS[values["benchmark"]]
    return Sampling(top_p=values["top_p"], max_new_tokens=most, seed=values["seed"])


def _alpaca_config(
    name: str,
    path: str,
    tokenizer: Any,
    drawn: Mapping[str, Any],
    values: Mapping[str, Any],
    from_file: bool,
) -> dict[str, str]:
    """Return AlpacaEval's config of the model, and the prompt that it names, by their paths."""
    from tgdpo_core.exchange.alpaca_config import alpaca_config, prompt_template

    settings = None
    further = {}
    if not from_file and tokenizer is not None:
        settings = {
            "max_new_tokens": drawn["max_new_tokens"],
            "do_sample": bool(drawn["temperature"]),
            **({"temperature": drawn["temperature"]} if drawn["temperature"] else {}),
            **({"top_p": drawn["top_p"]} if drawn["temperature"] else {}),
        }
        prompt = "{instruction}" if values["raw"] else prompt_template(tokenizer, values["system"])
        further[f"models_configs/{name}/prompt.txt"] = prompt
    text = alpaca_config(name, path=path, link=values["link"], settings=settings)
    return {f"models_configs/{name}/configs.yaml": text, **further}


def _record(
    run: str,
    folder: "ExportFolder",
    conversations: "Sequence[Conversation]",
    values: Mapping[str, Any],
) -> dict[str, Any]:
    """Return JSON that says what was exported and how."""
    answers = [answer for talk in conversations for answer in talk.answers]
    return {
        "run": run,
        "form": folder.questions.form,
        "settings": {key: value for key, value in values.items() if key not in ("runs", "names")},
        "counts": {
            "questions": len(conversations),
            "repeated_questions": folder.questions.num_repeated,
            "answers": len(answers),
            "unfinished": sum(not answer.finished for answer in answers),
            "empty": sum(not answer.text.strip() for answer in answers),
        },
    }


def _names(runs: Sequence[str], given: Sequence[str]) -> list[str]:
    """Return what the files call each model: names of files, so without slashes."""
    from tgdpo_cli.model_names import short_names

    if given and len(given) != len(runs):
        raise click.UsageError(f"--name: {len(given)} given for {len(runs)} RUNS; one for each.")
    stems = [run.removesuffix(".jsonl").removesuffix(".answers") for run in runs]
    names = list(given) or [name.replace("/", "__") for name in short_names(stems)]
    for name in names:
        if not name or name.startswith(".") or "/" in name or names.count(name) > 1:
            raise click.UsageError(
                f"--name {name!r}: the name of a file, without slashes, and another for each RUN."
            )
    return names


def _refuse_unused(benchmark: str, form: str, values: Mapping[str, Any]) -> None:
    """Raise ``UsageError`` for an option that would change nothing."""
    from click.core import ParameterSource

    context = click.get_current_context()
    given = {
        name for name in values if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    if values["num_choices"] > 1 and form in ("alpaca-eval", "arena-hard-v2.0"):
        raise click.UsageError(f"--num-choices: a file of {form} holds one answer a question.")
    if "link" in given and benchmark != "alpaca-eval":
        raise click.UsageError(f"--link: {benchmark} has no config of models; alpaca-eval has.")
    if "token_count" in given and benchmark != "arena-hard":
        raise click.UsageError(f"--token-count: {benchmark} keeps no lengths; arena-hard does.")
    drawing = [each for each in context.command.params if each.name in given & _OF_MODELS]
    if drawing and all(Path(run).expanduser().is_file() for run in values["runs"]):
        raise click.UsageError(f"{drawing[0].opts[0]}: files of answers are taken as they are.")
