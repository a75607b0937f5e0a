"""Shows why a classifier says what it says: `python -m experiments.explain --workdir=DIR ...`.

Maps of images, and pictures of what the network has learnt, of a split or of image files:

    python -m experiments.explain --workdir=DIR --split=test --num=8
    python -m experiments.explain --workdir=DIR --images=a.png,b.jpg --class=3 --layer=stage2
    python -m experiments.explain --workdir=DIR --methods=grad_cam,occlusion,neighbours

Methods are gradient, gradient_times_input, smoothgrad, integrated, guided, deconvnet, cam,
grad_cam, grad_cam_plus_plus, occlusion, rollout, filters, activations, visualization, neighbours
and embedding. `--layer` names what the network records, or a submodule: stage4, stage4_block2.

Adversarial examples, which the network misreads; epsilon is in units of [0, 1] pixels:

    python -m experiments.explain --workdir=DIR --attack=fgsm --epsilon=8/255
    python -m experiments.explain --workdir=DIR --attack=pgd --norm=l2 --epsilon=0.5 --target=3

Or a patch to print, which is seen as a class wherever it lies; its sides are shares of the image's:

    python -m experiments.explain --workdir=DIR --attack=patch --target=3 --patch_size=0.3,0.5

Pictures and one page, explained.html or adversarial.html, go to `DIR/explained/`.
"""

from fractions import Fraction
from pathlib import Path

from absl import flags

from experiments import command_line
from library.config import ConfigError, check_choice

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run.")
_WHICH = flags.DEFINE_enum("which", "latest", ["latest", "best"], "The checkpoint to use.")
_EMA = flags.DEFINE_bool("ema", True, "Use the running averages, where the run kept them.")
_IMAGES = flags.DEFINE_list("images", [], "Image files to explain.")
_SPLIT = flags.DEFINE_string("split", "test", "Split to draw examples from.")
_NUM = flags.DEFINE_integer("num", 8, "Examples of the split.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of all that is drawn.", lower_bound=0)
_METHODS = flags.DEFINE_list("methods", None, "Explanations, by default those that apply.")
_LAYER = flags.DEFINE_string("layer", None, "Layer to look at, by default the last with places.")
_CLASS = flags.DEFINE_string("class", None, "Class to explain, by default the one predicted.")
_AMONG = flags.DEFINE_integer("among", 2000, "Examples to find neighbours among, or to embed.", 2)
_ATTACK = flags.DEFINE_string("attack", None, "Mislead the network, by fgsm, pgd or patch.")
_EPSILON = flags.DEFINE_string("epsilon", "8/255", "Greatest change of a pixel, or its norm.")
_NORM = flags.DEFINE_string("norm", "linf", "Norm of the change, linf or l2.")
_STEPS = flags.DEFINE_integer("steps", None, "Steps of pgd, 40, or of a patch, 500.", lower_bound=1)
_TARGET = flags.DEFINE_string("target", None, "Class that images shall be taken for.")
_SIDES = flags.DEFINE_list("patch_size", ["0.3", "0.5"], "Side of a patch, or least and greatest.")
_OUTPUT = flags.DEFINE_string("output", None, "Directory of the pictures, by default explained.")


def main() -> int:
    """Restores the run, and explains or misleads its classifier."""
    folder = command_line.directory("workdir", _WORKDIR.value)
    epsilon = _number("epsilon", _EPSILON.value)
    sides = _sides(_SIDES.value)
    _check_flags()

    from library.training import classifier, predictions, session

    # Nothing is evaluated: what judges the run need not be there.
    values = command_line.recorded(folder) | {"evaluate": {}, "checkpoint": {}, "reported": None}
    trained = session.restore(values, folder, which=_WHICH.value)
    network = classifier.network(trained, ema=_EMA.value)
    if _IMAGES.value:
        paths = [Path(name).expanduser() for name in _IMAGES.value]
        examples = predictions.from_files(trained, paths)
    else:
        examples = predictions.from_split(trained, _SPLIT.value, _NUM.value, _SEED.value)
    output = Path(_OUTPUT.value).expanduser() if _OUTPUT.value else folder / "explained"
    title = f"{folder.resolve().name}, step {trained.step:,}"
    if _ATTACK.value is None:
        return _explain(trained, network, examples, output, title)
    if _ATTACK.value == "patch":
        return _print(trained, network, examples, sides, output, title)
    return _mislead(network, examples, epsilon, output, title)


def _explain(trained, network, examples, output: Path, title: str) -> int:
    from library.reporting import explained
    from library.training import explaining

    subject = explaining.subject(
        trained,
        network,
        examples,
        label=_CLASS.value,
        layer=_LAYER.value,
        seed=_SEED.value,
        among=_AMONG.value,
    )
    pictures = explaining.pictures(subject, _METHODS.value)
    for row in explaining.captions(subject):
        print(", ".join(row))
    print(explained.write(output, "explained", f"Why {title}, says so", pictures))
    return 0


def _mislead(network, examples, epsilon: float, output: Path, title: str) -> int:
    from library.reporting import explained
    from library.training import attacking

    asked = attacking.Attack(
        _ATTACK.value, epsilon, _NORM.value, _STEPS.value or 40, _TARGET.value, _SEED.value
    )
    found = attacking.attack(network, examples, asked)
    lines = attacking.lines(network, found)
    print("\n".join(lines))
    picture = attacking.picture(network, examples, found, asked)
    print(explained.write(output, "adversarial", f"What misleads {title}", [picture], lines))
    return 0


def _print(trained, network, examples, sides, output: Path, title: str) -> int:
    from library.reporting import explained
    from library.training import patching

    settings = patching.settings(sides, _STEPS.value or 500)
    found = patching.make(trained, network, examples, _TARGET.value, settings, _SEED.value)
    lines = patching.lines(network, found)
    print("\n".join(lines))
    pictures = [
        patching.picture(network, examples, found, settings),
        patching.printable(network, found),
    ]
    print(explained.write(output, "adversarial", f"What misleads {title}", pictures, lines))
    return 0


def _check_flags() -> None:
    """Refuses flags that nothing would read."""
    attack = _ATTACK.value
    if attack is None and _TARGET.value is not None:
        raise ConfigError("--target is the aim of an attack: add --attack=fgsm or --attack=pgd")
    if attack is not None and (_METHODS.value or _LAYER.value or _CLASS.value):
        raise ConfigError("--attack makes adversarial examples, and reads no methods, layer, class")
    if attack is not None:
        check_choice("attack", attack, ("fgsm", "pgd", "patch"))
    unread = ("epsilon", "norm") if attack == "patch" else ("patch_size",)
    for name in unread:
        if flags.FLAGS[name].present:
            given = "no attack" if attack is None else f"--attack={attack}"
            raise ConfigError(f"--{name} is not read with {given}")
    if attack == "patch" and _TARGET.value is None:
        raise ConfigError("--attack=patch is to be seen as a class: add --target=CLASS")


def _sides(given: list[str]) -> tuple[float, float]:
    sides = [_number("patch_size", text) for text in given]
    if not 1 <= len(sides) <= 2 or not 0 < sides[0] <= sides[-1] <= 1:
        raise ConfigError(
            f"--patch_size={','.join(given)}: write a share of the image's shorter side, above 0 "
            "and up to 1, or the least and the greatest, such as 0.3,0.5"
        )
    return sides[0], sides[-1]


def _number(flag: str, text: str) -> float:
    try:
        return float(Fraction(text.replace(" ", "")))
    except (ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"--{flag}={text}: write a number, such as 0.03 or 8/255") from error


if __name__ == "__main__":
    command_line.run(main)
