"""Images prepared for evaluation as torchvision prepares them, on two photographs."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from library.data import preprocessing


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("resize", "size"), [(256, 224), (232, 224), (342, 299), (64, 56)])
def test_resized_and_cropped_pixels(torch, torchvision, resize, size, method):
    from torchvision.transforms import CenterCrop, InterpolationMode, Resize

    ours = preprocessing.chain(
        [preprocessing.resize_short(resize, method), preprocessing.center_crop(size)]
    )
    cut = Resize(resize, InterpolationMode(method)), CenterCrop(size)
    for whole in load_sample_images().images:
        # Sides of which the scaled one is not a whole number, lying and standing.
        for image in (whole, whole[:, :331], whole[:401, :399]):
            expected = Image.fromarray(image)
            for step in cut:
                expected = step(expected)
            found = ours({"image": image}, np.random.default_rng(0))["image"]
            np.testing.assert_array_equal(found, np.asarray(expected))
