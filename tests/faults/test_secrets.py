"""S8: twelve canary secrets by every route: none is in a file, a log, a card or an upload."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from tests.core.training.test_hub_push import Hub
from tgdpo_cli.main import cli, run
from tgdpo_core import TGDPOConfig, TGDPOTrainer
from tgdpo_core.environment_secrets import _token_of_login, secret_in, without_secrets

CANARIES = {
    "HF_TOKEN": "hf_CanaryOfTheEnvironment01",
    "WANDB_API_KEY": "canary02canary02canary02canary02",
    "OPENAI_API_KEY": "canary-of-a-paid-endpoint-03",
    "AWS_SECRET_ACCESS_KEY": "canary/04+canary",
    "MLFLOW_TRACKING_PASSWORD": "canary 05 with spaces",
    "file of the login": "hf_CanaryOfTheLogin06abcd",
    "recipe value": "hf_CanaryOfTheRecipe07abcd",
    "plugin option": "sk-canary-of-an-option-08-abcd",
    "URL": "canary09canary",
    "hub_token in Python": "hf_CanaryOfPython10abcd",
    "command line": "ghp_CanaryOfTheCommandLine11",
    "local of a traceback": "canary12canary12canary12",
}
PLUGIN = """
import os
from tgdpo_core import TokenReward, hookimpl, option

class Leaky(TokenReward):
    "A reward that quotes its key when it fails, and says it in its log."
    api_key: str = option("", help="not marked as a secret")
    fails: bool = option(False, help="whether it fails")
    def score(self, batch):
        import logging
        own = os.environ["LOCAL_SECRET"]
        logging.getLogger("leaky").warning("asked with %s", os.environ["OPENAI_API_KEY"])
        if self.fails:
            raise RuntimeError(f"401: wrong key {os.environ['OPENAI_API_KEY']}")
        return [[1.0] * len(item.response_ids) for item in batch]

@hookimpl
def register_token_rewards(register):
    register("leaky", Leaky)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for all that is written, in an environment full of canaries."""
    for name in CANARIES:
        if name.isupper() and name != "URL":
            monkeypatch.setenv(name, CANARIES[name])
    monkeypatch.setenv("LOCAL_SECRET", CANARIES["local of a traceback"])
    login = tmp_path.parent / f"{tmp_path.name}-login"
    login.mkdir()
    (login / "token").write_text(CANARIES["file of the login"])
    monkeypatch.setenv("HF_HOME", str(login))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(login / "token"))
    _token_of_login.cache_clear()
    monkeypatch.setattr("sys.argv", ["tgdpo", "--debug", CANARIES["command line"]])
    (tmp_path / "leaky.py").write_text(PLUGIN)
    return tmp_path


def require_none(text: str, where: str) -> None:
    leaked = [name for name, value in CANARIES.items() if value in text]
    assert leaked == [], f"{where} holds the canaries {leaked}"


def require_no_file_with_one(folder: Path) -> int:
    """Return how many files were looked at."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    for path in files:
        require_none(path.read_bytes().decode("latin-1"), str(path.relative_to(folder)))
    return len(files)


@pytest.fixture
def tgdpo(
    home: Path, capfd: pytest.CaptureFixture[str], model_folder: Path, rows_file: Path
) -> Callable[..., tuple[int, str]]:
    """A function: command and options -> exit code and all that was printed, free of canaries."""

    def call(command: str, *options: str, reward: str = "leaky") -> tuple[int, str]:
        arguments = ["--plugin-file", str(home / "leaky.py"), "--debug", command]
        arguments += ["--model", str(model_folder), "--dataset", str(rows_file)]
        arguments += ["--reward-plugin", reward, "--set", "training.use_cpu=true"]
        arguments += ["--set", "training.max_steps=2", "--set", "training.save_steps=1"]
        handlers = list(logging.getLogger().handlers)
        code = run(lambda: cli.main([*arguments, *options], standalone_mode=False))
        for handler in set(logging.getLogger().handlers) - set(handlers):
            logging.getLogger().removeHandler(handler)
        out, error = capfd.readouterr()
        require_none(out + error, f"what {command} printed")
        return code, out + error

    return call


def test_S8_a_run_in_an_environment_full_of_secrets_writes_and_prints_none(
    tgdpo: Callable[..., tuple[int, str]], home: Path
) -> None:
    code, said = tgdpo("train", "--output-dir", str(home / "run"))
    assert code == 0, said
    assert require_no_file_with_one(home) > 30  # run folder, checkpoints, store


def test_S8_an_error_that_quotes_a_key_is_shown_and_kept_without_it(
    tgdpo: Callable[..., tuple[int, str]], home: Path
) -> None:
    where = ("--output-dir", str(home / "run"))
    code, said = tgdpo("train", "--reward-arg", "fails=true", *where)
    assert code == 4
    assert "401: wrong key <OPENAI_API_KEY>" in said
    assert "Traceback" in said
    require_no_file_with_one(home)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--set", f"training.hub_token={CANARIES['recipe value']}"), 2, "hub_token holds"),
        (("--set", f"training.run_name={CANARIES['command line']}"), 2, "looks like a token"),
        (("--reward-arg", f"api_key={CANARIES['plugin option']}"), 2, "args.api_key holds"),
        (("--reward-arg", f"api_key={CANARIES['OPENAI_API_KEY']}"), 2, "the secret OPENAI_API_KEY"),
        (("--set", f"model.revision={CANARIES['file of the login']}"), 2, "hf auth login"),
        (
            ("--set", f"data.path=https://me:{CANARIES['URL']}@host/rows.jsonl"),
            2,
            "a URL with a password",
        ),
    ],
)
def test_S8_a_secret_in_a_setting_is_refused_and_not_repeated(
    options: tuple[str, str],
    code: int,
    message: str,
    tgdpo: Callable[..., tuple[int, str]],
    home: Path,
) -> None:
    found, said = tgdpo("train", *options, "--output-dir", str(home / "run"))
    assert found == code, said
    assert message in said
    assert not (home / "run").exists()
    require_no_file_with_one(home)


def test_S8_an_upload_holds_none(
    home: Path,
    model_folder: Path,
    small_rows: list[dict[str, Any]],
    small_tokenizer: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import transformers.trainer as hf_trainer

    hub = Hub()
    monkeypatch.setattr(hf_trainer, "hf_api", lambda: hub)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    token = CANARIES["hub_token in Python"]
    args = TGDPOConfig(
        output_dir=str(home / "run"),
        use_cpu=True,
        max_steps=2,
        save_steps=1,
        push_to_hub=True,
        hub_model_id="u/x",
        hub_token=token,
    )
    TGDPOTrainer(
        str(model_folder), args=args, train_dataset=small_rows, processing_class=small_tokenizer
    ).train()
    assert "upload_folder" in hub.calls
    (upload,) = hub.uploads
    assert upload.pop("token") == token  # what it is for
    require_none(str(upload) + str(hub.calls), "the upload")
    assert require_no_file_with_one(home) > 30


def test_S8_a_key_in_the_query_of_a_url_is_not_shown() -> None:
    said = without_secrets("{'url': 'http://host/v1?page=2&api_key=abc123'}: refused")
    assert said == "{'url': 'http://host/v1?page=2&api_key=<secret>'}: refused"


def test_S8_what_is_no_secret_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    monkeypatch.setenv("SSH_KEY", "/home/me/.ssh/id")
    monkeypatch.setenv("SHORT_KEY", "abc")
    for text in (
        "a false abc in /home/me/.ssh/id",
        "https://host/a@b",
        "sk-1",
        "me@host:8080",
        "http://host/?monkey=1&page=2",
    ):
        assert without_secrets(text) == text
        assert secret_in({"a": [text]}) is None
    assert os.environ["SHORT_KEY"] == "abc"
