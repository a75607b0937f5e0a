"""A Transformer of patches that forecasts the load and the oil temperature of a transformer (ETT).

System:    PatchTST (Nie et al. 2023, arXiv 2211.14730): forecast series
Command:   python -m experiments.prepare --dataset=ett/etth1
           python -m experiments.train --config=configs/patch_tst/ett.py:etth1_96
Hardware:  two CPU cores, an estimated hour; not run here
Expected:  test/mse 0.370 (:etth1_96), 0.413 (:etth1_192), 0.422 (:etth1_336), 0.447 (:etth1_720)
Source:    Nie, Nguyen, Sinthong & Kalagnanam 2023, table 3, PatchTST/64; settings of the authors'
           program, yuqinie98/PatchTST

All seven channels are forecast from 512 hours. The network normalizes each layer in place of each
batch. Twenty epochs take the place of up to a hundred that the authors stop by the validation, and
the rate is five times theirs.
"""

from ml_collections import ConfigDict

from library import presets

# Hours to be forecast, reported error.
VARIANTS = {
    "etth1_96": (96, 0.370),
    "etth1_192": (192, 0.413),
    "etth1_336": (336, 0.422),
    "etth1_720": (720, 0.447),
}


def get_config(variant: str = "etth1_96") -> ConfigDict:
    ahead, reported = VARIANTS[variant]
    config = presets.forecasting("ett/etth1", known=512, ahead=ahead, batch_size=128)
    config.model = dict(name="patch_tst")
    config.optimizer = dict(
        name="adam", learning_rate=5e-4, schedule=dict(name="cosine", warmup="1 epoch")
    )
    config.total = "20 epochs"
    config.reported = dict(metric="test/mse", value=reported, source="Nie et al. 2023, table 3")
    return config
