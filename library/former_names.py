"""Former names of models, tasks and config files, so that old configs and commands still work.

A name in a new config is looked up here only if nothing has it now. The names in the config of an
old workdir are always translated, because a name may mean something else today.
"""

from collections.abc import Mapping
from typing import Any

# package: {former name: name of today}.
NAMES: dict[str, dict[str, str]] = {
    "library.models": {
        "unet": "ddpm_unet",
        "unet.unet": "ddpm_unet",
        "transformer.gpt": "gpt",
        "transformer.gpt2": "gpt.gpt2",
        "transformer.gpt2_medium": "gpt.gpt2_medium",
        "transformer.gpt2_large": "gpt.gpt2_large",
        "transformer.gpt2_xl": "gpt.gpt2_xl",
    },
    "library.tasks": {
        "adversarial": "gan",
        "adversarial.adversarial": "gan",
        "masked": "mae",
        "masked.masked": "mae",
    },
}
# Former path of a config file: path of today, sorted by system.
CONFIGS = {
    "configs/cifar10/airbench94.py": "configs/airbench/airbench94.py",
    "configs/cifar10/airbench96.py": "configs/airbench/airbench96.py",
    "configs/cifar10/ddpm.py": "configs/ddpm/cifar10.py",
    "configs/cifar10/densenet.py": "configs/densenet/cifar10.py",
    "configs/cifar10/landmarks.py": "configs/landmarks/cifar10.py",
    "configs/cifar10/mae.py": "configs/mae/cifar10.py",
    "configs/cifar10/mobilenet_v2.py": "configs/mobilenet_v2/cifar10.py",
    "configs/cifar10/preact_resnet.py": "configs/preact_resnet/cifar10.py",
    "configs/cifar10/resnet.py": "configs/resnet/cifar10.py",
    "configs/cifar10/shake_shake.py": "configs/shake_shake/cifar10.py",
    "configs/cifar10/shufflenet_v2.py": "configs/shufflenet_v2/cifar10.py",
    "configs/cifar10/simclr.py": "configs/simclr/cifar10.py",
    "configs/cifar10/simclr_finetune.py": "configs/simclr/cifar10_fine_tuned.py",
    "configs/cifar10/sngan.py": "configs/sngan/cifar10.py",
    "configs/cifar10/vgg.py": "configs/vgg/cifar10.py",
    "configs/cifar10/vit_tiny.py": "configs/vit/cifar10.py",
    "configs/cifar10/wide_resnet.py": "configs/wide_resnet/cifar10.py",
    "configs/cifar100/densenet.py": "configs/densenet/cifar100.py",
    "configs/cifar100/mobilenet_v2.py": "configs/mobilenet_v2/cifar100.py",
    "configs/cifar100/preact_resnet.py": "configs/preact_resnet/cifar100.py",
    "configs/cifar100/resnet.py": "configs/resnet/cifar100.py",
    "configs/cifar100/shake_shake.py": "configs/shake_shake/cifar100.py",
    "configs/cifar100/shufflenet_v2.py": "configs/shufflenet_v2/cifar100.py",
    "configs/cifar100/vgg.py": "configs/vgg/cifar100.py",
    "configs/cifar100/vit_tiny.py": "configs/vit/cifar100.py",
    "configs/cifar100/wide_resnet.py": "configs/wide_resnet/cifar100.py",
    "configs/digits/cnn.py": "configs/cnn/digits.py",
    "configs/imagenet/alexnet.py": "configs/alexnet/imagenet.py",
    "configs/imagenet/big_transfer.py": "configs/big_transfer/imagenet.py",
    "configs/imagenet/convnext.py": "configs/convnext/imagenet.py",
    "configs/imagenet/deit.py": "configs/deit/imagenet.py",
    "configs/imagenet/densenet.py": "configs/densenet/imagenet.py",
    "configs/imagenet/efficientnet.py": "configs/efficientnet/imagenet.py",
    "configs/imagenet/googlenet.py": "configs/googlenet/imagenet.py",
    "configs/imagenet/inception_v3.py": "configs/inception_v3/imagenet.py",
    "configs/imagenet/inception_v4.py": "configs/inception_v4/imagenet.py",
    "configs/imagenet/mae.py": "configs/mae/imagenet.py",
    "configs/imagenet/mlp_mixer.py": "configs/mlp_mixer/imagenet.py",
    "configs/imagenet/mobilenet_v1.py": "configs/mobilenet_v1/imagenet.py",
    "configs/imagenet/mobilenet_v2.py": "configs/mobilenet_v2/imagenet.py",
    "configs/imagenet/mobilenet_v3.py": "configs/mobilenet_v3/imagenet.py",
    "configs/imagenet/resnet.py": "configs/resnet/imagenet.py",
    "configs/imagenet/resnet50.py": "configs/resnet/imagenet_resnet50.py",
    "configs/imagenet/resnext.py": "configs/resnext/imagenet.py",
    "configs/imagenet/senet.py": "configs/senet/imagenet.py",
    "configs/imagenet/shufflenet_v1.py": "configs/shufflenet_v1/imagenet.py",
    "configs/imagenet/shufflenet_v2.py": "configs/shufflenet_v2/imagenet.py",
    "configs/imagenet/simclr.py": "configs/simclr/imagenet.py",
    "configs/imagenet/squeezenet.py": "configs/squeezenet/imagenet.py",
    "configs/imagenet/swin.py": "configs/swin/imagenet.py",
    "configs/imagenet/vgg.py": "configs/vgg/imagenet.py",
    "configs/imagenet/vit.py": "configs/vit/imagenet.py",
    "configs/imagenet/vit_s16.py": "configs/vit/imagenet_s16.py",
    "configs/imagenet/wide_resnet.py": "configs/wide_resnet/imagenet.py",
    "configs/imagenet/xception.py": "configs/xception/imagenet.py",
    "configs/martin_fierro/char_rnn.py": "configs/char_rnn/martin_fierro.py",
    "configs/mnist/adversarial_training.py": "configs/adversarial_training/mnist.py",
    "configs/mnist/autoencoder.py": "configs/autoencoder/mnist.py",
    "configs/mnist/compression.py": "configs/compression/mnist.py",
    "configs/mnist/dcgan.py": "configs/dcgan/mnist.py",
    "configs/mnist/diffusion.py": "configs/ddpm/mnist.py",
    "configs/mnist/distillation.py": "configs/distillation/mnist.py",
    "configs/mnist/lenet5.py": "configs/lenet5/mnist.py",
    "configs/mnist/mlp.py": "configs/mlp/mnist.py",
    "configs/mnist/vae.py": "configs/vae/mnist.py",
    "configs/quijote/char_rnn.py": "configs/char_rnn/quijote.py",
    "configs/text/gpt2.py": "configs/gpt/text.py",
    "configs/tinyimagenet20/fine_tune.py": "configs/fine_tuning/tinyimagenet20.py",
    "configs/tinyshakespeare/char_rnn.py": "configs/char_rnn/tinyshakespeare.py",
    "configs/tinyshakespeare/gpt.py": "configs/gpt/tinyshakespeare.py",
    "configs/wikitext2/gpt.py": "configs/gpt/wikitext2.py",
}
_SECTIONS = {"model": "library.models", "task": "library.tasks"}


def translated(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the config of an old run with today's names."""
    found = dict(values)
    for section, package in _SECTIONS.items():
        if isinstance(found.get(section), Mapping):
            found[section] = _renamed(found[section], NAMES[package])
    return found


def config_file(path: str) -> str:
    """Returns today's path of a config file, "PATH" or "PATH:VARIANT"."""
    file, colon, variant = path.partition(":")
    return f"{CONFIGS.get(file, file)}{colon}{variant}"


def _renamed(spec: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Renames a spec and the specs inside it: an encoder is a model of its own."""
    found = {k: _renamed(v, names) if isinstance(v, Mapping) else v for k, v in spec.items()}
    if isinstance(found.get("name"), str):
        found["name"] = names.get(found["name"], found["name"])
    return found
