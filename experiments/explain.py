"""Shows why a classifier predicts a class: `python -m experiments.explain --workdir=DIR ...`.

It draws maps of images of a split or of files, and pictures of what the network has learnt:

    python -m experiments.explain --workdir=DIR --split=test --num=8
    python -m experiments.explain --workdir=DIR --images=a.png --class=3 --layer=stage2
    python -m experiments.explain --workdir=DIR --methods=grad_cam,occlusion,neighbours

Methods are gradient, gradient_times_input, smoothgrad, integrated, guided, deconvnet, cam,
grad_cam, grad_cam_plus_plus, occlusion, rollout, filters, activations, visualization, neighbours
and embedding. `--layer` names an array that the network records, or a submodule: stage4,
stage4_block2.

It makes adversarial examples, which the network misclassifies; epsilon is in units of pixels in
[0, 1]:

    python -m experiments.explain --workdir=DIR --attack=fgsm --epsilon=8/255
    python -m experiments.explain --workdir=DIR --attack=pgd --norm=l2 --epsilon=0.5 --target=3

It makes a patch to print, which the network classifies as one class at any place. The side of the
patch is a share of the image's shorter side:

    python -m experiments.explain --workdir=DIR --attack=patch --target=3 --patch_size=0.3,0.5

It writes pictures and one page, explained.html or adversarial.html, to `DIR/explained/`. It refuses
a flag that the request does not read. `--config.KEY=VALUE` changes a value of the run's config;
docs/config.md lists every key.
"""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from absl import flags

from experiments import command_line
from library.config import ConfigError, check_choice

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run.")
_WHICH = flags.DEFINE_enum("which", "latest", ["latest", "best"], "The checkpoint to use.")
_EMA = flags.DEFINE_bool("ema", True, "Use the running averages, if the run kept them.")
_IMAGES = flags.DEFINE_multi_string("images", [], "Image file to explain; may be repeated.")
_SPLIT = flags.DEFINE_string("split", "test", "Split to draw examples from.")
_NUM = flags.DEFINE_integer("num", 8, "Examples of the split.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of all random numbers.", 0, command_line.MOST_SEED)
_METHODS = flags.DEFINE_list("methods", None, "Explanations; by default the quick ones.")
_LAYER = flags.DEFINE_string("layer", None, "Layer; by default the last with positions.")
_CLASS = flags.DEFINE_string("class", None, "Class to explain; by default the predicted one.")
_AMONG = flags.DEFINE_integer("among", 2000, "Examples to find neighbours among, or to embed.", 2)
_ATTACK = flags.DEFINE_string("attack", None, "Mislead the network, by fgsm, pgd or patch.")
_EPSILON = flags.DEFINE_string("epsilon", "8/255", "Greatest change of a pixel, or its norm.")
_NORM = flags.DEFINE_string("norm", "linf", "Norm of the change, linf or l2.")
_STEPS = flags.DEFINE_integer("steps", None, "Steps of pgd, 40, or of a patch, 500.", lower_bound=1)
_TARGET = flags.DEFINE_string("target", None, "Class that the network should predict.")
_SIDES = flags.DEFINE_list(
    "patch_size", ["0.3", "0.5"], "Side of a patch, or least and greatest side."
)
_OUTPUT = flags.DEFINE_string("output", None, "Directory of the pictures; by default explained.")


def main() -> int:
    """Restores the run, and explains or misleads its classifier."""
    folder = command_line.directory("workdir", _WORKDIR.value)
    load = _from_files if _IMAGES.value else _from_split
    show = {None: _explain, "patch": _print}.get(_ATTACK.value, _mislead)
    _check_flags(load)
    # Errors in flags show before the run is restored.
    settings = command_line.values_for(show)
    settings |= {name: read(settings[name]) for name, read in _READ.items() if name in settings}

    from library.apps import classifier
    from library.run import session

    values = command_line.recorded(folder)
    trained = session.restore(values, folder, which=_WHICH.value, check=classifier.check)
    network = classifier.network(trained, ema=_EMA.value)
    examples = load(trained, **command_line.values_for(load))
    output = Path(_OUTPUT.value).expanduser() if _OUTPUT.value else folder / "explained"
    title = f"{folder.resolve().name}, step {trained.step:,}"
    return show(trained, network, examples, output, title, **settings)


def _from_files(trained, *, images):
    from library.apps import predictions

    return predictions.from_files(trained, command_line.image_files(images))


def _from_split(trained, *, split, num, seed):
    from library.apps import predictions

    return predictions.from_split(trained, split, num, seed)


def _explain(
    trained, network, examples, output: Path, title: str, *, methods, layer, class_, seed, among
) -> int:
    from library.apps.explain import drawing, explaining

    subject = explaining.subject(
        trained, network, examples, label=class_, layer=layer, seed=seed, among=among
    )
    pictures = explaining.pictures(subject, methods)
    for row in explaining.captions(subject):
        print(", ".join(row))
    print(drawing.write(output, "explained", f"Why {title}, says so", pictures))
    return 0


def _mislead(
    trained,
    network,
    examples,
    output: Path,
    title: str,
    *,
    attack,
    epsilon,
    norm,
    steps,
    target,
    seed,
) -> int:
    from library.apps import attacking
    from library.apps.explain import drawing

    asked = attacking.Attack(attack, epsilon, norm, steps or 40, target, seed)
    found = attacking.attack(network, examples, asked)
    lines = attacking.lines(network, found)
    print("\n".join(lines))
    picture = attacking.picture(network, examples, found, asked)
    print(drawing.write(output, "adversarial", f"What misleads {title}", [picture], lines))
    return 0


def _print(
    trained,
    network,
    examples,
    output: Path,
    title: str,
    *,
    attack,
    steps,
    target,
    patch_size,
    seed,
) -> int:
    from library.apps import adversarial_patch
    from library.apps.explain import drawing

    settings = adversarial_patch.settings(patch_size, steps or 500)
    found = adversarial_patch.make(trained, network, examples, target, settings, seed)
    lines = adversarial_patch.lines(network, found)
    print("\n".join(lines))
    pictures = [
        adversarial_patch.picture(network, examples, found, settings),
        adversarial_patch.printable(network, found),
    ]
    print(drawing.write(output, "adversarial", f"What misleads {title}", pictures, lines))
    return 0


def _check_flags(load: Callable) -> None:
    """Refuses flags that nothing would read."""
    attack = _ATTACK.value
    if attack is None and _TARGET.value is not None:
        raise ConfigError(
            "--target needs an attack: add --attack=fgsm, --attack=pgd or --attack=patch"
        )
    if attack is not None:
        check_choice("attack", attack, ("fgsm", "pgd", "patch"))
    if attack == "patch" and _TARGET.value is None:
        raise ConfigError("--attack=patch needs a class to predict: add --target=CLASS")
    what = "--images" if load is _from_files else ""
    if attack is None:
        if _METHODS.value == []:
            raise ConfigError("--methods is empty: name one or more, or leave it out")
        shown = f"--methods={','.join(_METHODS.value)}" if _METHODS.value else "the usual methods"
    else:
        shown = f"--attack={attack}"
    what = " and ".join(filter(None, (shown, what)))
    command_line.refuse_unread(what, ("ema", *command_line.flags_of(load), *_read_to_show()))


def _read_to_show() -> list[str]:
    """Returns the flags that the methods or the attack read, without those of the examples."""
    from library.apps import attacking
    from library.apps.explain import explaining

    if _ATTACK.value is None:
        named = explaining.reads(_METHODS.value)
        return ["methods", *sorted("class" if name == "label" else name for name in named)]
    if _ATTACK.value == "patch":
        return command_line.flags_of(_print)
    return ["attack", *attacking.settings(_ATTACK.value)]


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


_READ = {"epsilon": lambda text: _number("epsilon", text), "patch_size": _sides}


if __name__ == "__main__":
    command_line.run(main)
