"""How actors share a cluster, and what becomes of rows: what needs no Ray."""

import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.program import ANSWER, SCENE, vlm
from vlmcli import __version__, demo
from vlmcli.batch.course import jobs_of
from vlmcli.batch.run import Outcome
from vlmcli.cluster import model, spread
from vlmcli.cluster.actor import GROUP, REPLY, Actor
from vlmcli.cluster.messages import ENGINES, Broken, Copy, Group, Plan, Reply
from vlmcli.cluster.nodes import Node, Share, share_of
from vlmcli.demo import scenes
from vlmcli.errors import ClusterError, ModelError, SourceError, UsageError
from vlmcli.later import Later
from vlmcli.pictures.sources import Source
from vlmcli.pictures.stores import Stored
from vlmcli.records.journal import Fingerprint
from vlmcli.settings import Settings
from vlmcli.tasks.ask import Ask
from vlmcli.values import Answer, ModelFiles, Server

fsspec = Later("fsspec")


@pytest.mark.parametrize(("nodes", "actors", "share"), [
    ([(8, 0)], 0, Share(1, 8)),
    ([(8, 0), (8, 0)], 0, Share(2, 8)),
    ([(8, 0)], 3, Share(3, 2)),
    ([(8, 0), (4, 0)], 3, Share(3, 4)),
    ([(8, 0), (4, 0), (0, 0)], 0, Share(2, 4)),
    ([(1, 0), (1, 0)], 3, Share(3, 0.5)),
    ([(2, 0)], 3, Share(3, 0.5)),
    ([(0.5, 0)], 2, Share(2, 0.5)),
    ([(32, 4), (16, 4)], 0, Share(8, 4.0, 1)),
    ([(32, 4), (16, 4)], 2, Share(2, 4.0, 1)),
    ([(64, 0), (2, 4)], 0, Share(4, 0.5, 1)),
])  # fmt: skip
def test_each_actor_gets_an_even_share(nodes, actors, share):
    found = share_of([Node(str(number), *has) for number, has in enumerate(nodes)], actors)
    assert found == share
    assert found.threads >= 1


@pytest.mark.parametrize(("nodes", "actors", "said"), [
    ([(0, 0)], 0, "no CPU cores"),
    ([(8, 2)], 3, "only 2 GPUs"),
])  # fmt: skip
def test_what_cannot_be_shared_is_said(nodes, actors, said):
    with pytest.raises(UsageError, match=said):
        share_of([Node("a", *has) for has in nodes], actors)


def test_rows_have_a_picture_s_questions_together_and_paths_that_hold_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, two = Ask("one?"), Ask("two?")
    jobs = jobs_of([(Source("a.png", Path("a.png")),), (Source("b.png", b"bytes"),)], [one, two])
    tasks = spread.tasks_of(jobs)
    assert tasks == (one, two)
    left = [(number, job) for number, job in enumerate(jobs) if number != 2]
    assert list(spread.groups_of(left, tasks)) == [
        Group(0, (Source("a.png", tmp_path / "a.png"),), ((0, 0), (1, 1))),
        Group(1, (Source("b.png", b"bytes"),), ((3, 1),)),
    ]


def plan(**more):
    copies = model.copies(demo.FILES, ship=False)
    return Plan(demo.FILES, copies, (Ask("what is this?"),), Settings(), __version__, **more)


def test_an_actor_replies_to_each_row_also_to_a_broken_picture(tmp_path):
    scenes.draw(scenes.make(random.Random(1), size=(192, 160))).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    actor = Actor(plan(), 1)
    groups = [
        Group(number, (Source(name, tmp_path / name),), ((number, 0),))
        for number, name in enumerate(("good.png", "bad.png", "missing.png"))
    ]
    replies = replies_of(actor, *groups)
    actor.close()
    ends = [reply.outcomes[0][1] for reply in replies]
    assert isinstance(ends[0], Answer)
    assert ends[0].text
    assert [type(one) for one in ends[1:]] == [SourceError, SourceError]
    assert [bool(reply.fingerprints[0].sha256) for reply in replies] == [True, True, False]
    assert [reply.number for reply in replies] == [0, 1, 2]


def test_an_actor_fetches_what_is_in_a_store_and_one_that_is_missing_is_that_picture_s_error(tmp_path):
    store = fsspec.filesystem("memory")
    store.pipe_file("/b/good.png", Path(SCENE).read_bytes())
    actor = Actor(plan(), 1)
    try:
        replies = replies_of(actor, *(
            Group(number, (Source(name, Stored(name)),), ((number, 0),))
            for number, name in enumerate(("memory://b/good.png", "memory://b/missing.png", "memory://b/good.png"))
        ))  # fmt: skip
    finally:
        actor.close()
        store.store.clear()
    ends = [reply.outcomes[0][1] for reply in replies]
    assert [ends[0].text, ends[2].text] == [ANSWER.strip()] * 2
    assert isinstance(ends[1], SourceError)
    assert ends[1].message == "memory://b/missing.png: there is no such object"


@pytest.mark.parametrize(("content", "said"), [(None, "there is no such file"), (b"other", "another file")])
def test_a_model_that_is_not_on_a_node_breaks_the_run_and_not_its_pictures(tmp_path, content, said):
    files = ModelFiles("mine", tmp_path / "mine.gguf", tmp_path / "mmproj-mine.gguf")
    if content is not None:
        files.model.write_bytes(content)
    copies = Copy(files.model.name, 1000), Copy(files.projector.name, 1000)
    one = Plan(files, copies, (Ask("?"),), Settings(), __version__)
    with pytest.raises(ModelError, match=said) as caught:
        model.here(one)
    assert "--ship-model" in caught.value.hint
    [broken] = replies_of(Actor(one, 1), Group(0, (), ()))
    assert isinstance(broken, Broken)
    assert said in broken.error.message
    assert broken.error.message.startswith("on ")


def replies_of(actor, *groups):
    return [pickle.loads(one) for one in actor({GROUP: [pickle.dumps(one) for one in groups]})[REPLY]]


def of_vllm():
    files = ModelFiles("demo", Path(), Path(), servers=(Server("vllm"),))
    opens = ENGINES["vllm"]
    return Plan(files, model.copies(files, ship=False), (Ask("what is this?"),), Settings(), __version__, opens=opens)


def test_where_vllm_is_not_installed_that_is_said(tmp_path):
    [broken] = replies_of(Actor(of_vllm(), 1), Group(0, (), ()))
    assert "--engine vllm needs the package vllm" in broken.error.message


def made_up_vllm(tmp_path, monkeypatch, program):
    """Something to be imported as vllm, whose server is a program."""
    package = tmp_path / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").touch()
    (package / "api_server.py").write_text(program)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")


def test_a_vllm_that_cannot_load_the_model_breaks_the_run_with_its_last_words(tmp_path, monkeypatch):
    made_up_vllm(tmp_path, monkeypatch, "import sys; sys.exit('ValueError: no such model\\n\\n')")
    [broken] = replies_of(Actor(of_vllm(), 1), Group(0, (), ()))
    assert "the vLLM server ended (ValueError: no such model)" in broken.error.message
    assert "vllm serve" in broken.error.hint


def test_vllm_is_asked_as_any_server_is(tmp_path, monkeypatch):
    """A made-up vllm, whose server is `vlm serve`: it is started with vLLM's own options."""
    made_up_vllm(
        tmp_path, monkeypatch,
        "import sys\n"
        "options = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        "from vlmcli.cli import app\n"
        "where = ['--host', options['--host'], '--port', options['--port']]\n"
        "app.main(['serve', '--models', options['--model'], *where])\n",
    )  # fmt: skip
    scenes.draw(scenes.make(random.Random(1), size=(192, 160))).save(tmp_path / "good.png")
    actor, row = Actor(of_vllm(), 1), Group(0, (Source("good.png", tmp_path / "good.png"),), ((0, 0),))
    try:
        [there], [here] = replies_of(actor, row), replies_of(Actor(plan(), 1), row)
        assert not isinstance(there, Broken), there.error
        assert there.outcomes[0][1].text == here.outcomes[0][1].text != ""
    finally:
        actor.close()


class Losing:
    """A cluster that loses the last reply so many times; Ray itself cannot be made to."""

    def __init__(self, times):
        self.times, self.asked, self.ready = times, [], None

    def ask(self, groups):
        self.asked.append([group.number for group in groups])
        self.times -= 1
        for group in groups if self.times < 0 else groups[:-1]:
            error = SourceError(f"{group.pictures[0].name}: is broken")
            yield Reply(group.number, tuple((number, error) for number, _ in group.jobs), (Fingerprint(),))


@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_a_lost_picture_is_asked_about_again_and_not_for_ever(times):
    jobs = jobs_of([(Source(f"{number}.png", b""),) for number in range(3)], [Ask("?")])
    run, cluster = spread.Spread(jobs, demo.FILES), Losing(times)
    steps = run.gathered(cluster)
    if times == 3:
        with pytest.raises(ClusterError, match="1 picture got lost in the Ray cluster 3 times"):
            list(steps)
        return
    ended = [step.job for step in steps if isinstance(step, Outcome)]
    assert ended == list(jobs)
    assert cluster.asked == [[0, 1, 2], *[[2]] * times]


@pytest.mark.parametrize(("options", "said"), [
    (("--engine", "vllm"), "--engine does nothing without --ray"),
    (("--ray", "local", "--engine", "vllm"), "--engine vllm needs the name of a model"),
    (("--ray", "local", "--engine", "vllm", "-m", "a/b", "--ctx", "512"), "--ctx does nothing with --engine vllm"),
    (("--actors", "2"), "--actors does nothing without --ray"),
    (("--ship-model",), "--ship-model does nothing without --ray"),
    (("--ray", " "), "--ray needs the address"),
    (("--ray", "local", "--server", "http://127.0.0.1:1"), "--ray and --server cannot be used together"),
    (("--ray", "local", "--in-process"), "--in-process does nothing with --ray"),
    (("--ray", "local", "--worker"), "--worker does nothing with --ray"),
])  # fmt: skip
def test_options_that_exclude_one_another_are_refused_before_anything_starts(tmp_path, options, said):
    scenes.draw(scenes.make(random.Random(1), size=(192, 160))).save(tmp_path / "a.png")
    done = vlm("ask", tmp_path / "a.png", "what is this?", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_where_ray_is_not_installed_that_is_said(tmp_path):
    scenes.draw(scenes.make(random.Random(1), size=(192, 160))).save(tmp_path / "a.png")
    without = "import sys; sys.modules['ray'] = None; from vlmcli.cli import app; sys.exit(app.main(sys.argv[1:]))"
    command = [sys.executable, "-c", without, "caption", str(tmp_path / "a.png"), "-m", "demo", "--ray", "local"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-2:] == [
        "vlm: --ray needs the package ray", "     install it: pip install 'vlmcli[ray]'",
    ]  # fmt: skip
