"""Headers of every family that would end the process: each is refused, and the error names the file and the key.

What llama.cpp does with each was seen with `python -m vlmcli.bench.headers`: an assertion, a bad pointer, or no end.
"""

import pytest

from tests.support.spoilt import also, key, no_key, no_weight, shape
from vlmcli.bench import families, mutants, pairs
from vlmcli.bench.mutants import Value
from vlmcli.errors import ModelError
from vlmcli.models import gguf, pairing
from vlmcli.models.encoders import ENCODERS

V = "clip.vision."
WORDS, EYES = "{}.gguf", "mmproj-{}.gguf"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A function: the folder with a family's pair, which is written once."""
    folder, written = tmp_path_factory.mktemp("families"), set()

    def write(name):
        if name not in written:
            families.write(folder, [name])
            written.add(name)
        return folder

    return write


def repeated_token(file):
    tokens = file.key("tokenizer.ggml.tokens").value
    tokens[-1] = b"a"


def extra(name, length):
    """One tensor more, of F32."""
    return lambda file: file.weights.append(mutants.Weight(name.encode(), [length], 0, bytes(4 * length)))


def half(name):
    """The tensor in F16."""

    def change(file):
        found = file.weight(name)
        found.kind, found.data = 1, found.data[: len(found.data) // 2]

    return change


def bf16(name):
    """The tensor, of F16, as if it were of BF16."""
    return lambda file: setattr(file.weight(name), "kind", 30)


def integers(name):
    """The tensor in I32."""

    def change(file):
        found = file.weight(name)
        found.data = found.data * (4 // mutants.BYTES[found.kind])
        found.kind = 26

    return change


ENCODER_CASES = [
    # pictures between two sizes
    ("dots_ocr", key(V + "image_min_pixels", 0), "clip.vision.image_min_pixels is 0"),
    ("dots3note_v", key(V + "image_min_pixels", 0), "clip.vision.image_min_pixels is 0"),
    ("phi4", key(V + "image_min_pixels", 0), "clip.vision.image_min_pixels is 0"),
    ("hunyuanvl", key(V + "image_min_pixels", 0), "clip.vision.image_min_pixels is 0"),
    ("glm5v", key(V + "image_max_pixels", 0), "clip.vision.image_max_pixels is 0"),
    ("exaone4_5", no_key(V + "image_max_pixels"), "clip.vision.image_max_pixels is missing"),
    ("mimovl", key(V + "image_min_pixels", 1 << 30), "clip.vision.image_min_pixels is 1073741824"),
    ("step3vl", key(V + "image_size", 3), "clip.vision.image_size is 3"),
    ("mlp-granite", key(V + "image_grid_pinpoints", [57] * 12), "image_grid_pinpoints cannot be cut into tiles of 56"),
    ("granite4_vision", no_key(V + "image_grid_pinpoints"), "image_grid_pinpoints are missing"),
    ("internvl-gpt-oss", key(V + "preproc_min_tiles", 7), "clip.vision.preproc_min_tiles is 7, which no grid"),
    # what becomes one row
    ("hunyuanvl", key(V + "spatial_merge_size", 3), "spatial_merge_size is 3, not 2"),
    ("minimax_m3", key(V + "spatial_merge_size", 6), "spatial_merge_size is 6, not 2"),
    ("mimovl", key(V + "spatial_merge_size", 3), "spatial_merge_size is 3, not 2"),
    ("lightonocr", key(V + "spatial_merge_size", 3), "tensor mm.patch_merger.weight is 256x64, not 576x64"),
    ("dots_ocr", key(V + "projector.scale_factor", 3), "tensor mm.0.weight is 256x256, not 576x"),
    ("dots3note_v", no_key(V + "spatial_merge_size"), "spatial_merge_size is missing"),
    ("llama4", key(V + "projector.scale_factor", 3), "4 patches a side cannot be merged by 3"),
    ("idefics3-docling", key(V + "projector.scale_factor", 1), "scale_factor is 1"),
    ("minicpmv4_6", key(V + "projector.scale_factor", 3), "scale_factor is 3, not 2 or 4"),
    ("step3vl", key(V + "projector.scale_factor", 5), "scale_factor is 5, not 4"),
    ("granite4_vision", key(V + "projector.window_side", 3), "cannot become"),
    ("granite4_vision", key(V + "projector.query_side", 3), "cannot become"),
    # heads
    ("paddleocr", key(V + "attention.head_count", 3), "3 heads cannot share a width of 64"),
    ("deepseekocr", key(V + "sam.head_count", 3), "3 heads cannot share a width of 32"),
    ("deepseekocr", key(V + "sam.block_count", 4), "tensor v.sam.blk.3."),
    ("deepseekocr2", key(V + "attention.head_count_kv", 3), "attention.head_count_kv is 3, with 4 heads"),
    ("mimovl", key(V + "attention.head_count_kv", 0), "attention.head_count_kv is 0, with 4 heads"),
    ("exaone4_5", key(V + "attention.head_count_kv", 1000), "attention.head_count_kv is 1000, with 4 heads"),
    ("glm5v", shape("v.blk.2.attn_q_norm.weight", 15), "tensor v.blk.2.attn_q_norm.weight is 15, not 16"),
    ("resampler", shape("resampler.query", 64, 16), "tensor resampler.query is 64x16, not 128x"),
    ("resampler", key("clip.minicpmv_query_num", 8), "tensor resampler.query has 16 rows, not 8"),
    # windows
    ("deepseekocr", key(V + "sam.block_count", 1), "clip.vision.sam.block_count is 1, not 3 to"),
    ("muse-glimmer", key(V + "block_count", 1), "clip.vision.block_count is 1, not 2 to"),
    ("deepseekocr", key(V + "window_size", 0), "clip.vision.window_size is 0"),
    ("youtuvl", key(V + "window_size", 3), "clip.vision.window_size is 3"),
    ("qwen2.5o", key(V + "n_wa_pattern", 1), "n_wa_pattern is 1, which leaves no layer with windows"),
    ("mimovl", key(V + "wa_pattern_mode", [-1, 0, 1]), "wa_pattern_mode is not 4 numbers"),
    ("mimovl", key(V + "wa_pattern_mode", [-1, 0, 0, -1]), "without columns"),
    ("mimovl", no_weight("v.blk.1.attn_sinks"), "tensor v.blk.1.attn_sinks is missing"),
    # experts
    ("dots3note_v", key("clip.use_silu", 0), "clip.use_silu is not true"),
    ("dots3note_v", key(V + "expert_used_count", 0), "clip.vision.expert_used_count is 0"),
    ("dots3note_v", shape("v.blk.2.ffn_up_exps.weight", 128, 32, 8), "ffn_up_exps.weight is 128x32x8, not 64x"),
    # places
    ("paddleocr", half("v.position_embd.weight"), "v.position_embd.weight has ggml type 1, not F32"),
    ("granite4_vision", half("v.position_embd.weight"), "v.position_embd.weight has ggml type 1, not F32"),
    ("gemma4v", shape("v.position_embd.weight", 32, 100, 2), "position embeddings for 100 patches a side"),
    ("gemma4uv", shape("v.position_embd.weight", 64, 1120, 1), "v.position_embd.weight is 64x1120x1, not 64x1120x2"),
    ("kimik25", key(V + "embedding_length", 31), "31"),
    ("muse-glimmer", shape("v.position_embd.weight", 32, 15), "its 15 position embeddings do not make a square"),
    ("minicpmv4_6", shape("v.position_embd.weight", 32, 100), "it has 100 position embeddings for 4900 patches"),
    # tensors
    ("cogvlm", no_weight("v.blk.0.attn_qkv.bias"), "tensor v.blk.0.attn_qkv.bias is missing"),
    ("ling3vl", no_weight("v.blk.2.attn_qkv.weight"), "tensor v.blk.2.attn_q.weight is missing"),
    ("glm4v", shape("v.norm_embd.weight", 33), "tensor v.norm_embd.weight is 33, not 32"),
    ("yasa2", shape("v.stage.1.blk.0.grn.weight", 64, 2), "tensor v.stage.1.blk.0.grn.weight is 64x2, not 64"),
    ("gemma3nv", key(V + "image_size", 513), "clip.vision.image_size is 513"),
    ("gemma3nv", key(V + "embedding_length", 31), "31"),
    ("gemma3nv", shape("v.blk.1.0.pw_proj.conv.weight", 1, 1, 16, 17), "v.blk.1.0."),
    ("gemma3nv", bf16("v.blk.1.0.pw_exp.conv.weight"), "pw_exp.conv.weight has ggml type 30, not F32 or F16"),
    ("lightonocr", no_weight("mm.patch_merger.weight"), "mm.patch_merger.weight and a clip.vision.spatial"),
    ("lightonocr", no_weight("mm.input_norm.weight"), "tensor mm.input_norm.weight is missing"),
    ("step3vl", extra("v.class_embd", 32), "tensor v.class_embd is not part of step3vl"),
    ("qwen2.5o", extra("v.patch_embd.bias", 32), "tensor v.patch_embd.bias is not part of qwen2.5vl_merger"),
]  # fmt: skip
WORD_CASES = [
    ("deepseekocr", key("deepseek2-ocr.rope.freq_base", 20000.0), "rope.freq_base is 20000.0, not 10000"),
    ("deepseekocr", also("deepseek2-ocr.attention.key_length", Value(4, 32)), "deepseek2-ocr.attention.key_length"),
    ("deepseekocr2", key("deepseek2-ocr.attention.head_count_kv", 2), "attention.head_count_kv is 2, not 4"),
    ("ling3vl", key("bailingmoe3.expert_gating_func", 0), "bailingmoe3.expert_gating_func is 0, not 1 to 4"),
    ("kimik25", no_key("deepseek2.attention.head_count_kv"), "deepseek2.attention.head_count_kv is missing"),
    ("gemma4uv", key("gemma4.attention.shared_kv_layers", 3), "shared_kv_layers is 3, with 4 layers"),
    ("glm4v", key("glm4.rope.dimension_sections", [-1, 3, 3, 0]), "converted without what pictures need"),
    ("gemma4v", no_key("gemma4.rope.dimension_count_swa"), "gemma4.rope.dimension_count_swa is missing"),
    ("gemma4v", key("gemma4.attention.shared_kv_layers", 2), "shared_kv_layers is 2, but an earlier layer sees"),
    ("gemma4uv", no_key("gemma4.attention.value_length"), "gemma4.attention.key_length is 32, and"),
    ("dots3note_v", key("dots3note.attention.indexer.key_length", 96), "key_length is 96, not a multiple of 64"),
    ("deepseek4v", key("deepseek4.attention.indexer.key_length", 32), "key_length is 32, not a multiple of 64"),
    ("kimik25-glm-dsa", key("glm-dsa.attention.indexer.key_length", 80), "indexer.key_length is 80"),
    ("kimik25-glm-dsa", key("glm-dsa.attention.indexer.types", [False] * 3, 7), "so that no layer has an index"),
    ("exaone4_5", key("exaone4.attention.sliding_window_pattern", [False] * 64, 7), "no layer looks back a window"),
    ("exaone4_5", key("exaone4.attention.sliding_window_pattern", 1, 4), "no layer looks back a window"),
    ("kimik25-glm-dsa", key("glm-dsa.attention.key_length", 41), "glm-dsa.attention.key_length is 41, not 40"),
    ("glm5v", key("glm5-next.attention.indexer.top_k", 63), "indexer.kpool is 4, with an attention.indexer.top_k"),
    ("glm5v", key("glm5-next.attention.indexer.kpool", 1), "glm5-next.attention.indexer.kpool is 1"),
    ("glm5v", key("glm5-next.hyper_connection.count", 2), "glm5-next.hyper_connection.count is 2, not 4"),
    ("deepseek4v", key("deepseek4.hyper_connection.count", 8), "deepseek4.hyper_connection.count is 8, not 4"),
    ("deepseek4v", key("deepseek4.attention.sliding_window", 0), "deepseek4.attention.sliding_window is 0"),
    ("deepseek4v", key("deepseek4.attention.output_group_count", 3), "output_group_count is 3, with 4 heads"),
    ("ling3vl", key("bailingmoe3.kda.safe_gate", 0), "bailingmoe3.kda.safe_gate is False, not true"),
    ("ling3vl", key("bailingmoe3.attention.key_length", 80), "bailingmoe3.attention.key_length is 80, not 40"),
    ("minimax_m3", key("minimax-m3.attention.indexer.block_size", 0), "indexer.block_size is 0"),
    ("minimax_m3", key("minimax-m3.rope.dimension_count", 7), "minimax-m3.rope.dimension_count is 7"),
    ("adapter", key("chatglm.rope.dimension_count", 0), "chatglm.rope.dimension_count is 0"),
    ("adapter", key("chatglm.rope.dimension_count", 24), "chatglm.rope.dimension_count is 24, but a head has 16"),
    ("cogvlm", key("cogvlm.attention.head_count_kv", 3), "cogvlm.attention.head_count_kv is 3, with 4 heads"),
    ("cogvlm", key("cogvlm.rope.dimension_count", 8), "cogvlm.rope.dimension_count is 8, not 16"),
    ("phi4", key("phi3.attention.head_count", 8), "phi3.attention.head_count is 8, which cannot share a width of 64"),
    ("phi4", key("phi3.attention.key_length", 48), "phi3.attention.key_length is 48, and attention.value_length 16"),
    ("internvl-gpt-oss", key("gpt-oss.attention.key_length", 0), "gpt-oss.attention.key_length is 0"),
    ("internvl-gpt-oss", key("gpt-oss.attention.value_length", 3), "and attention.value_length 3"),
    ("lightonocr", key("tokenizer.ggml.model", b"llama"), "its vocabulary has no token <0x00>"),
    ("kimik25", key("deepseek2.rope.scaling.type", b"\n"), "deepseek2.rope.scaling.type is"),
    ("gemma4v", key("gemma4.rope.dimension_count", 0), "gemma4.rope.dimension_count is 0"),
    ("lfm2-lfm2moe", key("lfm2moe.shortconv.l_cache", 1), "lfm2moe.shortconv.l_cache is 1"),
    ("nemotron_v2_vl", key("nemotron_h.ssm.time_step_rank", 3), "with 3 heads in 2 groups"),
    ("minicpmv4_6", key("qwen35.ssm.group_count", 3), "in 3 groups"),
    ("qwen3vl_merger-qwen35moe", no_weight("blk.2.attn_gate.weight"), "tensor blk.2.attn_gate.weight is missing"),
    ("mimovl", no_weight("blk.1.ffn_gate_inp.weight"), "tensor blk.1.ffn_gate_inp.weight is missing"),
    ("step3vl-step35", no_weight("blk.0.ffn_up.weight"), "tensor blk.0.ffn_up.weight is missing"),
    ("nemotron_v2_vl", no_weight("blk.0.ssm_conv1d.bias"), "tensor blk.0.ssm_conv1d.bias is missing"),
    ("phi4", no_weight("blk.1.attn_qkv.weight"), "tensor blk.1.attn_q.weight is missing"),
    ("deepseek4v", integers("blk.3.ffn_gate_inp.weight"), "tensor blk.3.ffn_gate_inp.weight has ggml type 26"),
    ("nemotron_v2_vl", half("blk.0.ssm_conv1d.weight"), "tensor blk.0.ssm_conv1d.weight has ggml type 1, not F32"),
    ("internvl-gpt-oss", half("blk.1.attn_sinks.weight"), "tensor blk.1.attn_sinks.weight has ggml type 1"),
    ("youtuvl", repeated_token, "its vocabulary has the token 'a' twice"),
]  # fmt: skip


CROSSED = [("dots_ocr", "hunyuanvl", "lacks <｜hy_place▁holder▁no▁100｜>"), ("glm5v", "gemma4v", "lacks <|image>")]


@pytest.mark.parametrize(("words", "eyes", "says"), CROSSED)
def test_a_projector_without_its_marks_in_the_vocabulary_is_anothers(whole, words, eyes, says):
    with pytest.raises(ModelError) as caught:
        pairing.check(gguf.read(whole(words) / WORDS.format(words)), gguf.read(whole(eyes) / EYES.format(eyes)))
    assert says in caught.value.message or "does not fit" in caught.value.message
    assert f"mmproj-{eyes}.gguf" in caught.value.message
    assert f"{words}.gguf" in caught.value.message


def refused(whole, tmp_path, name, part, change):
    folder = whole(name)
    paths = [folder / WORDS.format(name), folder / EYES.format(name)]
    which = (WORDS, EYES).index(part)
    file = mutants.read(paths[which].read_bytes())
    change(file)
    paths[which] = tmp_path / paths[which].name
    paths[which].write_bytes(mutants.write(file))
    with pytest.raises(ModelError) as caught:
        pairing.check(*map(gguf.read, paths))
    assert str(paths[which]) in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize(("name", "change", "says"), ENCODER_CASES)
def test_an_encoder_that_would_end_the_process_is_named(whole, tmp_path, name, change, says):
    assert says in refused(whole, tmp_path, name, EYES, change)


@pytest.mark.parametrize(("name", "change", "says"), WORD_CASES)
def test_a_language_model_that_would_end_the_process_is_named(whole, tmp_path, name, change, says):
    assert says in refused(whole, tmp_path, name, WORDS, change)


@pytest.mark.parametrize("name", families.PAIRS)
def test_whole_pairs_are_let_through(whole, name):
    folder = whole(name)
    pairing.check(gguf.read(folder / WORDS.format(name)), gguf.read(folder / EYES.format(name)))


def test_every_type_of_encoder_has_a_pair(whole, small):
    kinds = {gguf.read(small / EYES.format(name)).projector_type for name in pairs.SMALL}
    kinds |= {gguf.read(whole(name) / EYES.format(name)).projector_type for name in families.PAIRS}
    assert kinds == set(ENCODERS)
