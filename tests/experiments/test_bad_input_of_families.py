"""What the families cannot do is refused by the programs: exit code 2, and what would be valid."""

import json

import numpy as np
import pytest

from tests import families, often

# Family, arguments of `train`, message.
TRAIN = {
    "tokenizer": (
        "gpt",
        ["--config.dataset.tokenizer.name=charcter"],
        "unknown tokenizer 'charcter': did you mean 'character'?",
    ),
    "characters outside the vocabulary": (
        "gpt",
        [
            "--config.dataset.test=foreign",
            "--config.evaluate={'test': {'kind': 'metrics', 'every': '100%'}}",
        ],
        "'é'",
    ),
    "prompt outside the vocabulary": (
        "gpt",
        ["--config.evaluate.samples.prompt=az"],
        "'z'",
    ),
    "prompt longer than the text": (
        "gpt",
        ["--config.evaluate.samples.prompt=abcabcab"],
        "8 tokens, which leaves nothing of length=8 to generate: valid are lengths from 9,",
    ),
    "prompt longer than the context": (
        "gpt",
        [
            "--config.evaluate.samples.prompt=abcabcabc",
            "--config.evaluate.samples.length=20",
        ],
        "a prompt of 9 tokens does not fit the model's context: valid are 1 to 8 tokens",
    ),
    "context of the model": (
        "gpt",
        ["--config.dataset.context=16"],
        "16",
    ),
    "more sampler steps than the schedule": (
        "diffusion",
        ["--config.task.sampler.steps=11"],
        "steps=11: valid are 1 to 10",
    ),
    "sampler": (
        "diffusion",
        ["--config.task.sampler.name=ddmi"],
        "did you mean 'ddim'?",
    ),
    "mask ratio 0": ("mae", ["--config.task.mask_ratio=0.0"], "mask_ratio=0.0"),
    "mask ratio 1": ("mae", ["--config.task.mask_ratio=1.0"], "mask_ratio=1.0"),
    "neighbours": (
        "simclr",
        ["--config.evaluate={'knn': {'kind': 'nearest_neighbours', 'every': '100%', 'k': 200}}"],
        "k=200",
    ),
    "views": ("simclr", ["--config.views=1"], "config.views=2"),
    "weights of the wrong shape": (
        "diffusion",
        [
            "--config.evaluate={'fid': {'kind': 'frechet.frechet_inception_distance', "
            "'every': '100%', 'weights': '{tmp}/weights.npz', 'num': 50}}"
        ],
        "weights.npz",
    ),
    "no judge": (
        "diffusion",
        [
            "--config.evaluate={'judged': {'kind': 'sample_accuracy', 'every': '100%', "
            "'classifier': '{tmp}/nowhere'}}"
        ],
        "{tmp}/nowhere",
    ),
    "players": ("gan", ["--config.optimizer.generator.name=admw"], "did you mean 'adamw'?"),
    "parts of a batch": ("gan", ["--config.optimizer.discriminator.updates=3"], "updates"),
    "loss": ("gan", ["--config.task.loss=wassertein"], "did you mean 'wasserstein'?"),
    "likelihood": ("vae", ["--config.task.likelihood=bernouli"], "did you mean 'bernoulli'?"),
}


@pytest.fixture
def data(monkeypatch):
    families.serve(monkeypatch)


@pytest.fixture
def config(tmp_path):
    """Writes a config file of a family, and returns the flag that names it."""

    def write(family: str, **changes: object) -> str:
        path = tmp_path / "config.py"
        path.write_text(
            "from ml_collections import ConfigDict\n"
            "from tests import families\n\n\n"
            "def get_config():\n"
            f"    return ConfigDict(families.config({family!r}, **{changes!r}))\n"
        )
        return f"--config={path}"

    return write


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(("family", "arguments", "message"), TRAIN.values(), ids=TRAIN)
def test_training_that_is_not_started(program, config, tmp_path, family, arguments, message):
    np.savez(tmp_path / "weights.npz", a=np.zeros(3))
    arguments = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    ended = program("train", config(family), f"--workdir={tmp_path}/a", *arguments)
    print(ended.err)
    assert ended.code == 2, ended
    assert message.replace("{tmp}", str(tmp_path)) in ended.err
    assert ended.err.startswith("error: ")
    assert "Traceback" not in ended.err
    assert not (tmp_path / "a").exists()


CONDITIONAL = dict(
    model=dict(name="vae.dense", hidden=(8,), latent_dim=2, conditional=True),
    task=dict(name="variational"),
)
# Family, its changes, and what `generate` refuses with its message.
GENERATE = {
    "text": (
        "gpt",
        {},
        [
            (["--prompt=az"], "'z'"),
            (["--prompt=abcabcab", "--length=8"], "8 tokens, which leaves nothing of length=8"),
            (["--prompt=abcabcab"], "8 tokens, which leaves nothing of length=8"),
            (["--prompt=abcabcabc", "--length=20"], "valid are 1 to 8 tokens"),
            (["--prompt=a", "--prompt=abcabcabc", "--length=20"], "a prompt of 9 tokens"),
            (["--prompt=a", "--temperature=-1"], "temperature=-1"),
            (["--prompt=a", "--top_p=0"], "top_p=0"),
            (["--output=sample"], "'sample'"),
            (["--class=1"], "--class is not read with output 'generate' of task 'language', which"),
            (["--split=test"], "--split is not read with output 'generate'"),
            (["--images=a.png"], "--images is not read with output 'generate'"),
            (["--save_arrays"], "--save_arrays is not read with output 'generate'"),
            (["--length=0"], "--length=0"),
            (["--length=-3"], "--length=-3"),
            (["--num=0"], "--num=0"),
            (["--seed=-1"], "--seed=-1"),
            (["--seed=4294967296"], "--seed=4294967296"),
            (["--top_k=-1"], "--top_k=-1"),
            (["--output=logits"], "reads 'tokens' of examples: give it a split"),
        ],
    ),
    "images": (
        "vae",
        CONDITIONAL,
        [
            (["--class=9"], "--class=9: valid are 0 to 3"),
            (["--class=2", "--output=reconstruct", "--split=test"], "have their own"),
            (["--output=smaple"], "did you mean 'sample'?"),
            (["--output=reconstruct"], "give it a split"),
            (["--prompt=a"], "--prompt is not read with output 'sample' of task 'variational'"),
            (
                ["--output=log_weights", "--split=test"],
                "'log_weights' is not an image: its shape is (",
            ),
        ],
    ),
}


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("family", "changes", "refused"),
    # The tests of generation hold most of what is said of text.
    often.only([GENERATE["images"]], GENERATE.values()),
    ids=GENERATE,
)
def test_what_is_not_generated(program, config, tmp_path, family, changes, refused):
    config = config(family, **changes, total="1 steps", evaluate={})
    folder = tmp_path / "a"
    assert program("train", config, f"--workdir={folder}").code == 0
    for arguments, message in refused:
        ended = program("generate", f"--workdir={folder}", *arguments)
        assert ended.code == 2, ended
        assert message in ended.err
        assert "Traceback" not in ended.err
        assert ended.err.count("\n") <= 2
        assert not (folder / "generated").exists()


@pytest.mark.full
@pytest.mark.usefixtures("data")
def test_each_prompt_is_gone_on_from_unless_told_how_many(program, config, tmp_path):
    folder = tmp_path / "a"
    config = config("gpt", total="1 steps", evaluate={})
    assert program("train", config, f"--workdir={folder}").code == 0
    prompts = ["--prompt=ab", "--prompt=c a", "--prompt=b"]
    for more, begun in (([], ("ab", "c a", "b")), (["--num=2"], ("ab", "c a"))):
        ended = program("generate", f"--workdir={folder}", *prompts, *more)
        assert ended.code == 0, ended
        written = (folder / "generated" / "text.txt").read_text().split(f"\n{'-' * 79}\n")
        assert len(written) == len(begun)
        assert all(map(str.startswith, written, begun))


@pytest.mark.full
@pytest.mark.usefixtures("data")
def test_images_are_made_without_what_judged_them(program, config, tmp_path):
    folder = tmp_path / "a"
    assert program("train", config("vae", total="1 steps"), f"--workdir={folder}").code == 0
    path = folder / "config.json"
    values = json.loads(path.read_text())
    judged = {"kind": "sample_accuracy", "every": "100%", "classifier": str(tmp_path / "gone")}
    path.write_text(json.dumps(values | {"evaluate": {"judged": judged}}))
    ended = program("generate", f"--workdir={folder}", "--num=2")
    assert ended.code == 0, ended
    assert (folder / "generated" / "sample.png").is_file()
