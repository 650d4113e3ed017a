"""The keys of LLaMA-Factory that say what is trained on."""

from typing import Any

from tgdpo_core.recipe.converting.account import Conversion, Rule, only, rules, to, unused
from tgdpo_core.recipe.converting.dataset_info import DataFolder, UnusableError

_NO = (False, None)
_SPEED = unused("saves time, changes no number")
_PACKED = unused("rows are always packed; the numbers are the same")


def data_rules(data: DataFolder) -> dict[str, Rule]:
    """Return the rules of the keys of data."""

    def dataset(made: Conversion, key: str, value: Any) -> None:
        _dataset(made, key, value, data)

    def eval_dataset(made: Conversion, key: str, value: Any) -> None:
        _eval_dataset(made, key, value, data)

    return {
        "dataset": dataset,
        "eval_dataset": eval_dataset,
        "dataset_dir": unused("only says where dataset_info.json is"),
        "template": _template,
        "cutoff_len": _cutoff,
        "max_prompt_length": unused("nothing reads it there; data.max_prompt_length would act"),
        "max_samples": _max_samples,
        "val_size": only(
            (0, 0.0, None),
            "rows are taken out at random; name them: data.split train[10%:], data.eval_split",
        ),
        "train_on_prompt": only(_NO, "only responses are trained on"),
        "mask_history": unused("only the last answer is trained on, there as here"),
        "default_system": only((None,), "write it into the rows"),
        "tool_format": only((None,), "the model's own chat template writes tools"),
        "enable_thinking": to("data.chat_template_kwargs", lambda v: {"enable_thinking": v}),
        **rules(only((None,), "look for a variable of the chat template"), "preserve_thinking"),
        "reasoning_effort": unused("of templates that know it: data.chat_template_kwargs"),
        **rules(_PACKED, "packing neat_packing packing_strategy"),
        "ignore_pad_token_for_loss": only((True,), "padding is never trained on"),
        "streaming": only(_NO, "rows are read whole"),
        "mix_strategy": only(("concat",), "data sets are put one behind the other"),
        "interleave_probs": only((None,), "data sets are put one behind the other"),
        **rules(_SPEED, "overwrite_cache preprocessing_num_workers preprocessing_batch_size"),
        **rules(_SPEED, "buffer_size data_shared_file_system tokenized_path"),
        "eval_on_each_dataset": only(_NO, "there is one evaluation"),
        "eval_num_beams": unused("nothing is generated"),
    }


def _dataset(made: Conversion, key: str, value: Any, data: DataFolder) -> None:
    if data.given:
        made.put(key, "data.path", data.given, "given by --dataset")
        return
    try:
        found = _found(made, value, data)
    except UnusableError as error:
        made.refuse(key, f"{error}. Name the pairs: --dataset PATH")
        return
    for name, part in found.items():
        made.put(key, f"data.{name}", part)
    made.checks.append(
        "Columns system, history and tools are read here wherever rows have them, also where "
        "dataset_info.json names none (data.columns: {COLUMN: null} leaves one alone)."
    )


def _found(made: Conversion, value: Any, data: DataFolder) -> dict[str, Any]:
    names = [name.strip() for name in str(value).split(",")]
    folder = str(made.given.get("dataset_dir") or "data")
    if len(names) > 1:
        raise UnusableError(
            f"{len(names)} data sets ({', '.join(names)}): each may have columns of its own"
        )
    return data.find(names[0], folder)


def _eval_dataset(made: Conversion, key: str, value: Any, data: DataFolder) -> None:
    if value is None:
        made.note(key, "asks for nothing")
    elif made.given.get("eval_strategy", "no") in ("no", False) and not made.given.get("do_eval"):
        made.note(key, "nothing is evaluated (eval_strategy)")
    elif value == made.given.get("dataset"):
        _same_rows(made, key)
    else:
        try:
            found = _found(made, value, data)
        except UnusableError as error:
            made.refuse(key, f"{error}. Name the pairs: --eval-dataset PATH")
            return
        made.put(key, "data.eval_path", found["path"])
        if "split" in found:
            made.put(key, "data.eval_split", found["split"])


def _same_rows(made: Conversion, key: str) -> None:
    """Evaluate on the training pairs, as the file says; their overlap is no mistake then."""
    place = made.recipe.get("data", {}).get("path")
    made.put(key, "data.eval_path", place, "the training pairs themselves")
    made.recipe["data"]["max_shares"] = {"eval_overlap": 1.0}


def _template(made: Conversion, key: str, value: Any) -> None:
    made.note(key, "the model's own chat template is used")
    made.checks.append(
        f"LLaMA-Factory writes prompts by its template '{value}', tgdpo by the model's own chat "
        "template: compare the first tokens with tgdpo inspect."
    )


def _cutoff(made: Conversion, key: str, value: Any) -> None:
    made.put(key, "data.max_length", value)
    made.checks.append(
        f"Pairs longer than {value} tokens: LLaMA-Factory shortens prompt and response in "
        "proportion, tgdpo cuts the end of the response; train --dry-run says how many there are."
    )


def _max_samples(made: Conversion, key: str, value: Any) -> None:
    if value is None:
        made.note(key, "asks for nothing")
        return
    split = made.recipe.get("data", {}).get("split", "train")
    made.put(key, "data.split", f"{split}[:{value}]")
