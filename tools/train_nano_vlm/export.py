"""Writes the files that are shipped: python -m tools.train_nano_vlm.export CHECKPOINT OUT.

OUT/hf is a transformers folder in bfloat16 under the tensor names that vLLM looks for; OUT/nano.gguf and
OUT/nano-mmproj.gguf are the same numbers for llama.cpp; OUT/train_log.jsonl tells how they came about.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from . import texts
from .data import IMAGE_SIZE
from .gguf_files import write_language_model, write_vision_tower
from .model import PATCH_SIZE

COPIED = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
IMAGE_PROCESSOR = {
    "image_processor_type": "SiglipImageProcessor",
    "processor_class": "LlavaProcessor",
    "do_resize": True,
    "size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "do_convert_rgb": True,
}
PROCESSOR = {
    "processor_class": "LlavaProcessor",
    "patch_size": PATCH_SIZE,
    "vision_feature_select_strategy": "full",
    "num_additional_image_tokens": 0,
    "image_token": texts.IMAGE_TOKEN,
}


def vllm_name(name: str) -> str:
    """A tensor's name with the `vision_model.` that transformers 5 leaves out, and reads either way."""
    if "vision_tower." in name and ".vision_model." not in name:
        return name.replace("vision_tower.", "vision_tower.vision_model.", 1)
    return name


def write_json(path: Path, value: object) -> None:
    """Indented, with a newline at the end: these files are read in diffs."""
    path.write_text(json.dumps(value, indent=2) + "\n")


def write_hf(checkpoint: Path, folder: Path) -> None:
    """The transformers folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        shutil.copyfile(checkpoint / name, folder / name)
    tensors = load_file(checkpoint / "model.safetensors")
    rounded = {vllm_name(name): tensor.to(torch.bfloat16) for name, tensor in tensors.items()}
    save_file(rounded, folder / "model.safetensors", {"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # safetensors makes it readable by its owner only
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | {"dtype": "bfloat16"})
    write_json(folder / "preprocessor_config.json", IMAGE_PROCESSOR)
    write_json(folder / "processor_config.json", PROCESSOR)


def main() -> None:
    """Export, then print the size and sha256 of each weight file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="the folder train.py wrote")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    hf = arguments.out / "hf"
    write_hf(arguments.checkpoint, hf)
    # From the rounded weights: bfloat16 fits into float16 here, so that both engines compute with equal ones.
    tensors = {name: tensor.float().numpy() for name, tensor in load_file(hf / "model.safetensors").items()}
    write_language_model(hf, tensors, arguments.out / "nano.gguf")
    write_vision_tower(hf, tensors, arguments.out / "nano-mmproj.gguf")
    shutil.copyfile(arguments.checkpoint / "train_log.jsonl", arguments.out / "train_log.jsonl")
    for path in (arguments.out / "nano.gguf", arguments.out / "nano-mmproj.gguf", hf / "model.safetensors"):
        print(hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size, path)


if __name__ == "__main__":
    main()
