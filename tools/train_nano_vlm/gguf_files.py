"""Writes a nano checkpoint as llama.cpp's two files: the language model and the vision projector (mmproj)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

Tensors = Mapping[str, np.ndarray]

TEXT_LAYER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
VISION_LAYER = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out",
    "layer_norm1": "ln1",
    "layer_norm2": "ln2",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
}
PROJECTOR = {"linear_1": "mm.0", "linear_2": "mm.2"}


def find(tensors: Tensors, ending: str) -> np.ndarray:
    """The one tensor whose name ends so: prefixes differ between transformers' versions."""
    names = [name for name in tensors if name.endswith(ending)]
    if len(names) != 1:
        raise ValueError(f"{len(names)} tensors end in {ending!r}: {names}")
    return tensors[names[0]]


def rope_order(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key projection in the order of llama.cpp's rotary embedding.

    transformers rotates the halves of a head (0 with d/2), ggml's Llama neighbours (0 with 1).
    """
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def put(writer: gguf.GGUFWriter, name: str, tensor: np.ndarray) -> None:
    """Add a tensor: matrices in float16, vectors in float32 as llama.cpp expects of norms and biases."""
    kind = np.float16 if tensor.ndim >= 2 else np.float32
    writer.add_tensor(name, np.ascontiguousarray(tensor.astype(kind)))


def finish(writer: gguf.GGUFWriter) -> None:
    """Write the file."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer: gguf.GGUFWriter, folder: Path, text: Mapping[str, Any]) -> None:
    """Tokens, merges, special ids and the chat template."""
    spec = json.loads((folder / "tokenizer.json").read_text())
    special = {token["id"]: token["content"] for token in spec["added_tokens"]}
    known = {number: token for token, number in spec["model"]["vocab"].items()} | special
    names, kinds = [], []
    for number in range(text["vocab_size"]):
        names.append(known.get(number, f"[PAD{number}]"))
        in_use = gguf.TokenType.NORMAL if number in known else gguf.TokenType.UNUSED
        kinds.append(gguf.TokenType.CONTROL if number in special else in_use)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(names)
    writer.add_token_types(kinds)
    merges = spec["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_bos_token_id(text["bos_token_id"])
    writer.add_eos_token_id(text["eos_token_id"])
    writer.add_pad_token_id(text["pad_token_id"])
    writer.add_add_bos_token(False)
    writer.add_chat_template((folder / "chat_template.jinja").read_text())


def write_language_model(folder: Path, tensors: Tensors, path: Path) -> None:
    """The Llama half with the tokenizer of the transformers folder."""
    text = json.loads((folder / "config.json").read_text())["text_config"]
    heads, kv_heads, head_width = text["num_attention_heads"], text["num_key_value_heads"], text["head_dim"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("nano")
    writer.add_license("apache-2.0")
    writer.add_context_length(text["max_position_embeddings"])
    writer.add_embedding_length(text["hidden_size"])
    writer.add_block_count(text["num_hidden_layers"])
    writer.add_feed_forward_length(text["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head_width)
    writer.add_value_length(head_width)
    writer.add_layer_norm_rms_eps(text["rms_norm_eps"])
    writer.add_rope_freq_base(text["rope_parameters"]["rope_theta"])
    writer.add_rope_dimension_count(head_width)
    writer.add_vocab_size(text["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    add_tokenizer(writer, folder, text)
    put(writer, "token_embd.weight", find(tensors, "embed_tokens.weight"))
    put(writer, "output_norm.weight", find(tensors, "model.norm.weight"))
    permuted = {"attn_q": heads, "attn_k": kv_heads}
    for layer in range(text["num_hidden_layers"]):
        for theirs, ours in TEXT_LAYER.items():
            weight = find(tensors, f"model.layers.{layer}.{theirs}.weight")
            if ours in permuted:
                weight = rope_order(weight, permuted[ours])
            put(writer, f"blk.{layer}.{ours}.weight", weight)
    finish(writer)


def write_vision_tower(folder: Path, tensors: Tensors, path: Path) -> None:
    """The SigLIP tower and the projector."""
    config = json.loads((folder / "config.json").read_text())
    vision, half = config["vision_config"], [0.5, 0.5, 0.5]
    layers, key = vision["num_hidden_layers"], "clip.vision."
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_string("general.type", "mmproj")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_bool("clip.has_llava_projector", True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_bool("clip.use_gelu", True)
    writer.add_uint32(key + "image_size", vision["image_size"])
    writer.add_uint32(key + "patch_size", vision["patch_size"])
    writer.add_uint32(key + "embedding_length", vision["hidden_size"])
    writer.add_uint32(key + "feed_forward_length", vision["intermediate_size"])
    writer.add_uint32(key + "block_count", layers)
    writer.add_uint32(key + "attention.head_count", vision["num_attention_heads"])
    writer.add_uint32(key + "projection_dim", config["text_config"]["hidden_size"])
    writer.add_float32(key + "attention.layer_norm_epsilon", vision["layer_norm_eps"])
    writer.add_array(key + "image_mean", half)
    writer.add_array(key + "image_std", half)
    # The last hidden state. Unsaid, llama.cpp would stop one layer early, as LLaVA 1.5 does.
    writer.add_array(key + "feature_layer", [layers])
    for part in ("weight", "bias"):
        put(writer, f"v.patch_embd.{part}", find(tensors, f"embeddings.patch_embedding.{part}"))
    # llama.cpp adds positions to float32 activations and wants them in float32 too.
    writer.add_tensor(
        "v.position_embd.weight", find(tensors, "embeddings.position_embedding.weight").astype(np.float32)
    )
    for layer in range(layers):
        for theirs, ours in VISION_LAYER.items():
            for part in ("weight", "bias"):
                weight = find(tensors, f"vision_model.encoder.layers.{layer}.{theirs}.{part}")
                put(writer, f"v.blk.{layer}.{ours}.{part}", weight)
    for theirs, ours in PROJECTOR.items():
        for part in ("weight", "bias"):
            put(writer, f"{ours}.{part}", find(tensors, f"multi_modal_projector.{theirs}.{part}"))
    finish(writer)
