"""Headers of broken and mismatched pairs: what llama.cpp would end the process on is refused before it sees it."""

import random
from dataclasses import replace

import pytest

from tests.support.program import SCENE, vlm
from tests.support.spoilt import also, key, no_key, no_weight, retyped, shape
from vlmcli import demo
from vlmcli.bench import families, mutants, pairs
from vlmcli.bench.families import maker
from vlmcli.engine import Engine
from vlmcli.errors import ModelError
from vlmcli.models import gguf, pairing, store
from vlmcli.placement import Fit
from vlmcli.values import Answer, Message, ModelFiles, Picture, Request

# What no header tells apart, the language model first: the same architecture, row width and special tokens (all small
# BPE vocabularies have every family's tokens), or a plain mlp, which was put before many architectures. All compute.
ALIKE = {
    ("qwen2vl", "qwen25vl"), ("qwen25vl", "qwen2vl"),
    ("smolvlm", "pixtral"), ("smolvlm", "internvl"), ("pixtral", "smolvlm"), ("pixtral", "internvl"),
    ("internvl", "smolvlm"),
    ("gemma3", "llava"), ("smolvlm", "llava"), ("pixtral", "llava"), ("internvl", "llava"), ("lfm2vl", "llava"),
}  # fmt: skip
CROSSED = [(words, eyes) for words in pairs.SMALL for eyes in pairs.SMALL if words != eyes]
REFUSED = [pair for pair in CROSSED if pair not in ALIKE]


def paths(folder, words, eyes):
    return folder / f"{words}.gguf", folder / f"mmproj-{eyes}.gguf"


def check(model, projector):
    pairing.check(gguf.read(model), gguf.read(projector))


@pytest.fixture
def spoilt(small, tmp_path):
    """A function: change one file of a small pair, and return where the pair is."""

    def spoil(name, which, change):
        out = {}
        for part, path in zip(("words", "eyes"), paths(small, name, name), strict=True):
            file = mutants.read(path.read_bytes())
            if part == which:
                change(file)
            out[part] = tmp_path / path.name
            out[part].write_bytes(mutants.write(file))
        return out

    return spoil


# ---------------------------------------------------------------------------------------------- whole pairs


@pytest.mark.parametrize("name", pairs.SMALL)
def test_a_pair_goes_together(small, name):
    check(*paths(small, name, name))


def test_a_glm_without_sections_sees_nothing(tmp_path):
    pair = families.PAIRS["glm4v"]()
    maker.write("glm4v", pair, tmp_path)
    check(*paths(tmp_path, "glm4v", "glm4v"))
    keys = {key: value for key, value in pair.words.keys.items() if key != "rope.dimension_sections"}
    maker.write("glm4v", replace(pair, words=replace(pair.words, keys=keys)), tmp_path)
    with pytest.raises(ModelError, match=r"glm4v.gguf: converted without what pictures need"):
        check(*paths(tmp_path, "glm4v", "glm4v"))


def test_the_demo_goes_together_and_the_check_costs_milliseconds():
    import time

    headers = gguf.read(demo.FILES.model), gguf.read(demo.FILES.projector)
    pairing.check(*headers)
    started = time.perf_counter()
    for _ in range(20):
        pairing.check(*headers)
    assert (time.perf_counter() - started) / 20 < 0.02


@pytest.mark.parametrize(("words", "eyes"), REFUSED)
def test_another_models_projector_is_refused_and_both_files_are_named(small, words, eyes):
    model, projector = paths(small, words, eyes)
    with pytest.raises(ModelError) as caught:
        check(model, projector)
    assert str(model) in caught.value.message
    assert str(projector) in caught.value.message
    assert "published with this model" in caught.value.hint


@pytest.mark.parametrize(("words", "eyes"), sorted(ALIKE))
def test_what_no_header_tells_apart_is_let_through(small, words, eyes):
    check(*paths(small, words, eyes))


def test_a_width_that_does_not_fit_is_refused(small):
    with pytest.raises(ModelError, match=r"mmproj-llava.gguf: not the projector of .*wide.gguf .*64 .* takes 96"):
        check(*paths(small, "wide", "llava"))


@pytest.mark.parametrize(("words", "eyes"), REFUSED[::5])
def test_the_engine_refuses_them_too(small, words, eyes):
    model, projector = paths(small, words, eyes)
    with Engine(ModelFiles("mixed", model, projector)) as engine, pytest.raises(ModelError) as caught:
        engine.ready()
    assert str(model) in caught.value.message
    assert str(projector) in caught.value.message


def test_the_command_line_refuses_them(small):
    model, projector = paths(small, "llava", "smolvlm")
    done = vlm("ask", "-m", model, "--mmproj", projector, SCENE, "what?")
    assert (done.stdout, done.returncode) == ("", 1)
    assert "mmproj-smolvlm.gguf: not the projector of" in done.stderr.replace("\n", " ")


def test_the_two_exchanged_are_told_apart():
    for door in (store.resolve, None):
        with pytest.raises(ModelError, match="a projector, not a language model"):
            if door:
                door(str(demo.FILES.projector), mmproj=str(demo.FILES.projector))
            else:
                check(demo.FILES.projector, demo.FILES.projector)
    with pytest.raises(ModelError, match="not a projector"):
        check(demo.FILES.model, demo.FILES.model)


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("qwen2vl", "<|vision_start|>"), ("qwen3vl", "<|vision_end|>"), ("gemma3", "<start_of_image>"),
        ("smolvlm", "<fake_token_around_image>"), ("pixtral", "[IMG_END]"), ("internvl", "</img>"),
        ("lfm2vl", "<|image_start|>"),
    ],
)  # fmt: skip
def test_a_vocabulary_without_the_familys_tokens_is_another_models(spoilt, name, token):
    files = spoilt(name, "words", lambda file: without(file, token.encode()))
    with pytest.raises(ModelError) as caught:
        check(files["words"], files["eyes"])
    assert f"lacks {token}" in caught.value.message


def test_a_vocabulary_without_a_token_for_the_overview_gets_its_letters(spoilt):
    """SmolVLM-Instruct and Idefics3-8B are such; libmtmd gives a token of -1 there."""
    files = spoilt("smolvlm", "words", lambda file: without(file, b"<global-img>"))
    check(files["words"], files["eyes"])
    with Engine(ModelFiles("first", files["words"], files["eyes"]), Fit(n_ctx=2048, threads=1)) as engine:
        engine.ready()
        picture = Picture("a" * 64, (80, 60), "a.png", lambda: bytes(80 * 60 * 3))
        (answer,) = engine.run([Request((Message("user", (picture, "what?")),), max_tokens=3)])
        assert isinstance(answer, Answer), answer
        assert b"".join(map(engine.model.piece, engine.projector.spell_overview([-1]))) == b"<global-img>"


def without(file, token):
    tokens = file.key("tokenizer.ggml.tokens").value
    tokens[tokens.index(token)] = token[:-1] + b"~"


def test_an_encoder_of_sound_is_left_to_llama_cpp(spoilt):
    def another(file):
        file.key("clip.projector_type").value = b"ultravox"

    files = spoilt("llava", "eyes", another)
    check(files["words"], files["eyes"])


# ---------------------------------------------------------------------------------------------- one file


V = "clip.vision."
PLACES = b"v.position_embd.weight"
EYES = [
    ("llava", key(V + "embedding_length", 64, 10), "embedding_length is of type u64, not u32"),
    ("llava", also("general.name", mutants.Value(4, 1)), "general.name is of type u32"),
    ("llava", also(V + "feature_layer", mutants.Value(8, [b"x"], True)), "feature_layer is of type"),
    ("llava", also(V + "feature_layer", mutants.Value(5, [1, 99], True)), "names more than 3 layers"),
    ("llava", also(V + "image_grid_pinpoints", mutants.Value(5, [336], True)), "image_grid_pinpoints"),
    ("llava", key("clip.projector_type", b"mlp\0x"), "not a name"),
    ("llava", key(V + "image_mean", [0.5, 0.5]), "image_mean is not three numbers"),
    ("llava", key(V + "image_std", [0.5, 0.0, 0.5]), "image_std is"),
    ("llava", key(V + "image_mean", [float("nan")] * 3), "image_mean is"),
    ("llava", no_key(V + "image_mean"), "image_mean is not three numbers"),
    ("llava", key(V + "attention.layer_norm_epsilon", -1.0), "epsilon is -1"),
    ("llava", key(V + "block_count", 0), "block_count is 0"),
    ("llava", key(V + "block_count", 7), "tensor v.blk.3.attn_q.weight"),
    ("llava", key(V + "embedding_length", 32), "is 14x14x3x64, not 14x14x3x32"),
    ("llava", key(V + "embedding_length", 0), "embedding_length is 0"),
    ("llava", key(V + "attention.head_count", 0), "head_count is 0"),
    ("llava", key(V + "attention.head_count", 3), "3 heads cannot share"),
    ("qwen3vl", key(V + "attention.head_count", 32), "32 heads cannot share"),
    ("llava", also(V + "attention.head_dim", mutants.Value(4, 7)), "head_dim is not 16"),
    ("internvl", also(V + "attention.head_count_kv", mutants.Value(4, 2)), "head_count_kv is not 4"),
    ("internvl", also(V + "preproc_min_tiles", mutants.Value(4, 7)), "cut into 7 to 0 tiles"),
    ("pixtral", also(V + "spatial_merge_size", mutants.Value(4, 2)), "spatial_merge_size of 2 do not match"),
    ("llava", also("clip.minicpmv_version", mutants.Value(4, 3)), "minicpmv_version is of type u32, not i32"),
    ("llava", key(V + "patch_size", 7), "patch_embd.weight is 14x14x3x64, not 7x7x3x64"),
    ("llava", key(V + "patch_size", 0), "patch_size is 0"),
    ("llava", key(V + "image_size", 0), "image_size is 0"),
    ("llava", key(V + "image_size", 112), "17 position embeddings for 65 patches"),
    ("gemma3", key(V + "image_size", 112), "256 position embeddings for 64 patches"),
    ("qwen2vl", key(V + "image_size", 1 << 30), "image_size is"),
    ("qwen2vl", key(V + "image_size", 14 * 400), "400x400 patches"),
    ("qwen3vl", key(V + "spatial_merge_size", 3), "spatial_merge_size is 3"),
    ("smolvlm", key(V + "projector.scale_factor", 0), "scale_factor is 0"),
    ("smolvlm", key(V + "projector.scale_factor", 4), "mm.model.fc.weight is 256x64, not 1024x64"),
    ("smolvlm", key(V + "preproc_image_size", 0), "preproc_image_size is 0"),
    ("internvl", also(V + "preproc_max_tiles", mutants.Value(4, 1 << 31)), "tiles"),
    ("qwen25vl", key(V + "n_wa_pattern", 1), "n_wa_pattern is 1"),
    ("qwen25vl", key(V + "projection_dim", 128), "projection_dim is not 64"),
    ("llava", no_weight("v.patch_embd.weight"), "tensor v.patch_embd.weight"),
    ("qwen2vl", no_weight("v.patch_embd.weight.1"), "tensor v.patch_embd.weight.1"),
    ("qwen3vl", no_weight("v.patch_embd.bias"), "tensor v.patch_embd.bias"),
    ("llava", no_weight("v.position_embd.weight"), "tensor v.position_embd.weight"),
    ("llava", no_weight("v.blk.1.attn_k.weight"), "tensor v.blk.1.attn_k.weight"),
    ("qwen3vl", no_weight("v.blk.1.attn_qkv.weight"), "tensor v.blk.1.attn_qkv.weight"),
    ("llava", no_weight("v.blk.1.attn_k.bias"), "tensor v.blk.1.attn_k.bias is missing, though other layers have it"),
    ("llava", no_weight("v.blk.0.ffn_up.bias"), "tensor v.blk.0.ffn_up.bias is missing, though other layers have it"),
    ("llava", no_weight("v.blk.1.ln2.weight"), "tensor v.blk.1.ln2.weight"),
    ("llava", no_weight("mm.0.bias"), "tensor mm.0.bias"),
    ("qwen3vl", no_weight("v.deepstack.1.fc1.bias"), "tensor v.deepstack.1.fc1.bias"),
    ("qwen3vl", shape("v.deepstack.1.fc2.weight", 128, 32), "v.deepstack.1.fc2.weight is 128x32, not 128x64"),
    ("llava", shape("v.blk.1.attn_q.weight", 64, 32), "attn_q.weight is 64x32, not 64x64"),
    ("qwen3vl", shape("v.blk.1.attn_qkv.weight", 64, 191), "attn_qkv.weight is 64x191, not 64x192"),
    ("llava", shape("v.blk.1.ffn_up.weight", 64, 127), "ffn_up.bias is 128, not 127"),
    ("llava", shape("v.blk.1.ffn_down.bias", 65), "ffn_down.bias is 65, not 64"),
    ("internvl", shape("v.blk.1.ffn_up.weight", 64, 0), "ffn_up.weight is 64x0"),
    ("pixtral", shape("v.blk.1.ffn_gate.weight", 128, 64), "ffn_gate.weight is 128x64, not 64x128"),
    ("llava", shape("v.class_embd", 65), "v.class_embd is 65, not 64"),
    ("gemma3", shape("mm.soft_emb_norm.weight", 32), "mm.soft_emb_norm.weight is 32, not 64"),
    ("lfm2vl", shape("mm.input_norm.bias", 64), "mm.input_norm.bias is 64, not 256"),
    ("pixtral", shape("v.token_embd.img_break", 32), "v.token_embd.img_break is 32, not 64"),
    ("llava", retyped("v.blk.1.attn_q.weight", 26), "has ggml type 26"),
    ("llava", retyped("v.blk.1.attn_q.bias", 30), "has ggml type 30"),
    ("internvl", retyped("v.blk.1.ls1.weight", 30), "has ggml type 30"),
    ("llava", retyped("v.class_embd", 30), "v.class_embd has ggml type 30"),
    ("qwen3vl", retyped("v.position_embd.weight", 30), "v.position_embd.weight has ggml type 30, not F32"),
    ("gemma3", retyped("v.position_embd.weight", 30), "v.position_embd.weight has ggml type 30, not F32"),
    ("gemma3", retyped("v.position_embd.weight", 1), "v.position_embd.weight has ggml type 1, not F32"),
    ("llava", retyped("v.blk.1.attn_q.bias", 1), "has ggml type 1"),
    ("llava", retyped("v.blk.1.ln1.weight", 1), "has ggml type 1"),
]
WORDS = [
    ("llava", key("general.architecture", b"llada"), "does not generate text token by token"),
    ("llava", also("llama.attention.causal", mutants.Value(7, 0)), "does not generate text token by token"),
    ("llava", key("llama.block_count", 0), "block_count is 0"),
    ("llava", key("llama.block_count", 513), "block_count is 513"),
    ("llava", key("llama.embedding_length", 0), "embedding_length is 0"),
    ("llava", key("llama.attention.layer_norm_rms_epsilon", float("nan")), "epsilon is nan"),
    ("lfm2vl", key("lfm2.rope.dimension_count", 7), "dimension_count is 7"),
    ("lfm2vl", key("lfm2.rope.dimension_count", 32), "dimension_count is 32, but a head has 16"),
    ("qwen3vl", key("qwen3vl.rope.dimension_count", 8), "dimension_count is 8, not 16"),
    ("llava", also("llama.nextn_predict_layers", mutants.Value(4, 7)), "nextn_predict_layers is more"),
    ("llava", also("llama.expert_count", mutants.Value(4, 8)), "8 experts, 0 of them used"),
    ("llava", also("llama.expert_used_count", mutants.Value(4, 8)), "0 experts, 8 of them used"),
    ("internvl", key("qwen2.attention.head_count_kv", 2 + (1 << 30)), "head_count_kv is not 0 to"),
    ("internvl", key("qwen2.rope.dimension_count", 8), "dimension_count is 8, not 16"),
    ("qwen3vl", key("qwen3vl.rope.dimension_sections", [0, 0, 0, 0]), "dimension_sections are"),
    ("qwen2vl", key("qwen2vl.rope.dimension_sections", [7, 7, 7, 7]), "dimension_sections are"),
    ("qwen2vl", key("qwen2vl.rope.dimension_sections", -1, 5), "dimension_sections are -1"),
    ("qwen3vl", key("qwen3vl.n_deepstack_layers", 1 << 31), "n_deepstack_layers is more"),
    ("qwen3vl", key("qwen3vl.n_deepstack_layers", 3), "n_deepstack_layers is more than 2, with 3 layers"),
    ("gemma3", key("gemma3.attention.sliding_window", (1 << 31) - 1), "sliding_window is more"),
    ("llava", retyped("token_embd.weight", 26), "has ggml type 26"),
    ("llava", retyped("blk.1.ffn_up.weight", 26), "has ggml type 26"),
    ("llava", retyped("output_norm.weight", 30), "has ggml type 30"),
    ("lfm2vl", retyped("blk.0.shortconv.conv.weight", 30), "not F32"),
]


@pytest.mark.parametrize(("name", "change", "says"), EYES)
def test_a_broken_projector_is_named(spoilt, name, change, says):
    files = spoilt(name, "eyes", change)
    with pytest.raises(ModelError) as caught:
        check(files["words"], files["eyes"])
    assert says in caught.value.message
    assert f"mmproj-{name}.gguf" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "tensor"),
    [("janus_pro", "v.position_embd.weight"), ("llama4", "v.class_embd"), ("cogvlm", "v.eoi"),
     ("adapter", "adapter.boi"), ("resampler", "resampler.query")],
)  # fmt: skip
def test_what_is_joined_with_f32_is_f32(tmp_path, name, tensor):
    families.write(tmp_path, [name])
    words, eyes = paths(tmp_path, name, name)
    check(words, eyes)
    file = mutants.read(eyes.read_bytes())
    retyped(tensor, 1)(file)
    eyes.write_bytes(mutants.write(file))
    with pytest.raises(ModelError, match=f"{tensor} has ggml type 1, not F32"):
        check(words, eyes)


@pytest.mark.parametrize(("name", "change", "says"), WORDS)
def test_a_broken_language_model_is_named(spoilt, name, change, says):
    files = spoilt(name, "words", change)
    with pytest.raises(ModelError) as caught:
        check(files["words"], files["eyes"])
    assert says in caught.value.message
    assert f"{name}.gguf" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("lost", "says"), [(b"<0xC3>", "no token <0xC3>"), (b"<0x5A>", "no token <0x5A>"), (b"<0x65>", "")]
)
def test_a_byte_may_not_be_missing_from_sentencepieces_vocabulary(spoilt, lost, says):
    """But where the letter itself is a token (here e, 0x65), that does."""

    def change(file):
        tokens = file.key("tokenizer.ggml.tokens").value
        tokens[tokens.index(lost)] = b"another"

    files = spoilt("llava", "words", change)
    if not says:
        check(files["words"], files["eyes"])
        return
    with pytest.raises(ModelError, match=says):
        check(files["words"], files["eyes"])


@pytest.mark.parametrize(
    ("counts", "right"),
    [
        ((8, 2, 0, 0), True), ((128, 8, 1, 0), True), ((256, 8, 8, 4), True), ((1025, 1, 0, 0), False),
        ((8, 9, 0, 0), False), ((8, 2, 3, 1), False), ((8, 2, 2, 2), False), ((8, 2, 2, 0), False),
        ((0, 0, 2, 1), False),
    ],
)  # fmt: skip
def test_a_mixture_of_experts_has_counts_that_go_together(spoilt, counts, right):
    ends = ("expert_count", "expert_used_count", "expert_group_count", "expert_group_used_count")

    def change(file):
        for end, count in zip(ends, counts, strict=True):
            also("llama." + end, mutants.Value(4, count))(file)

    files = spoilt("llava", "words", change)
    if right:
        check(files["words"], files["eyes"])
        return
    with pytest.raises(ModelError, match="experts"):
        check(files["words"], files["eyes"])


def test_a_vocabulary_without_bytes_is_left_to_llama_cpp(spoilt):
    def change(file):
        tokens = file.key("tokenizer.ggml.tokens").value
        tokens[:] = [b"no " + one if one.startswith(b"<0x") else one for one in tokens]

    files = spoilt("llava", "words", change)
    check(files["words"], files["eyes"])


def test_a_strangers_names_do_not_reach_the_terminal(spoilt):
    def change(file):
        file.weight("v.blk.1.ffn_up.bias").name = b"v.blk.1.ffn\x1b[31m.bias"

    files = spoilt("llava", "eyes", change)
    with pytest.raises(ModelError) as caught:
        check(files["words"], files["eyes"])
    assert "ffn?[31m.bias" in caught.value.message


def exchanged(file):
    """Up for down, as old LLaVA files have them; clip.cpp turns them round."""
    for layer in range(3):
        for end in ("weight", "bias"):
            up, down = file.weight(f"v.blk.{layer}.ffn_up.{end}"), file.weight(f"v.blk.{layer}.ffn_down.{end}")
            up.name, down.name = down.name, up.name


def later_layers_left_out(file):
    """LLaVA looks at the last layer but one, and some files leave the others' number as it was."""
    file.key("clip.vision.block_count").value = 2


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("llava", exchanged), ("gemma3", exchanged), ("llava", later_layers_left_out),
        ("llava", no_weight("v.class_embd")), ("qwen2vl", key(V + "feed_forward_length", 0)),
        ("lfm2vl", no_weight("mm.input_norm.bias")), ("pixtral", no_key(V + "feed_forward_length")),
    ],
)  # fmt: skip
def test_what_llama_cpp_can_use_is_let_through(spoilt, name, change):
    files = spoilt(name, "eyes", change)
    check(files["words"], files["eyes"])


@pytest.mark.parametrize("name", sorted(families.PAIRS))
def test_a_projector_of_any_type_is_checked(tmp_path, name):
    families.write(tmp_path, [name])
    words, eyes = paths(tmp_path, name, name)
    check(words, eyes)
    whole = mutants.read(eyes.read_bytes())
    wide = [one for one in whole.weights if one.name.startswith(b"v.") and one.name != PLACES and len(one.shape) > 1]
    matrix = max(wide, key=lambda one: one.shape[-2])
    shape(matrix.name.decode(), *matrix.shape[:-2], matrix.shape[-2] - 1, matrix.shape[-1])(whole)
    eyes.write_bytes(mutants.write(whole))
    with pytest.raises(ModelError, match=rf"tensor {matrix.name.decode()} is .*, not "):
        check(words, eyes)


# ---------------------------------------------------------------------------------------------- mutants


def test_a_seed_is_a_mutant(small, tmp_path):
    def made(seed, folder):
        folder.mkdir(exist_ok=True)
        name, what = mutants.mutant(random.Random(seed), small, folder)
        return name, what, [path.read_bytes() for path in paths(folder, name, name)]

    assert made(5, tmp_path / "a") == made(5, tmp_path / "b")
    assert len({made(seed, tmp_path / "c")[1] for seed in range(20)}) == 20


def test_a_file_taken_apart_and_put_together_is_the_same(small):
    for path in sorted(small.glob("*.gguf")):
        assert mutants.write(mutants.read(path.read_bytes())) == path.read_bytes()


def test_mutants_are_errors_or_pairs_and_nothing_else(small, tmp_path):
    refused = 0
    for seed in range(300):
        name, _ = mutants.mutant(random.Random(seed), small, tmp_path)
        try:
            check(*paths(tmp_path, name, name))
        except ModelError as error:
            refused += 1
            assert ".gguf" in error.message
    assert refused > 150
