"""ImageNet of the challenge of 2012: 1,281,167 training and 50,000 validation photographs.

Russakovsky et al., "ImageNet large scale visual recognition challenge", IJCV 2015. It is made from
the two official tars, which are available after registration. Labels (named by wnid), order and
version are those of TFDS. The tars do not hold the validation labels: TFDS lists them, in the order
of the images' names. They are compared with those of the devkit, if that file lies beside the tars;
otherwise `prepare` says that they are not checked. Files are the official ones, among them a PNG
and 22 JPEGs in CMYK, which `decode` reads.

The dataset is written shard by shard, straight from the tars. An interrupted preparation continues
with the first missing shard. Memory holds only the names of the images and one image.
"""

import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy.io
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from jaxtyping import Int

from library import files
from library.config import ConfigError
from library.data.builders import making
from library.data.origins import Origin

TRAIN, VALIDATION = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
SHARDS = {"train": 1024, "validation": 64}


class Index(NamedTuple):
    """The places of images in a tar that is not compressed.

    Attributes:
      names: names of the images, (n,).
      places: first byte and length of each image, (n, 2).
    """

    names: np.ndarray
    places: Int[np.ndarray, "n 2"]


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Photographs with their original bytes; train 1,281,167 and validation 50,000."""

    name = "imagenet2012"
    VERSION = tfds.core.Version("5.1.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "imagenet2012"
    HOMEPAGE = "https://image-net.org/"
    LICENCE = "ImageNet's terms of access: non-commercial research and education"
    CITATION = "Russakovsky et al., ImageNet large scale visual recognition challenge, IJCV 2015"
    SPLITS: ClassVar[dict[str, int]] = {"train": 1_281_167, "validation": 50_000}
    KINDS: ClassVar[dict[str, str]] = {}
    ORIGIN = (
        Origin(
            TRAIN,
            None,
            147_897_477_120,
            "sha256:b08200a27a8e34218a0e58fde36b0fe8f73bc377f4acea2d91602057c3ca45bb",
        ),
        Origin(
            VALIDATION,
            None,
            6_744_924_160,
            "sha256:c7e06a6c0baccf06d8dbeb6577d71efff84673a5dbdd50633ab44f8ea0456ae0",
        ),
    )
    OPTIONAL: ClassVar[dict[str, str]] = {
        DEVKIT: "the validation labels and their order are those that TFDS lists, and are not "
        "compared with the official ones"
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f"{TRAIN} and {VALIDATION}, after registration at https://image-net.org; {DEVKIT} beside "
        f"them. Without it {OPTIONAL[DEVKIT]}"
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=wnids()),
            "file_name": tfds.features.Text(),
        }
        return making.info(self, features)

    def download_and_prepare(self, *, file_format: str, **_: Any) -> None:
        """Writes the missing shards, and then gives the folder its final name."""
        folder = Path(self.data_path)
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        unfinished.mkdir(parents=True, exist_ok=True)
        self.info.set_file_format(file_format, override=True)
        made = []
        for split, file in zip(SHARDS, (TRAIN, VALIDATION)):
            path = self.paths[file]
            found = _index(path, unfinished / f"{split}_index.npz", nested=split == "train")
            labels = None
            if split == "validation":
                labels = validation_labels(path, found.names, self.paths.get(DEVKIT))
            made.append(self._write(split, path, found, labels, unfinished))
        self.info.set_splits(tfds.core.splits.SplitDict(made))
        self.info.write_to_directory(unfinished)
        for split in SHARDS:
            (unfinished / f"{split}_index.npz").unlink()
        os.replace(unfinished, folder)

    def _write(
        self,
        split: str,
        path: Path,
        found: Index,
        labels: Mapping[str, str] | None,
        folder: Path,
    ) -> Any:
        """Writes the missing shards of a split; returns the split's description for TFDS."""
        order = shuffled(split, found.names)
        count = min(SHARDS[split], len(order))
        bounds = np.round(np.linspace(0, len(order), count + 1)).astype(int)
        template = tfds.core.ShardedFileTemplate(
            data_dir=folder, dataset_name=self.name, split=split, filetype_suffix="array_record"
        )
        features = self.info.features
        serializer = tfds.core.example_serializer.ExampleSerializer(features.get_serialized_info())
        with open(path, "rb") as tar:
            for shard in tfds.core.utils.tqdm(range(count), desc=split, unit=" shards"):
                target = Path(template.sharded_filepath(shard_index=shard, num_shards=count))
                if target.exists():
                    continue
                rows = order[bounds[shard] : bounds[shard + 1]]
                with files.replacing(target) as partial:
                    writer = array_record_module.ArrayRecordWriter(str(partial), "group_size:1")
                    for example in _examples(tar, found, labels, rows):
                        encoded = features.encode_example(example)
                        writer.write(serializer.serialize_example(encoded))
                    writer.close()
        return tfds.core.SplitInfo(
            name=split,
            shard_lengths=np.diff(bounds).tolist(),
            num_bytes=int(found.places[:, 1].sum()),
            filename_template=template,
        )

    def _split_generators(self, dl_manager):
        raise NotImplementedError("download_and_prepare writes the splits")

    _generate_examples = making.examples


def wnids() -> tuple[str, ...]:
    """Returns the wnids of the classes, in the order of their labels."""
    return tuple(Path(tfds.core.tfds_path("datasets/imagenet2012/labels.txt")).read_text().split())


def shuffled(split: str, names: np.ndarray) -> Int[np.ndarray, " n"]:
    """Returns the rows of images in TFDS's order of a split: by a hash of their names."""
    hasher = tfds.core.hashing.Hasher(split)
    keys = [hasher.hash_key(name) for name in names.tolist()]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)


def validation_labels(path: Path, names: np.ndarray, devkit: Path | None) -> dict[str, str]:
    """Returns the wnid of each validation image, by the image's name.

    Args:
      path: the tar of the images.
      names: the names of the images.
      devkit: the file whose labels must be the same; None to compare with none.

    Raises:
      ConfigError: the number of images is not that of the labels, or the devkit has other labels.
    """
    listed = Path(tfds.core.tfds_path("datasets/imagenet2012/validation_labels.txt"))
    wnids = listed.read_text().split()
    if len(wnids) != len(names):
        raise ConfigError(f"{path} holds {len(names):,} images, expected {len(wnids):,}")
    if devkit is not None and (official := _devkit_labels(devkit)) != wnids:
        at = next(i for i, pair in enumerate(zip(official, wnids)) if pair[0] != pair[1])
        raise ConfigError(
            f"{devkit}: the label of validation image {at + 1} is {official[at]}, not {wnids[at]}"
        )
    return dict(zip(sorted(names.tolist()), wnids))


def _devkit_labels(path: Path) -> list[str]:
    """Reads the wnids of the validation images, in the order of their numbers."""
    truth, meta = (
        next(iter(making.contents(path, (suffix,)).values()))
        for suffix in ("data/ILSVRC2012_validation_ground_truth.txt", "data/meta.mat")
    )
    synsets = scipy.io.loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
    wnids = dict(zip(synsets["ILSVRC2012_ID"].tolist(), synsets["WNID"].tolist()))
    return [wnids[int(number)] for number in truth.split()]


def _index(path: Path, kept: Path, nested: bool) -> Index:
    """Lists the images of a tar, or of the tars in it, and keeps the list in the file `kept`."""
    if kept.exists():
        arrays = np.load(kept)
        return Index(arrays["names"], arrays["places"])
    try:
        members = list(_nested(path) if nested else _members(path))
    except (OSError, EOFError, tarfile.TarError) as error:
        raise ConfigError(f"{path} is not a readable tar: {error}") from error
    names = np.array([name for name, *_ in members])
    places = np.array([place for _, *place in members], np.int64).reshape(-1, 2)
    if len(set(names.tolist())) != len(names) or not len(names):
        raise ConfigError(
            f"{path} holds {len(names):,} images; it needs some, each with its own name"
        )
    with files.replacing(kept) as partial, open(partial, "wb") as file:
        np.savez(file, names=names, places=places)
    return Index(names, places)


def _members(path: Path) -> Iterator[tuple[str, int, int]]:
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            tar.members = []  # tarfile keeps all headers otherwise
            if member.isfile():
                yield PurePosixPath(member.name).name, member.offset_data, member.size


def _nested(path: Path) -> Iterator[tuple[str, int, int]]:
    with tarfile.open(path, "r:") as outer:
        for of_class in outer:
            outer.members = []
            if not of_class.isfile():
                continue
            with tarfile.open(fileobj=outer.extractfile(of_class), mode="r:") as inner:
                for member in inner:
                    inner.members = []
                    if member.isfile():
                        start = of_class.offset_data + member.offset_data
                        yield PurePosixPath(member.name).name, start, member.size


def _examples(
    tar: io.BufferedReader,
    found: Index,
    labels: Mapping[str, str] | None,
    rows: Int[np.ndarray, " n"],
) -> Iterator[dict[str, Any]]:
    for row in rows.tolist():
        name = str(found.names[row])
        start, size = found.places[row].tolist()
        tar.seek(start)
        image = io.BytesIO(tar.read(size))
        label = name.partition("_")[0] if labels is None else labels[name]
        yield {"image": image, "label": label, "file_name": name}
