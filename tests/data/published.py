"""Stand-ins for published files: tiny archives of the official formats."""

import gzip
import io
import tarfile
import zipfile

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)


def pixels(*shape):
    return RNG.integers(0, 256, shape, np.uint8)


def encode(image, form="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, form, **options)
    return file.getvalue()


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def write_tar(path, members, mode="w:gz"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def tar(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def write_zip(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def idx(array):
    shape = b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    return gzip.compress(b"\x00\x00\x08" + bytes([array.ndim]) + shape + array.tobytes())
