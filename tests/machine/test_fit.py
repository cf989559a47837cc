"""What a pair takes in memory, and what is said where it does not fit."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import ROOT
from vlmcli import demo
from vlmcli.errors import ModelError
from vlmcli.machine import fit, tiling
from vlmcli.machine.cache import kept
from vlmcli.models import gguf, shapes
from vlmcli.models.gguf import Header, Tensor
from vlmcli.placement import Device, Fit, Machine

GIB = 1 << 30
SCENE = str(ROOT / "docs" / "images" / "scene.png")


def big(layers=32, window=0):
    """A header of a language model of 9.1 GB: 268 MB a layer, 262 MB of embeddings and as much output."""
    metadata = {
        "general.architecture": "llama", "llama.block_count": layers, "llama.embedding_length": 4096,
        "llama.feed_forward_length": 14336, "llama.attention.head_count": 32, "llama.attention.head_count_kv": 8,
        "llama.context_length": 131_072, "llama.attention.sliding_window": window,
    }  # fmt: skip
    tensors = [Tensor("token_embd.weight", (4096, 32_000), 1, 0), Tensor("output.weight", (4096, 32_000), 1, 0)]
    tensors += [Tensor(f"blk.{n}.ffn_up.weight", (1 << 27,), 1, 0) for n in range(layers)]
    size = sum(tensor.size for tensor in tensors)
    return Header(Path("big.gguf"), metadata, tuple(tensors), 1000, 1000 + size)


def eyes(size=GIB, **keys):
    """A header of a projector of so many bytes: 576 patches of a ViT-L."""
    vision = {
        "image_size": 336, "patch_size": 14, "embedding_length": 1024, "feed_forward_length": 4096, **keys,
    }  # fmt: skip
    metadata = {"general.architecture": "clip"} | {f"clip.vision.{key}": value for key, value in vision.items()}
    return Header(Path("mmproj-big.gguf"), metadata, (Tensor("v.x", (size // 2,), 1, 0),), 0, size)


def gpu(free, kind="gpu"):
    return Device("CUDA0", "a GPU", kind, free, free)


CPU = Fit(n_ctx=8192, n_gpu_layers=0, projector_on_gpu=False)
LAYERS = 32 * (256 << 20)
EDGE = 2 * 32_000 * 4096 * 2  # embeddings and output


def test_the_parts_of_the_sum():
    memory = fit.needs(big(), eyes(), CPU)
    assert memory.weights == LAYERS + EDGE
    assert memory.projector == GIB
    assert memory.cache == 8192 * 32 * 8 * (128 + 128) * 2 == GIB
    assert memory.gpu == 0
    assert memory.total == memory.weights + memory.projector + memory.cache + memory.compute
    words = 512 * 4 * 3 * (14336 + 4096) + 8192 * (512 * 2 + 16) + 16 * 32_000 * 4
    pixels = 336 * 336 * 3
    assert memory.compute == words + 576 * 4 * (4096 + 3 * 1024) + pixels * (4 + 1) + fit.PROCESS
    assert fit.needs(big(window=1024), eyes(), CPU).compute - memory.compute == 8192 * (512 * 2 + 16)
    assert fit.needs(big(), eyes(n_wa_pattern=8), CPU).compute - memory.compute == 576 * 576 * 6
    assert fit.needs(big(), eyes(), replace(CPU, n_ctx=16_384)).cache == 2 * GIB


def recurrent(**keys):
    """A header as Qwen3.5's: in three of four layers a gated delta net, whose state is 2 MB."""
    metadata = {
        "general.architecture": "qwen35", "qwen35.block_count": 32, "qwen35.embedding_length": 4096,
        "qwen35.feed_forward_length": 12288, "qwen35.attention.head_count": 16, "qwen35.attention.head_count_kv": 4,
        "qwen35.attention.key_length": 256, "qwen35.attention.value_length": 256, "qwen35.full_attention_interval": 4,
        "qwen35.ssm.conv_kernel": 4, "qwen35.ssm.inner_size": 4096, "qwen35.ssm.state_size": 128,
        "qwen35.ssm.group_count": 16, "qwen35.context_length": 262_144, **keys,
    }  # fmt: skip
    return Header(Path("recurrent.gguf"), metadata, (), 1000, 1000)


STATE = 24 * 4 * (128 * 4096 + 3 * (4096 + 2 * 16 * 128))


def test_a_recurrent_state_is_kept_for_each_sequence():
    assert fit.needs(recurrent(), eyes(), CPU).cache == 8192 * 8 * 4 * (256 + 256) * 2 + 16 * STATE
    told = {"qwen35.attention.recurrent_layers": [True] * 31 + [False]}
    assert fit.needs(recurrent(**told), eyes(), CPU).cache == 8192 * 4 * (256 + 256) * 2 + 16 * STATE * 31 // 24


def test_where_memory_is_short_fewer_states_are_kept():
    assert fit.fit(recurrent(), Machine(4, 0)).n_parallel == fit.N_PARALLEL
    for free in (16 << 30, 6 << 30, 3 << 30, 1 << 30):
        chosen = fit.fit(recurrent(), Machine(4, free))
        states = 2 * chosen.n_parallel * STATE
        assert states <= free // 8 or chosen.n_parallel == 1
        assert chosen.n_parallel == fit.N_PARALLEL or 2 * states > free // 8
        assert ("at a time" in chosen.reason) == (chosen.n_parallel < fit.N_PARALLEL)


def test_layers_that_share_compress_or_see_little_keep_less():
    def cell(**keys):
        whole = big()
        return kept(replace(whole, metadata=whole.metadata | {f"llama.{name}": keys[name] for name in keys})).cell

    def under(prefix, **keys):
        return {f"{prefix}.{name}": value for name, value in keys.items()}

    assert cell() == 32 * 8 * (128 + 128) * 2
    row = under("attention", key_length=576, value_length=512, head_count_kv=1)
    assert cell(**row, **under("attention", key_length_mla=192, value_length_mla=128)) == 32 * 576 * 2
    assert cell(**under("attention", shared_kv_layers=20)) == 12 * 8 * (128 + 128) * 2
    narrow = under("attention", key_length_swa=64, value_length_swa=64)
    pattern = under("attention", sliding_window_pattern=[True] * 24 + [False] * 8)
    assert cell(**narrow, **pattern) == (24 * 128 + 8 * 256) * 8 * 2
    assert cell(nextn_predict_layers=2) == 30 * 8 * (128 + 128) * 2


def test_what_goes_to_a_gpu():
    whole = fit.needs(big(), eyes(), Fit(n_gpu_layers=-1, projector_on_gpu=False))
    assert whole.gpu_projector == 0
    assert LAYERS + EDGE // 2 + whole.cache < whole.gpu < whole.total - EDGE // 2
    half = fit.needs(big(), eyes(), Fit(n_gpu_layers=17, projector_on_gpu=True))
    assert half.gpu_projector > GIB
    assert half.gpu - half.gpu_projector < LAYERS // 2 + EDGE // 2 + whole.cache * 0.6 + GIB
    assert fit.needs(big(), eyes(), Fit(n_gpu_layers=1, projector_on_gpu=False)).gpu < EDGE // 2 + GIB


def test_a_model_in_parts_is_weighed_whole(tmp_path):
    for number in (1, 2, 3):
        (tmp_path / f"m-{number:05d}-of-00003.gguf").write_bytes(bytes(1000 * number))
    header = replace(big(), path=tmp_path / "m-00001-of-00003.gguf", data=200, file_size=1000)
    assert fit.needs(header, eyes(), CPU).weights == 800 + 2000 + 3000
    (tmp_path / "m-00002-of-00003.gguf").unlink()
    assert fit.needs(header, eyes(), CPU).weights == 800 + 3000


def test_unknown_memory_is_not_judged():
    fit.check_memory(big(), eyes(), Machine(4, 0), CPU)
    fit.check_memory(big(), eyes(), Machine(4, 0, (gpu(0),)), Fit())


@pytest.mark.parametrize("total", [1, 2, 4, 6, 8, 10, 10.5, 10.75, 11, 12, 16, 64])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.9])
def test_it_is_refused_exactly_where_it_does_not_fit(total, share):
    machine = Machine(4, int(total * share * GIB), (), int(total * GIB))
    memory = fit.needs(big(), eyes(), CPU)
    room = memory.total <= machine.memory_total and memory.total - memory.weights <= machine.memory_free
    if room:
        fit.check_memory(big(), eyes(), machine, CPU)
        return
    with pytest.raises(ModelError) as caught:
        fit.check_memory(big(), eyes(), machine, CPU)
    message, hint = caught.value.message, caught.value.hint
    assert message.startswith("big.gguf with mmproj-big.gguf needs about ")
    assert "weights 9.11 GB, projector 1.07 GB, KV cache 1.07 GB, computing " in message
    if "--ctx" in hint:
        cells = int(hint.split("--ctx ")[1])
        assert 1024 <= cells < CPU.n_ctx
        fit.check_memory(big(), eyes(), machine, replace(CPU, n_ctx=cells))
        with pytest.raises(ModelError):
            fit.check_memory(big(), eyes(), machine, replace(CPU, n_ctx=cells + 256))
    else:
        assert "smaller quantisation" in hint
        with pytest.raises(ModelError):
            fit.check_memory(big(), eyes(), machine, replace(CPU, n_ctx=1024))


def test_weights_that_llama_cpp_copies_count_twice_and_may_leave_their_file():
    model = shapes.headers("internvl3-8b")[0]
    plain, twice = (replace(CPU, repacked=kinds) for kinds in (frozenset(), frozenset({shapes.Q4_K})))
    copied = fit.needs(model, eyes(), twice).repacked
    embeddings = next(tensor for tensor in model.tensors if tensor.name == "token_embd.weight")
    assert embeddings.kind == shapes.Q4_K
    assert copied == sum(one.size for one in model.tensors if one.kind == shapes.Q4_K) - embeddings.size
    assert fit.needs(model, eyes(), twice).total == fit.needs(model, eyes(), plain).total + copied
    assert fit.needs(model, eyes(), replace(twice, n_gpu_layers=-1)).repacked == 0
    assert 0.4 < fit.needs(model, eyes(), replace(twice, n_gpu_layers=15)).repacked / copied < 0.5
    needed = fit.needs(model, eyes(), twice)
    machine = Machine(4, 0, (), needed.total - copied, frozenset({shapes.Q4_K}))
    assert not fit.missing(needed, machine)
    assert "and this machine has" in fit.missing(needed, replace(machine, memory_total=machine.memory_total - 1))


def test_weights_are_kept_once_where_there_is_no_room_for_a_copy():
    model, projector = shapes.headers("internvl3-8b")
    machine = Machine(4, 20 * GIB, (), 24 * GIB, frozenset({shapes.Q4_K}))
    roomy = fit.fit(model, machine, projector=projector)
    assert (roomy.repack, roomy.repacked) == (True, machine.repacked)
    short = replace(machine, memory_free=int(2.5 * GIB))
    tight = fit.fit(model, short, projector=projector)
    assert (tight.repack, fit.needs(model, projector, tight).repacked) == (False, 0)
    assert "weights not repacked" in tight.reason
    assert fit.missing(fit.needs(model, projector, tight), short) == ""


def test_weights_that_are_slower_when_repacked_are_left_as_they_are():
    model, kinds = shapes.headers("internvl3-8b")[0], frozenset({shapes.Q4_K})
    machine = Machine(4, 1 << 40, repacked=kinds)
    assert fit.fit(model, machine).repack
    assert not fit.fit(model, replace(machine, slower=kinds)).repack
    assert fit.fit(model, replace(machine, slower=frozenset({2}))).repack


@pytest.mark.parametrize("name", shapes.SHAPES)
def test_a_model_of_a_real_shape_has_a_place_and_a_reason(name):
    """On a laptop of 16 GB, and on one with a GPU of 8."""
    model, projector = shapes.headers(name)
    for devices in ((), (gpu(8 * GIB),)):
        chosen = fit.fit(model, Machine(8, 12 * GIB, devices, 16 * GIB), projector=projector)
        needed = fit.needs(model, projector, chosen)
        assert chosen.n_batch >= tiling.bidirectional_rows(projector)
        assert chosen.n_ctx >= fit.CTX_FLOOR
        assert f"context {chosen.n_ctx}" in chosen.reason
        assert needed.total > model.file_size * 0.9
        if chosen.projector_on_gpu:
            assert needed.gpu_projector > projector.file_size * 0.9


def test_the_words_of_the_three_refusals():
    def said(machine, chosen=CPU):
        with pytest.raises(ModelError) as caught:
            fit.check_memory(big(), eyes(), machine, chosen)
        return caught.value

    whole = said(Machine(4, 7 * GIB, (), int(7.8 * GIB)))
    assert whole.message.startswith("big.gguf with mmproj-big.gguf needs about 11.4 GB (weights 9.11 GB, ")
    assert whole.message.endswith("and this machine has 8.38 GB")
    busy = said(Machine(4, int(1.8 * GIB), (), 32 * GIB))
    assert "in addition to its weights" in busy.message
    assert busy.message.endswith("and 1.93 GB are free")
    assert busy.hint.startswith("use a smaller context: --ctx ")
    huge = said(Machine(4, 30 * GIB, (), 32 * GIB), replace(CPU, n_ctx=1 << 22))
    assert "KV cache 549.8 GB" in huge.message
    assert "--ctx" in huge.hint
    small = said(Machine(4, 60 * GIB, (gpu(6 * GIB),), 64 * GIB), Fit(projector_on_gpu=False))
    assert "on the GPU, where 6.44 GB are free" in small.message
    assert "--gpu-layers" in small.hint
    layers = int(small.hint.split("--gpu-layers ")[1])
    chosen = Fit(n_gpu_layers=layers, projector_on_gpu=False)
    assert 10 < layers < 32
    fit.check_memory(big(), eyes(), Machine(4, 60 * GIB, (gpu(6 * GIB),), 64 * GIB), chosen)


def test_a_projector_that_a_gpu_has_no_room_for_stays_on_the_cpu():
    """llama.cpp ends the process when it does not fit."""
    alone = fit.needs(big(), eyes(), Fit(projector_on_gpu=False)).gpu
    eye = fit.needs(big(), eyes(), Fit()).gpu_projector
    for spare, on_gpu in ((eye + 2 * fit.GPU_MARGIN, True), (eye - 1, False), (0, False), (GIB, False)):
        machine = Machine(4, 60 * GIB, (gpu(alone + spare),), 64 * GIB)
        chosen = fit.fit(big(), machine, projector=eyes())
        assert chosen.projector_on_gpu == on_gpu, spare
        assert ("the projector on the CPU, because it needs 1.09 GB" in chosen.reason) != on_gpu
        fit.check_memory(big(), eyes(), machine, chosen)
    assert fit.fit(big(), Machine(4, 0, (gpu(0),)), projector=eyes()).projector_on_gpu  # unknown
    assert fit.fit(big(), Machine(4, 60 * GIB, (gpu(1),), 0)).projector_on_gpu  # no projector to judge


@pytest.mark.parametrize("free", [n * GIB // 4 for n in range(1, 60, 3)])
def test_what_is_proposed_fits(free):
    """Whatever the GPU has: the choice passes, or the hint's does."""
    machine = Machine(4, 60 * GIB, (gpu(free),), 64 * GIB)
    chosen = fit.fit(big(), machine, projector=eyes())
    try:
        fit.check_memory(big(), eyes(), machine, chosen)
    except ModelError as error:
        word, number = error.hint.split(": --")[1].split()
        key = {"ctx": "n_ctx", "gpu-layers": "n_gpu_layers"}[word]
        fit.check_memory(big(), eyes(), machine, replace(chosen, **{key: int(number)}, projector_on_gpu=False))


MEMINFO = "MemTotal:       16000000 kB\nMemFree:  1 kB\nMemAvailable:    9000000 kB\n"


def machine_root(tmp_path, files):
    for name, text in {"proc/meminfo": MEMINFO, **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


V1 = "sys/fs/cgroup/memory"


@pytest.mark.parametrize(
    ("files", "free", "total"),
    [
        ({}, 9_000_000 << 10, 16_000_000 << 10),
        (
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "5"},
            9_000_000 << 10, 16_000_000 << 10,
        ),
        (  # version 2, seen from inside; pages of files that can be dropped are free
            {
                "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "4000000000\n",
                "sys/fs/cgroup/memory.current": "3000000000\n",
                "sys/fs/cgroup/memory.stat": "anon 5\ninactive_file 500000000\n",
            },
            1_500_000_000, 4_000_000_000,
        ),
        (  # version 2, a limit on a group above
            {
                "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "4000000000",
                "sys/fs/cgroup/a/memory.current": "1000000000", "sys/fs/cgroup/a/b/memory.max": "max",
            },
            3_000_000_000, 4_000_000_000,
        ),
        (  # version 1
            {
                "proc/self/cgroup": "5:cpu:/\n4:memory:/x\n0::/\n",
                f"{V1}/memory.limit_in_bytes": "9223372036854771712",
                f"{V1}/x/memory.limit_in_bytes": "2000000000", f"{V1}/x/memory.usage_in_bytes": "1900000000",
                f"{V1}/x/memory.stat": "total_inactive_file 400000000\n",
            },
            500_000_000, 2_000_000_000,
        ),
        (  # more used than allowed is none free, which is not the same as unknown
            {
                "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000",
                "sys/fs/cgroup/memory.current": "2000",
            },
            1, 1000,
        ),
        (
            {"proc/self/limits": "Limit\nMax address space         3000000000  unlimited  bytes\n",
             "proc/self/status": "Name: x\nVmSize:\t 1000 kB\n"},
            3_000_000_000 - (1000 << 10), 3_000_000_000,
        ),
        ({"proc/meminfo": ""}, 0, 0),
        ({"proc/self/cgroup": "rubbish\n:\n", "proc/self/limits": "Max address space unlimited unlimited"},
         9_000_000 << 10, 16_000_000 << 10),
    ],
)  # fmt: skip
def test_memory_within_the_limits_of_machine_container_and_process(tmp_path, files, free, total):
    assert fit.memory(machine_root(tmp_path, files)) == (free, total)


def test_this_machine_says_what_it_has():
    free, total = fit.memory()
    assert 0 <= free <= total
    if Path("/proc/meminfo").exists():
        assert free > 0
    assert fit.this_machine().memory_total == total


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="reads the process's own limit from /proc")
@pytest.mark.parametrize("record", [[], ["--json"]])
def test_a_context_that_cannot_be_is_refused_before_it_is_tried(record):
    """Seventeen GB, in a process that may have three."""
    import resource

    done = subprocess.run(
        [str(Path(sys.executable).with_name("vlm")), "ask", "-m", "demo", SCENE, "what is this?", "--ctx", "4194304",
         *record],
        capture_output=True, text=True, check=False, timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (3 * GIB, 3 * GIB)),
    )  # fmt: skip
    assert done.returncode == 1
    assert (
        "demo.gguf with mmproj-demo.gguf needs about 17.3 GB (weights 4.2 MB, projector 3.7 MB, KV cache 12.9 GB"
        in done.stderr
    )
    assert "and this machine has 3.22 GB" in done.stderr
    hint = next(line for line in done.stderr.splitlines() if "--ctx" in line)
    cells = int(hint.split("--ctx ")[1].split()[0])
    assert 100_000 < cells < 800_000
    assert ('"ModelError"' in done.stdout) == bool(record)


def test_what_the_demo_takes_is_little():
    model, projector = gguf.read(demo.FILES.model), gguf.read(demo.FILES.projector)
    assert fit.needs(model, projector, Fit(n_ctx=4096)).total < 100 << 20


def test_a_model_whose_embeddings_have_no_dimensions_is_somebody_elses_to_refuse():
    header = big()
    odd = replace(header, tensors=(Tensor("token_embd.weight", (), 1, 0), *header.tensors[1:]))
    assert fit.needs(odd, eyes(), Fit()).compute < fit.needs(header, eyes(), Fit()).compute
