"""A push is one commit of a finished model and our card; tokens reach no file, pickles none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from tgdpo_core import TGDPOTrainer
from tgdpo_core.errors import UsageError

MakeTrainer = Callable[..., TGDPOTrainer]
TOKEN = "hf_NOT_A_REAL_TOKEN"


class Hub:
    """What stands for the Hub: notes every call, and which files an upload would take."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.uploads: list[dict[str, Any]] = []
        self.fails = False

    def create_repo(self, name: str, **how: Any) -> Any:
        self.calls.append("create_repo")
        return type("Url", (), {"repo_id": name})

    def upload_folder(self, *, folder_path: str, **how: Any) -> str:
        self.calls.append("upload_folder")
        if self.fails:
            raise ConnectionError("no route to the Hub")
        folder = Path(folder_path)
        files = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
        card = files["README.md"].read_text()
        self.uploads.append({"files": set(files), "card": card, **how})
        return "commit"

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: self.calls.append(name)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    import transformers.trainer as hf_trainer

    hub = Hub()
    monkeypatch.setattr(hf_trainer, "hf_api", lambda: hub)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return hub


SETTINGS = {"push_to_hub": True, "hub_model_id": "u/x", "hub_token": TOKEN}


def files_with(folder: Path, text: str) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and text.encode() in p.read_bytes()]


@pytest.mark.parametrize("strategy", ["epoch", "steps", "no"])
def test_a_run_is_pushed_once_when_it_is_done(
    hub: Hub, make_trainer: MakeTrainer, strategy: str
) -> None:
    trainer = make_trainer(save_strategy=strategy, save_steps=1, **SETTINGS)
    trainer.train()
    folder = Path(trainer.args.output_dir)
    assert hub.calls == ["create_repo", "upload_folder"]
    (upload,) = hub.uploads
    expected = {p.name for p in (folder / "model").iterdir()}
    assert upload["files"] == expected
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md"} <= expected
    assert not [name for name in expected if name.endswith((".pt", ".bin", ".json.part"))]
    assert "token-level reward guided DPO" in upload["card"] or "Trained with DPO" in upload["card"]
    assert upload["card"] == (folder / "README.md").read_text()
    assert (upload["repo_id"], upload["token"]) == ("u/x", TOKEN)


def test_a_token_is_in_no_file_and_settings_in_no_pickle(
    hub: Hub, make_trainer: MakeTrainer
) -> None:
    trainer = make_trainer(save_strategy="epoch", **SETTINGS)
    trainer.train()
    trainer.save_model()
    trainer.save_model(str(Path(trainer.args.output_dir) / "elsewhere"))
    trainer.push_to_hub()
    folder = Path(trainer.args.output_dir)
    assert files_with(folder.parent, TOKEN) == []
    assert list(folder.rglob("training_args*")) == []
    assert {p.name for p in folder.iterdir() if p.is_file()} == {
        "run.json",
        "settings.yaml",
        "README.md",
        "report.html",
        ".lock",
    }


def test_what_trackers_are_given_holds_no_token(make_trainer: MakeTrainer) -> None:
    args = make_trainer(hub_token=TOKEN).args
    given = [args.to_dict(), args.to_sanitized_dict(), args.to_json_string(), str(args)]
    assert not [each for each in given if TOKEN in str(each)]


def test_saving_a_model_pushes_nothing(hub: Hub, make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(**SETTINGS)
    trainer.save_model()
    assert hub.calls == ["create_repo"]


def test_a_run_that_is_not_done_cannot_be_pushed(hub: Hub, make_trainer: MakeTrainer) -> None:
    with pytest.raises(UsageError, match="no finished run to push"):
        make_trainer(**SETTINGS).push_to_hub()
    assert hub.uploads == []


def test_a_finished_run_may_be_pushed_later(hub: Hub, make_trainer: MakeTrainer) -> None:
    trainer = make_trainer()
    trainer.train()
    assert hub.calls == []
    trainer.push_to_hub("mine", revision="other")
    (upload,) = hub.uploads
    assert (upload["commit_message"], upload["revision"]) == ("mine", "other")


def test_a_push_that_fails_leaves_a_done_run_and_says_how_to_go_on(
    hub: Hub, make_trainer: MakeTrainer, run_record: Callable[..., dict[str, Any]]
) -> None:
    hub.fails = True
    trainer = make_trainer(**SETTINGS)
    with pytest.raises(UsageError, match=r"The run is done, but .* hf upload REPO"):
        trainer.train()
    assert run_record(trainer.args.output_dir)["status"] == "done"


def test_a_push_without_network_is_refused_before_any_work(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE is set"):
        make_trainer(**SETTINGS)
    assert not (tmp_path / "store").exists()
