"""Prepared datasets: where TFDS keeps them, how they are found and opened, and how they are made.

A dataset is one of this project's builders (a file in library/data/builders) or one of TFDS. It is
read without TensorFlow if it is prepared as ArrayRecord.
"""

import contextlib
import functools
import importlib
import importlib.util
import io
import os
import pkgutil
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from library.config import ConfigError, nearest
from library.data import builders, splits
from library.data.builders import making

# The folder of files that the user downloads by hand.
DEFAULT_MANUAL_DIR = Path(os.environ.get("COMPENDIUM_DATA") or "data").expanduser().absolute()


def directory(data_dir: str | None) -> str:
    """Returns the directory of prepared datasets: `data_dir`, or that of TFDS."""
    path = str(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))


def downloads(data_dir: str | None = None) -> Path:
    """Returns the folder of downloads, which is in the directory of prepared datasets."""
    return Path(directory(data_dir)) / "downloads"


def project_builder(name: str) -> Callable[..., Any] | None:
    """Returns the builder that a file in library/data/builders defines, or None.

    Raises:
      ConfigError: the builder has no such variant.
    """
    name, slash, variant = name.partition("/")
    if not re.fullmatch(r"[a-z]\w*", name):
        return None
    path = f"{builders.__name__}.{name}"
    if importlib.util.find_spec(path) is None:
        return None
    found = getattr(importlib.import_module(path), "Builder", None)
    if not slash or found is None:
        return found
    variants = found.builder_configs
    if variant not in variants:
        known = f"{nearest(variant, variants)}" if variants else "it has no variants"
        raise ConfigError(f"unknown variant {variant!r} of {name}: {known}")
    return functools.partial(found, config=variant)


def _project_builders() -> list[str]:
    names = [module.name for module in pkgutil.iter_modules(builders.__path__)]
    return [name for name in names if project_builder(name) is not None]


def find(name: str, root: str) -> Any | None:
    """Returns the TFDS builder of a dataset that is prepared under `root`, or None.

    Raises:
      ConfigError: the name is no string, or names a variant that there is not.
    """
    if not isinstance(name, str):
        raise ConfigError(f"the name of a dataset is a string, got {name!r}")
    builder_class = project_builder(name)
    if builder_class is not None:
        builder = builder_class(data_dir=root)
        if (builder.data_path / "dataset_info.json").exists():
            return builder
        # A dataset that TFDS prepared under this name works, too. The search happens only if its
        # directory exists, because TFDS may import packages that its own builder needs.
        known = tfds.list_builders(with_community_datasets=False)
        here = "://" in root or Path(root, *name.split("/")).is_dir()
        if name.partition("/")[0] not in known or not here:
            return None
    try:
        return tfds.core.read_only_builder.builder_from_files(name, data_dir=root)
    except (tfds.core.DatasetNotFoundError, ValueError):
        return None
    except ImportError:
        if builder_class is None:
            raise
        return None


def open_builder(name: str, data_dir: str | None, manual_dir: str | None) -> Any:
    """Returns the TFDS builder of a prepared dataset; digits, which are small, are prepared here.

    Raises:
      ConfigError: the name is unknown, or the dataset is not prepared; the message has the command.
    """
    root = directory(data_dir)
    builder = find(name, root)
    if builder is None and name == "digits":
        make(name, root, None, False, None, lambda _: None)
        builder = find(name, root)
    if builder is None:
        check_known(name)
        raise ConfigError(
            f"{name!r} is not prepared in {root}: run\n  {_command(name, data_dir, manual_dir)}"
        )
    return builder


def data_source(builder: Any, name: str, parts: Sequence[splits.Part]) -> Any:
    """Opens parts of splits as a TFDS data source that leaves images encoded.

    Raises:
      ConfigError: the dataset is prepared in a format without access by row.
    """
    encoded = {
        key: tfds.decode.SkipDecoding()
        for key, feature in builder.info.features.items()
        if isinstance(feature, tfds.features.Image)
    }
    spec = "+".join(f"{split}[{start}:{stop}]" for split, start, stop in parts)
    try:
        return builder.as_data_source(spec, decoders=encoded)
    except NotImplementedError as error:
        raise ConfigError(
            f"{name} in {builder.data_dir} is prepared as {builder.info.file_format.value}, which "
            "has no access by row. Prepare it with file_format=array_record: delete the copy or "
            f"choose another data_dir, and run\n  {_command(name, None, None)}"
        ) from error


def _command(name: str, data_dir: str | None, manual_dir: str | None) -> str:
    """Renders the command that prepares the dataset for `open_source`."""
    builder_class = project_builder(name)
    if manual_dir is None and builder_class is not None:
        absent = making.to_bring(builder_class(data_dir=directory(data_dir)), DEFAULT_MANUAL_DIR)
        manual_dir = f"<the directory of {' and '.join(absent)}>" if absent else None
    flags = {"dataset": name, "data_dir": data_dir, "manual_dir": manual_dir}
    given = [f"--{key}={value}" for key, value in flags.items() if value]
    return " ".join(["python -m experiments.prepare", *given])


def remedy(builder: Any, name: str, data_dir: str | None) -> str:
    """Says what to do about a damaged copy of a dataset."""
    return f"prepare it again: delete {builder.data_dir} and run {_command(name, data_dir, None)}"


def _named_damage(builder: Any) -> contextlib.AbstractContextManager:
    """Names the files of a builder of this project if their contents are not as expected."""
    paths = getattr(builder, "paths", None)
    return making.named_damage(paths.values()) if paths else contextlib.nullcontext()


def check_known(name: str) -> None:
    """Raises ConfigError, with the nearest names, unless a builder or TFDS has this name."""
    own, others = _project_builders(), tfds.list_builders(with_community_datasets=False)
    # Only datasets that are prepared have variants and versions.
    if re.split("[/:]", name)[0] not in (*own, *others):
        options = [
            *own,
            "folder",
            "audio_folder",
            "detection_folder",
            "pairs_folder",
            "segmentation_folder",
            "text",
            "pairs_text",
            "synthetic/224x1000",
            "points/xor",
            "none",
            *others,
        ]
        raise ConfigError(f"unknown dataset {name!r}: {nearest(name.lower(), options)}")


def make(
    name: str,
    root: str,
    manual_dir: str | None,
    progress: bool,
    mirror: str | None,
    say: Callable[[str], None],
) -> None:
    """Obtains the files of a dataset and writes it as ArrayRecord; arguments as `sources.prepare`.

    Raises:
      ConfigError: a file cannot be obtained or is another one, or a package is missing.
      OSError: a download by TFDS or a write failed.
    """
    make_builder = project_builder(name) or functools.partial(tfds.builder, name)
    builder = None if project_builder(name) is None else make_builder(data_dir=root)
    if builder is not None and (making.files(builder) or making.origin(builder)):
        brought = Path(manual_dir or DEFAULT_MANUAL_DIR).expanduser()
        target = downloads(root) / name
        options = dict(mirror=mirror, progress=progress, say=say)
        builder.paths = making.obtain(builder, brought, target, **options)
        manual_dir = next(iter(builder.paths.values())).parent
    settings = tfds.download.DownloadConfig(manual_dir=manual_dir, try_download_gcs=False)
    try:
        with _only_progress(progress), _named_damage(builder):
            builder = builder or make_builder(data_dir=root)
            builder.download_and_prepare(file_format="array_record", download_config=settings)
    except ImportError as error:
        missing = _missing_package(error)
        raise ConfigError(
            f"preparing, but not reading, {name!r} with TFDS needs {missing}: "
            f"pip install {missing}, then prepare it again"
        ) from error
    except OSError:
        # Another process may have finished first, and its copy is the same.
        if find(name, root) is None:
            raise


def _missing_package(error: BaseException | None) -> str:
    # TFDS raises a new error; only the original one in its chain names the package.
    while error is not None:
        if getattr(error, "name", None):
            return error.name.partition(".")[0]
        error = error.__cause__ or error.__context__
    return "tensorflow"


@contextlib.contextmanager
def _only_progress(progress: bool) -> Iterator[None]:
    """Hides the output of TFDS except for its progress bars, which `progress` shows or hides."""
    tfds.display_progress_bar(progress)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.display_progress_bar(True)
