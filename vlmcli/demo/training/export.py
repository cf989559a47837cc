"""Write a trained demo model as the two GGUF files llama.cpp loads, and read them back to train it further.

    python -m vlmcli.demo.training.export demo-training/final.pt

The language model becomes architecture `llama`, the encoder and the projector `clip` with projector type `mlp`.
Matrices are F16, norms, biases and positions F32; embeddings that are only looked up, because the output has a matrix
of its own, are Q8_0 (blocks of 32 along a row). With Q8_0 throughout, llama.cpp rounds what it multiplies to 8 bits,
too, and now and then answers otherwise than PyTorch. The heads that only training uses are left out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from torch import Tensor

from vlmcli.demo import FOLDER
from vlmcli.demo.training import tokenizer
from vlmcli.demo.training.model import DemoModel
from vlmcli.demo.training.tokenizer import SPECIAL, Vocabulary

FILE_NAMES = ("demo.gguf", "mmproj-demo.gguf")
"""Names of the language model's file and of the projector's."""

_EMBEDDINGS, _OUTPUT = "token_embd.weight", "output.weight"

TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['content'] is string -%}{{- message['content'] -}}
{%- else -%}
{%- for part in message['content'] -%}{%- if part['type'] == 'text' -%}{{- part['text'] -}}{%- endif -%}{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


def load(checkpoint: Path) -> tuple[DemoModel, Vocabulary]:
    """The model and the vocabulary of a checkpoint that `vlmcli.demo.training.train` wrote."""
    kept = torch.load(checkpoint, map_location="cpu", weights_only=True)
    vocabulary = Vocabulary(kept["vocabulary"])
    model = DemoModel(vocabulary.size)
    model.load_state_dict(kept["model"])
    return model.eval(), vocabulary


def _put(writer: gguf.GGUFWriter, weights: dict[str, Tensor]) -> None:
    for name, tensor in weights.items():
        values = tensor.detach().float().numpy()
        if name == _EMBEDDINGS and _OUTPUT in weights:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        elif values.ndim == 1 or "norm" in name or "position" in name:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, values.astype(np.float16))


def _close(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_language_model(model: DemoModel, vocabulary: Vocabulary, path: Path) -> None:
    """Write the language model as a GGUF file."""
    shape = model.language_shape
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("vlm demo")
    writer.add_type("model")
    writer.add_license("mit")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_vocab_size(vocabulary.size)
    tokens = vocabulary.tokens()
    kinds = [gguf.TokenType.NORMAL] * vocabulary.used + [gguf.TokenType.CONTROL] * len(SPECIAL)
    kinds += [gguf.TokenType.UNUSED] * (len(tokens) - len(kinds))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(vocabulary.merges())
    writer.add_bos_token_id(vocabulary.end)
    writer.add_eos_token_id(vocabulary.stop)
    writer.add_eot_token_id(vocabulary.stop)
    writer.add_pad_token_id(vocabulary.pad)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(TEMPLATE)
    _put(writer, _language_tensors(model))
    _close(writer)


def _language_tensors(model: DemoModel) -> dict[str, Tensor]:
    """Weights by their names in the language model's file."""
    found = {_EMBEDDINGS: model.embedding.weight, "output_norm.weight": model.decoder.norm.weight}
    for number, block in enumerate(model.decoder.blocks):
        layers = {
            "attn_norm": block.norm1, "attn_q": block.q, "attn_k": block.k, "attn_v": block.v, "attn_output": block.o,
            "ffn_norm": block.norm2, "ffn_gate": block.gate, "ffn_up": block.up, "ffn_down": block.down,
        }  # fmt: skip
        found |= {f"blk.{number}.{name}.weight": layer.weight for name, layer in layers.items()}
    return found if model.output is None else found | {_OUTPUT: model.output}


def write_projector(model: DemoModel, path: Path) -> None:
    """The GGUF file of the vision encoder and the projector."""
    shape, width = model.encoder_shape, model.language_shape.width
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_name("vlm demo projector")
    writer.add_type("mmproj")
    writer.add_license("mit")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_bool("clip.use_gelu", True)
    numbers = {
        "image_size": shape.side, "patch_size": shape.patch, "embedding_length": shape.width,
        "feed_forward_length": shape.inner, "block_count": shape.layers, "projection_dim": width,
        "attention.head_count": shape.heads,
    }  # fmt: skip
    for name, number in numbers.items():
        writer.add_uint32(f"clip.vision.{name}", number)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", shape.epsilon)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.feature_layer", [shape.layers])  # else `mlp` leaves the last one out
    _put(writer, _projector_tensors(model))
    _close(writer)


def _projector_tensors(model: DemoModel) -> dict[str, Tensor]:
    """Weights by their names in the projector's file."""
    encoder, shape = model.encoder, model.encoder_shape
    found = {
        "v.patch_embd.weight": encoder.patch.weight.view(shape.width, 3, shape.patch, shape.patch),
        "v.patch_embd.bias": encoder.patch.bias,
        "v.position_embd.weight": encoder.position,
    }
    layers = {"v.pre_ln": encoder.pre, "v.post_ln": encoder.post, "mm.0": model.projector1, "mm.2": model.projector2}
    for number, block in enumerate(encoder.blocks):
        parts = {
            "ln1": block.ln1, "ln2": block.ln2, "attn_q": block.q, "attn_k": block.k, "attn_v": block.v,
            "attn_out": block.o, "ffn_up": block.up, "ffn_down": block.down,
        }  # fmt: skip
        layers |= {f"v.blk.{number}.{name}": layer for name, layer in parts.items()}
    for name, layer in layers.items():
        found |= {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
    return found


@torch.no_grad()
def read(folder: Path, *, calibrated: bool = False) -> tuple[DemoModel, Vocabulary]:
    """The model and the vocabulary of an exported pair; its heads are new.

    Args:
        folder: with the two files.
        calibrated: with what calibration has added, if it has; without it, the model can be trained further.

    Raises:
        ValueError: the files are of another shape than `DemoModel`.
    """
    files = [gguf.GGUFReader(folder / name) for name in FILE_NAMES]
    tokens, merges = (files[0].get_field(f"tokenizer.ggml.{name}").contents() for name in ("tokens", "merges"))
    vocabulary = tokenizer.rebuilt(tokens, merges)
    model = DemoModel(vocabulary.size)
    for file, weights in zip(files, (_language_tensors(model), _projector_tensors(model)), strict=True):
        stored = {tensor.name: tensor for tensor in file.tensors}
        output = stored.pop(_OUTPUT, None)
        if output is not None and calibrated:
            model.output = torch.empty_like(model.embedding.weight)
            stored[_OUTPUT], weights[_OUTPUT] = output, model.output
        if stored.keys() != weights.keys():
            raise ValueError(f"{folder}: its tensors are not those of {DemoModel.__name__}")
        for name, weight in weights.items():
            if stored[name].n_elements != weight.numel():
                raise ValueError(f"{folder}: {name} is not of the size it has in {DemoModel.__name__}")
            values = gguf.quants.dequantize(stored[name].data, stored[name].tensor_type)
            weight.copy_(torch.from_numpy(values.astype(np.float32)).view(weight.shape))
    return model, vocabulary


def write(model: DemoModel, vocabulary: Vocabulary, folder: Path) -> None:
    """Both files, and a line on stderr about each."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / name for name in FILE_NAMES]
    write_language_model(model, vocabulary, files[0])
    write_projector(model, files[1])
    for path in files:
        sys.stderr.write(f"{path}: {path.stat().st_size / 1e6:.2f} MB\n")


def main() -> None:
    """Write the two files of a checkpoint into a folder."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.demo.training.export", description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER, help="default: the package's")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the checkpoint's weights; the rest are those of the folder's pair"
    )
    options = parser.parse_args()
    model, vocabulary = load(options.checkpoint)
    if options.share < 1:
        mix(model, read(options.folder)[0], options.share)
    write(model, vocabulary, options.folder)


@torch.no_grad()
def mix(model: DemoModel, other: DemoModel, share: float) -> None:
    """Make a model's weights `share` of its own and the rest of another's that it was trained further from.

    Between the two lie models that know what both know (Wortsman et al., Robust fine-tuning of zero-shot models).
    """
    theirs = dict(other.named_parameters())
    for name, weight in model.named_parameters():
        if name in theirs and not name.startswith("heads"):
            weight.mul_(share).add_(theirs[name], alpha=1 - share)


if __name__ == "__main__":
    main()
