"""What training reads and writes. Needs the extra `train`; without PyTorch these are skipped."""

from random import Random

import numpy as np
import pytest

pytest.importorskip("tokenizers")
torch = pytest.importorskip("torch")

from vlmcli.demo import scenes, world  # noqa: E402
from vlmcli.demo.training import (  # noqa: E402
    batches,
    export,
    facts,
    losses,
    patches,
    phrasing,
    questions,
    rows,
    tokenizer,
    train,
)
from vlmcli.demo.training.english import plural  # noqa: E402
from vlmcli.demo.training.model import DemoModel, LanguageShape  # noqa: E402
from vlmcli.demo.training.patches import PATCHES, RECOLORED, REMOVED, UNCHANGED, UNKNOWN  # noqa: E402
from vlmcli.demo.training.rows import LENGTH  # noqa: E402


@pytest.fixture(scope="module")
def vocabulary():
    return tokenizer.build()


def test_the_vocabulary_gives_every_text_back(vocabulary):
    for text in ("A red circle.", 'The text says "AB12X".', "Héllo 世界 \n\t", '{"box": [120, 0, 1000, 10]}'):
        assert vocabulary.decode(list(vocabulary.encode(text))) == text
    assert len(vocabulary.encode("AB12X")) == 5  # read character by character
    assert [len(vocabulary.encode(f", {number}")) for number in range(0, 1001, 10)] == [2] * 101
    assert vocabulary.size % 32 == 0


def test_no_kept_wording_is_in_a_training_row(vocabulary):
    kept = {w.lower() for kind in phrasing.LISTS for w in phrasing.wordings_of(kind, True)}
    trained = {w.lower() for kind in phrasing.LISTS for w in phrasing.wordings_of(kind, False)}
    kept = {w for w in kept if w.count(" ") >= 2 and "{" not in w and not any(w.rstrip("?.") in t for t in trained)}
    writer = rows.Writer(vocabulary)
    asked = ""
    for step in range(4):
        arrays, _ = batches.joint(writer, vocabulary.pad, 1, step)
        asked += vocabulary.decode(arrays["ids"].flatten().tolist()).lower()
    assert len(kept) > 100
    assert not [wording for wording in kept if wording in asked]


def test_a_step_is_the_same_each_time(vocabulary):
    one, other = (batches.joint(rows.Writer(vocabulary), vocabulary.pad, 1, 7) for _ in range(2))
    for name in one[0]:
        assert np.array_equal(one[0][name], other[0][name], equal_nan=True), name
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(one[1], other[1], strict=True))
    assert one[0]["ids"].shape == (len(rows.ROW_KINDS[1]), LENGTH)
    assert one[0]["places"].shape == (len(one[1]) * PATCHES,)
    assert not np.array_equal(one[0]["ids"], batches.joint(rows.Writer(vocabulary), vocabulary.pad, 1, 8)[0]["ids"])


def test_the_loss_is_on_answers_only(vocabulary):
    arrays, _ = batches.joint(rows.Writer(vocabulary), vocabulary.pad, 1, 3)
    weighted = arrays["weight"] > 0
    text = vocabulary.decode(arrays["ids"][0][weighted[0]].tolist())
    assert "?" not in text
    assert weighted.any(1).all()
    stops = (arrays["ids"] == vocabulary.stop) & weighted
    assert stops.sum() > 50  # each answer ends its turn


def test_labels_say_which_letter_how_many_and_what_is_furthest(vocabulary):
    red, blue = (
        scenes.Shape("circle", color, (255, 0, 0), x, 24.0, radius)
        for color, x, radius in (("red", 24.0, 14.0), ("blue", 104.0, 9.0))
    )
    text = scenes.Text("AB", "", "black", (0, 0, 0), 64.0, 96.0, 20.0)
    scene = scenes.Scene(256, 256, "white", (255, 255, 255), (red, blue), (text,))
    found = patches.labels(scene)
    # left, right, top, bottom, biggest, smallest; neither is higher than the other
    assert found.most[1, 1].tolist() == [1, 0, UNKNOWN, UNKNOWN, 1, 0]
    assert found.most[1, 6].tolist() == [0, 1, UNKNOWN, UNKNOWN, 0, 1]
    assert found.most[4, 4].tolist() == [UNKNOWN] * 6
    assert found.same[1, 1].tolist() == [2, 1, 2]  # shapes, red ones, circles
    assert set(found.order[6, 4].tolist()) == {1, 2}
    assert found.spelled[6, 4].tolist() == [1, 2, 0, 0, 0]  # A and B
    words, shown = losses.Words(vocabulary), train._stacked([(np.zeros((128, 128, 3), np.uint8), found)])

    def read(ids):
        return [vocabulary.decode([i]) for i in ids.tolist() if i >= 0]

    assert read(words.bag(shown)[0, 9]) == [" circle", " red", " top", " left"]
    left, top, right, bottom = facts.box(red, scene)
    sides = [f" {side}" for side in (left, top, right, bottom)]
    assert read(words.readings(shown)[0, 9]) == [*sides, " 2", " 1", " 2"]
    assert read(words.readings(shown)[0, 6 * 8 + 4]) == ["A", "B"]


def test_labels_say_which_shapes_a_name_fits(vocabulary):
    shapes = tuple(
        scenes.Shape(name, color, (255, 0, 0), x, 64.0, 14.0)
        for name, color, x in (("circle", "red", 24.0), ("circle", "blue", 64.0), ("star", "blue", 104.0))
    )
    scene = scenes.Scene(256, 256, "white", (255, 255, 255), shapes)
    text = "Is a red circle left of the star? How many circles, blue shapes, pink crosses and shapes?"
    ids = vocabulary.encode(text)
    found = [
        (vocabulary.decode(list(ids[at - 1 : at + 1])), fits)
        for at, fits in rows.Writer(vocabulary).mentions(ids, scene)
    ]
    red, blue, star = shapes
    assert found == [
        (" red circle", [red]), (" the star", [star]), (" many circles", [red, blue]), (" blue shapes", [blue, star]),
        (" pink crosses", []),
    ]  # fmt: skip


def test_a_row_is_labelled_at_the_names_in_it_and_at_the_second_picture(vocabulary):
    writer = rows.Writer(vocabulary)
    arrays = [batches.joint(writer, vocabulary.pad, 1, step)[0] for step in range(24)]
    fitting, place, change, ids = (
        np.concatenate([step[name] for step in arrays]) for name in ("fitting", "place", "change", "ids")
    )
    named = fitting != UNKNOWN
    assert named.sum() > 300
    ends = {vocabulary.decode([i]).strip() for i in ids[named].tolist()}
    assert ends == {word for name in (*world.SHAPES, "shape") for word in (name, plural(name))}
    assert ((~np.isnan(place[..., 0])) == (fitting == 1)).all()
    beside = np.concatenate([step["beside"] for step in arrays])
    told = (beside != UNKNOWN).any(-1)
    assert told.sum() > 50
    assert (fitting[told] == 1).all()
    assert set(np.unique(beside).tolist()) == {0, 1, UNKNOWN}
    altered = (change != UNKNOWN).sum(1)
    assert set(altered[altered > 0].tolist()) <= set(range(40, PATCHES + 1))
    assert {UNCHANGED, REMOVED, RECOLORED} <= set(np.unique(change).tolist())


def test_muon_makes_updates_orthogonal_and_descends():
    from vlmcli.demo.training.muon import Muon, orthogonal

    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(3, 24, 60)))
    assert 0.6 < values.min() < values.max() < 1.3
    wide, tall, unused = (torch.nn.Parameter(torch.randn(*shape)) for shape in ((8, 20), (20, 8), (8, 8)))
    start = unused.detach().clone()
    optimizer = Muon([wide, tall, unused], lr=0.02, weight_decay=0.0)
    target = torch.randn(8, 8)
    reached = []
    for _ in range(400):
        loss = (wide @ tall - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        reached.append(loss.item())
    assert reached[-1] < reached[0] / 50
    assert torch.equal(unused, start)


def test_training_learns_and_goes_on_where_it_was(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: None)
    plan = train.Plan(encoder=3, level=2, falling=1, minutes=0)
    first = train.Trainer(tmp_path, 1, "cpu", resume=False)
    first.encoder_alone(plan.encoder)
    first.together(plan)
    assert (tmp_path / "final.pt").exists()
    assert (first.encoder_step, first.step) == (3, 3)
    again = train.Trainer(tmp_path, 1, "cpu", resume=True)
    assert (again.encoder_step, again.step) == (3, 2)  # before the rate fell
    assert not list(tmp_path.glob(".*"))


def test_every_step_has_pictures_to_spare_for_the_encoder(vocabulary):
    """The number of pictures in a step is always the same, so those with questions must be fewer than the new ones."""
    writer = rows.Writer(vocabulary)
    for step in range(2 * len(rows.ROW_KINDS)):
        _, pictures = batches.joint(writer, vocabulary.pad, 1, step)
        assert 10 < len(pictures) <= train.NEW < batches.PICTURES


def test_an_exported_pair_is_read_back_and_trained_further(tmp_path, vocabulary, monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: None)
    torch.manual_seed(4)
    model = DemoModel(vocabulary.size)
    export.write_language_model(model, vocabulary, tmp_path / export.FILE_NAMES[0])
    export.write_projector(model, tmp_path / export.FILE_NAMES[1])
    found, words = export.read(tmp_path)
    assert (words.tokens(), words.merges()) == (vocabulary.tokens(), vocabulary.merges())
    assert words.encode('Is there a "B2"? [120, 0]') == vocabulary.encode('Is there a "B2"? [120, 0]')
    for name, weight in found.state_dict().items():
        if not name.startswith("heads."):
            assert torch.allclose(weight, model.state_dict()[name], atol=0.02 * float(weight.abs().max())), name
    trainer = train.Trainer(tmp_path / "run", 2, "cpu", resume=False, further=tmp_path)
    assert torch.equal(trainer.model.embedding.weight, found.embedding.weight)
    trainer.together(train.Plan(encoder=0, level=2, falling=1, minutes=0))
    assert trainer.step == 3
    again = train.Trainer(tmp_path / "run", 2, "cpu", resume=True)
    assert (again.further, again.step) == (True, 2)


def test_the_language_model_alone_is_trained_further(tmp_path):
    """From the package's pair; what the vision side gives stays as it is."""
    from vlmcli.demo import FOLDER

    trainer = train.Trainer(tmp_path, 2, "cpu", resume=False, further=FOLDER, language_only=True)
    before = {name: weight.detach().clone() for name, weight in trainer.model.state_dict().items()}
    trainer.language_alone(train.Plan(encoder=0, level=3, falling=0, minutes=0), train.LANGUAGE_RATE)
    assert trainer.step == 3
    for name, weight in trainer.model.state_dict().items():
        fixed = not name.startswith(("decoder", "embedding")) or name.endswith("frequencies")
        assert torch.equal(weight, before[name]) == fixed, name
    (tmp_path / "final.pt").rename(tmp_path / "steady.pt")
    assert train.Trainer(tmp_path, 2, "cpu", resume=True, language_only=True).step == 3


def test_the_rate_falls_along_a_cosine():
    plan = train.Plan(encoder=0, level=None, falling=None, minutes=10, cosine=True)
    assert plan.pace(0, 0, 0)[0] < 0.1
    shares = [plan.pace(1000, 0, seconds)[0] for seconds in (0, 150, 300, 450, 599)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 1
    assert abs(shares[2] - 0.5) < 0.01
    assert shares[-1] < 0.01
    assert not plan.pace(1000, 0, 599)[1]
    assert plan.pace(1000, 0, 600)[1]


def test_two_half_steps_have_the_rows_of_one(vocabulary):
    writer = rows.Writer(vocabulary)
    for step in range(4):
        arrays, pictures = batches.joint(writer, vocabulary.pad, 1, step, half=True)
        assert len(arrays["ids"]) * 2 == len(rows.ROW_KINDS[0])
        assert len(arrays["places"]) == len(pictures) * PATCHES
    one, other = (rows.ROW_KINDS[1][start::2] for start in (0, 1))
    assert sorted(one + other) == sorted(rows.ROW_KINDS[1])
    assert sum(kind.startswith("first") for kind in one) == sum(kind.startswith("first") for kind in other)


def test_calibration_raises_one_logit_where_it_is_right(tmp_path, monkeypatch):
    """Of the package's pair: read back without, calibrated on few rows, written and read again."""
    from vlmcli.demo import FILES
    from vlmcli.demo.training import calibrate

    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: None)
    monkeypatch.setattr(calibrate, "ALLOWED", 0.0015)  # one or two of a thousand
    before = [tuple(kind for kind in kinds if not kind.startswith("first")) for kinds in rows.ROW_KINDS]
    monkeypatch.setattr(batches, "ROW_KINDS", [before[0] + before[1], before[2] + before[3]])
    bare, words = export.read(FILES.model.parent)
    assert bare.output is None
    model = bare.eval()
    shift, right, wrong = calibrate.calibrate(model, words, steps=12)
    assert 0 < shift < calibrate.LARGEST_SHIFT
    assert right > 0.98
    assert wrong < 0.01
    token = words.encode(questions.DONT_KNOW)[0]
    changed = (model.output - model.embedding.weight).abs().sum(1) > 0
    assert changed.nonzero().flatten().tolist() == [token]
    found = calibrate.places(model, words, 3)
    with torch.no_grad():
        raised = ((found.hidden @ (model.output - model.embedding.weight)[token]) / shift).double()
    assert raised[found.unknown].mean() > 0.8
    assert raised[~found.unknown].abs().mean() < 0.15
    assert found.unknown.sum() > 20
    assert (found.begins & ~found.unknown).sum() > 100
    export.write_language_model(model, words, tmp_path / export.FILE_NAMES[0])
    export.write_projector(model, tmp_path / export.FILE_NAMES[1])
    again, _ = export.read(tmp_path, calibrated=True)
    assert torch.allclose(again.output, model.output, atol=0.02 * float(model.output.abs().max()))
    assert export.read(tmp_path)[0].output is None
    assert train.Trainer(tmp_path / "run", 2, "cpu", resume=False, further=tmp_path).model.output is None


def test_a_pair_of_another_shape_is_not_read(tmp_path, vocabulary):
    for shape, says in ((LanguageShape(layers=2), "tensors"), (LanguageShape(inner=256), "size")):
        model = DemoModel(vocabulary.size, language=shape)
        export.write_language_model(model, vocabulary, tmp_path / export.FILE_NAMES[0])
        export.write_projector(model, tmp_path / export.FILE_NAMES[1])
        with pytest.raises(ValueError, match=says):
            export.read(tmp_path)


def test_exported_files_give_the_logits_pytorch_gives(tmp_path, vocabulary):
    from vlmcli.demo.training import compare
    from vlmcli.engine import Engine, Observer
    from vlmcli.pictures import images
    from vlmcli.values import Message, ModelFiles, Request

    torch.manual_seed(3)
    model = DemoModel(vocabulary.size).eval()
    for weight in model.parameters():
        weight.data *= 2 if weight.dim() == 2 else 1  # far from the start, where everything is nearly zero
    export.write_language_model(model, vocabulary, tmp_path / "demo.gguf")
    export.write_projector(model, tmp_path / "mmproj-demo.gguf")
    paths = []
    for number, size in enumerate(((128, 128), (300, 100), (640, 480))):
        paths.append(tmp_path / f"{number}.png")
        scenes.draw(scenes.make(Random(number), size=size)).save(paths[-1])
    seen = {}

    class Logits(Observer):
        def picking(self, id, number, logits):
            seen.setdefault(id, logits)

    files = ModelFiles("demo", tmp_path / "demo.gguf", tmp_path / "mmproj-demo.gguf")
    engine = Engine(files, observer=Logits())
    try:
        asked = [Request((Message("user", (images.load(p), "What is this?")),), max_tokens=1) for p in paths]
        list(engine.run(asked))
    finally:
        engine.close()
    for path, (_, native) in zip(paths, sorted(seen.items()), strict=True):
        x = compare.prompt(model, vocabulary, [path], "What is this?")
        wanted = compare.next_logits(model, x).numpy()
        assert np.corrcoef(native, wanted)[0, 1] > 0.99  # Q8_0; a swapped layer gives about 0
        assert np.abs(native - wanted).max() < 0.4 * wanted.std()
