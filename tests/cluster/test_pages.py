"""What docs/scale.md and the files beside it say: run here, as far as one machine goes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.server.live import serving
from tests.support import ROOT
from tests.support.chat_server import free_port
from tests.support.program import SCENE, VLM, own_environment, vlm
from tests.support.ray_nodes import end_all

PAGE = (ROOT / "docs" / "scale.md").read_text("utf-8")
SRUN = """#!/bin/bash
# What srun does, on this machine: its own options are left out.
while [[ $1 == --* ]]; do shift; done
echo "$*" >> "$CALLS"
exec "$@" --object-store-memory=100000000
"""


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy(SCENE, folder / name)
    return folder


@pytest.mark.cluster
def test_the_job_of_slurm_runs_vlm_on_all_of_its_nodes(pictures, tmp_path):
    """Srun and scontrol are made up; the rest is the script, ray and vlm."""
    tools, home = tmp_path / "bin", tmp_path / "home"
    tools.mkdir()
    home.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", "#!/bin/bash\nprintf '127.0.0.1\\n127.0.0.1\\n'\n")):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    port, output = str(free_port()), tmp_path / "captions.jsonl"
    environment = own_environment({
        "PATH": f"{tools}{os.pathsep}{Path(VLM).parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(home),
        "SLURM_JOB_NODELIST": "two-nodes", "SLURM_CPUS_PER_TASK": "1", "VLM_RAY_PORT": port,
        "CALLS": str(tmp_path / "calls"), "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": "/tmp",
    })  # fmt: skip
    script = ROOT / "docs" / "cluster" / "slurm.sh"
    command = ["bash", str(script), "caption", str(pictures), "-m", "demo", "--output", str(output), "-v"]
    try:
        job = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
            check=False,
        )  # fmt: skip
    finally:
        end_all(home)
    said = job.stdout
    assert job.returncode == 0, said
    assert "2 answered" in said
    assert "asking 2 actors with 1 thread each" in said
    assert len(output.read_text().splitlines()) == 2
    assert [line.split()[2] for line in (tmp_path / "calls").read_text().splitlines()] == [
        "--head", f"--address=127.0.0.1:{port}",
    ]  # fmt: skip


def test_the_job_of_kuberay_is_one_that_vlm_understands(pictures):
    job = yaml.safe_load((ROOT / "docs" / "cluster" / "kuberay.yaml").read_text("utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]["rayClusterSpec"]
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        mounted = {mount["name"]: mount["mountPath"] for one in pod["containers"] for mount in one["volumeMounts"]}
        assert mounted == {volume["name"]: "/shared" for volume in pod["volumes"]} == {"shared": "/shared"}
    name, *words = job["spec"]["entrypoint"].split()
    assert name == "vlm"
    words[words.index("--ray") + 1] = "127.0.0.1:1"
    here = [word.replace("/shared/photos", str(pictures)).replace("/shared", str(pictures.parent)) for word in words]
    here[here.index("-m") + 1] = "demo"
    done = vlm(*here)
    assert done.stderr.splitlines()[-2].startswith("vlm: no Ray cluster answers at ")


@pytest.mark.cluster
def test_ray_data_s_own_processor_asks_vlm_serve(pictures, tmp_path):
    [program] = [code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "ray.data.llm" in code]
    with serving("-m", "demo") as server:
        code = program.replace("http://127.0.0.1:8080", server.url)
        assert code != program
        own = '"local", num_cpus=2, include_dashboard=False, object_store_memory=100_000_000'
        begin = f"import ray\nray.init({own})\n"
        done = subprocess.run(
            [sys.executable, "-c", begin + code], cwd=tmp_path, capture_output=True, text=True, timeout=300,
            check=False, env=own_environment({"RAY_USAGE_STATS_ENABLED": "0"}),
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for path in (tmp_path / "answers").iterdir() for line in path.read_text().splitlines()]
    assert sorted(Path(row["path"]).name for row in rows) == ["a.png", "b.png"]
    assert {row["answer"] for row in rows} == {"A red circle and a blue square."}
