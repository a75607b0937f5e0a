"""The zoo from the command line."""

import json

import numpy as np
import pytest

from library.weights import catalogue, files, parity, records, texts
from library.weights.drawn import drawn, zeros
from library.weights.mapping import published_as
from library.weights.published import Reported, Transform, Weights
from tests import saved
from tests.experiments import small_recipes
from tests.weights import test_weights_texts

FOUND = {"logits": 2e-6, "stage1": 2e-5, "d image": 9e-6, "train logits": 1e-6, "noise": 1e-5}


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """The records, none at first, elsewhere than those of the project."""
    monkeypatch.setattr(records, "FILE", tmp_path / "parity.json")
    return lambda: json.loads(records.FILE.read_text())


def test_all_networks_are_listed(program):
    ended = program("zoo", "list")
    assert ended.code == 0, ended.err
    first = [line.split()[0] for line in ended.out.splitlines()]
    assert first == ["name", *sorted(catalogue.CATALOGUE)]
    (row,) = [line for line in ended.out.splitlines() if line.startswith("resnet50 ")]
    assert row.split()[1:7] == ["2015", "25.56", "8.18", "224", "76.13", "92.86"]
    assert "v2, a1_in1k" in row


def test_a_network_is_listed_as_equal_if_it_was_found_so(program, kept):
    records.keep("resnet18", gflops=3.628, **records.record(FOUND))
    records.keep("resnet34", gflops=7.3, **records.record({**FOUND, "d image": 1.1e-5}))
    # A count alone, and a figure that no one published.
    records.keep("googlenet_2014", gflops=3.15)
    rows = {line.split()[0]: line.split() for line in program("zoo", "list").out.splitlines()}
    assert [rows[name][7] for name in ("resnet18", "resnet34", "resnet50")] == [
        *("2e-06", "unequal", "-"),
    ]
    assert rows["googlenet_2014"][3] == "3.15"
    assert rows["googlenet_2014"][7] == "-"


def test_flops_are_counted_without_a_reference(program, kept):
    ended = program("zoo", "count", "squeezenet1_1", "shufflenet_v1_g1")
    assert ended.code == 0, ended.err
    assert kept() == {
        "shufflenet_v1_g1": {"gflops": pytest.approx(2 * 0.143, rel=0.02)},
        "squeezenet1_1": {"gflops": pytest.approx(2 * 0.349, rel=0.02)},
    }
    assert ended.out.splitlines()[0] == "squeezenet1_1  0.698 GFLOPs"
    # Of another size than the usual nothing is kept.
    before = kept()
    assert program("zoo", "count", "squeezenet1_1", "--size=64").code == 0
    assert kept() == before


def test_a_check_says_what_is_not_equal_and_keeps_the_verdict(program, kept, monkeypatch):
    found = dict(FOUND)
    monkeypatch.setattr(parity, "compare", lambda name, size: dict(found))
    ended = program("zoo", "check", "squeezenet1_1")
    assert ended.code == 0, ended.err
    assert "not equal" not in ended.out
    first = kept()["squeezenet1_1"]
    assert (first["equal"], first["worst"], first["allowed"]) == (True, 2e-5, 3e-5)
    assert first["gflops"] == pytest.approx(0.698, rel=0.02)
    found["train logits"] = 4e-5
    ended = program("zoo", "check", "resnet18", "squeezenet1_1")
    assert ended.code == 1
    assert ended.out.count("not equal: train logits, 4.00e-05 is more than 1e-05") == 2
    assert [each["equal"] for each in kept().values()] == [False, False]
    # Other sizes and weights are compared, and not kept.
    found["train logits"] = 1e-6
    assert program("zoo", "check", "squeezenet1_1", "--size=64").code == 0
    assert program("zoo", "check", "resnet50.v2").code == 0
    assert kept()["squeezenet1_1"]["equal"] is False
    assert kept().keys() == {"resnet18", "squeezenet1_1"}


def test_weights_become_a_run_and_the_same_weights_again(program, tmp_path, monkeypatch):
    network = catalogue.find("resnet18")._replace(
        model=dict(name="resnet.resnet18", width=2),
        transform=Transform(size=32, resize=36),
        weights={"v2": Weights(Transform(size=32, resize=33), Reported(12.5, None, "nobody"))},
    )
    monkeypatch.setitem(catalogue.CATALOGUE, "tiny", network)
    shapes = network.shapes(network.build())
    arrays = drawn({n: x.shape for n, x in published_as(zeros(shapes), network.rules).items()})
    path = files.write(tmp_path / "theirs.safetensors", arrays)
    workdir, output = f"--workdir={tmp_path / 'run'}", f"--output={tmp_path / 'ours.safetensors'}"
    ended = program("zoo", "import", "tiny.v2", f"--weights={path}", workdir)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines() == [
        "weights assumed: tiny.v2, images resized to 33 (bilinear) and cut to 32; 12.5 % top-1 are "
        "claimed (nobody). Others: tiny",
        str(tmp_path / "run"),
    ]
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["preprocess"] == network.weights["v2"].transform.steps()
    assert config["reported"]["value"] == 0.125
    ended = program("zoo", "export", workdir, output)
    assert ended.code == 0, ended.err
    written = files.read(tmp_path / "ours.safetensors")
    assert written.keys() == arrays.keys()
    for name in arrays.keys() - {n for n in arrays if n.endswith("num_batches_tracked")}:
        np.testing.assert_array_equal(written[name], arrays[name], strict=True)
    ended = program("zoo", "export", workdir, output, "--as=squeezenet1_1")
    assert ended.code == 2
    assert "is not a squeezenet1_1: no row of the table names" in ended.err


@pytest.mark.full
def test_a_network_of_texts_becomes_a_run(program, tmp_path):
    variables = test_weights_texts.drawn("bert", test_weights_texts.BERT, tmp_path)
    arrays = published_as(variables, texts.BERT_RULES)
    folder = test_weights_texts.written(tmp_path / "bert", test_weights_texts.BERT, arrays)
    run = tmp_path / "run"
    ended = program("zoo", "import", "bert", f"--weights={folder}", f"--workdir={run}")
    assert (ended.code, ended.out) == (0, f"{run}\n"), ended.err
    ended = program("zoo", "import", "bert", f"--workdir={tmp_path / 'other'}")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "import bert needs --weights=FOLDER" in ended.err
    flags = (f"--weights={folder}", f"--workdir={tmp_path / 'other'}", "--size=64")
    assert "--size is not read with zoo import bert" in program("zoo", "import", "bert", *flags).err


def test_a_run_of_ones_own_becomes_a_folder_and_a_run_again(program, tmp_path):
    values = small_recipes.get_config().to_dict()
    saved.run({**values, "compile_cache": None}, tmp_path / "run")
    run, again, folder = (tmp_path / name for name in ("run", "again", "folder"))
    ended = program("zoo", "export", f"--workdir={run}", f"--to={folder}")
    assert (ended.code, ended.out) == (0, f"{folder}\n"), ended.err
    ended = program("zoo", "import", folder, f"--workdir={again}")
    assert (ended.code, ended.out) == (0, f"{again}\n"), ended.err
    found = []
    for workdir in (run, again):
        ended = program("evaluate", f"--workdir={workdir}")
        assert ended.code == 0, ended.err
        found.append(json.loads((workdir / "evaluation-latest.json").read_text()))
    assert found[0] == found[1]
    assert found[0]["step"] == 7
    assert {"test/accuracy", "test_ema/accuracy"} <= found[0].keys()


def test_a_run_of_ones_own_becomes_a_program(program, tmp_path):
    pytest.importorskip("flatbuffers")
    values = small_recipes.get_config().to_dict()
    saved.run({**values, "compile_cache": None}, tmp_path / "run")
    to = f"--to={tmp_path / 'program'}"
    options = ["--format=stablehlo", "--returns=features", "--noema"]
    ended = program("zoo", "export", f"--workdir={tmp_path / 'run'}", to, *options)
    assert ended.code == 0, ended.err
    text = (tmp_path / "program" / "README.md").read_text()
    assert "It holds the params" in text
    assert "It returns (b, 8) float32." in text


def test_all_leaves_that_do_not_fit_are_listed_on_lines_of_their_own(program, tmp_path):
    path = files.write(tmp_path / "x.safetensors", {f"x{i}": np.zeros(1) for i in range(30)})
    ended = program(
        "zoo", "import", "squeezenet1_1", f"--weights={path}", f"--workdir={tmp_path / 'run'}"
    )
    assert ended.code == 2
    first, *lines = ended.err.strip().splitlines()
    assert first.endswith("do not fit: 52 missing, 30 without a place in the model")
    assert len(lines) == 82
    assert lines[-1] == "  x29 without a place in the model"
    assert not (tmp_path / "run").exists()


def test_a_summary_adds_up(program):
    ended = program("zoo", "summary", "squeezenet1_1", "--size=64")
    assert ended.code == 0, ended.err
    *rows, total = [line.split() for line in ended.out.splitlines()[1:]]
    assert sum(int(row[-2].replace(",", "")) for row in rows) == 1_235_496
    assert total[0] == "all"
    assert total[-2] == "1,235,496"


def test_what_is_not_understood_ends_with_two(program):
    for words, message in (
        ((), "unknown command ''"),
        (("lists",), "did you mean 'list'"),
        (("summary", "resnet5"), "did you mean 'resnet50'"),
        (("summary", "resnet50", "resnet18"), "summary takes one name, got resnet50 resnet18"),
        (("list", "resnet50"), "list takes no name, got resnet50"),
        (("export", "resnet50"), "export takes no name, got resnet50"),
        (("list", "--weights=a.pth"), "--weights is not read with zoo list"),
        (("count", "resnet50", "--noema"), "--ema is not read with zoo count, which reads --size"),
        (
            ("import", "resnet50", "--workdir=somewhere"),
            "resnet50 is published at https://download.pytorch.org/models/resnet50-0676ba61.pth",
        ),
        (
            ("import", "alexnet_2012", "--workdir=somewhere", "--download"),
            "no address is known for the weights of alexnet_2012",
        ),
        (
            ("import", "resnet50", "--workdir=somewhere", "--download", "--weights=a.pth"),
            "--download and --weights=a.pth exclude each other",
        ),
        (
            ("import", "resnet50", "--workdir=somewhere", "--weights=a.pth", "--mirror=http://a"),
            "--mirror=http://a needs --download",
        ),
        (("export",), "--workdir"),
        (("export", "--workdir=somewhere"), "name what to write: --to=FOLDER for the run, or"),
        (("export", "--workdir=a", "--to=b", "--output=c"), "name what to write: --to=FOLDER"),
        (("export", "--workdir=a", "--to=b", "--noema"), "--ema is not read with zoo export --to"),
        (
            ("export", "--workdir=a", "--to=b", "--format=stablehlo", "--as=c"),
            "--as is not read with --format=stablehlo",
        ),
        (
            ("export", "--workdir=a", "--output=b.safetensors", "--format=stablehlo"),
            "--format is not read with zoo export --output",
        ),
        (("export", "--workdir=a", "--to=b"), "a does not exist; name the workdir of a run"),
        (
            ("import", "nowhere/folder", "--workdir=somewhere"),
            "there is no folder nowhere/folder: name one that zoo export --to wrote",
        ),
        (
            ("import", "nowhere/folder", "--workdir=somewhere", "--size=64"),
            "--size is not read with zoo import FOLDER, which reads --workdir",
        ),
        (("check", "resnet5"), "did you mean 'resnet50'"),
        (("check", "alexnet_2012"), "no library has 'alexnet_2012'"),
    ):
        ended = program("zoo", *words)
        assert ended.code == 2, words
        assert message in ended.err, (words, ended.err)
