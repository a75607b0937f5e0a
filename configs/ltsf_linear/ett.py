"""Linear forecasters of the load and the oil temperature of two transformers (ETT).

System:    LTSF-Linear (Zeng et al. 2023, "Are Transformers effective for time series
           forecasting?"): forecast series
Command:   python -m experiments.prepare --dataset=ett/etth1
           python -m experiments.train --config=configs/ltsf_linear/ett.py:nlinear_etth1_96
Hardware:  two CPU cores, a minute
Expected:  test/mse 0.374 (:nlinear_etth1_96), 0.440 (:nlinear_etth1_720), 0.375
           (:dlinear_etth1_96), 0.277 (:nlinear_etth2_96) and 0.289 (:dlinear_etth2_96); a variant
           is a model, a series and the hours to be forecast, 96, 192, 336 or 720
Source:    Zeng, Chen, Zhang & Xu 2023, arXiv 2205.13504, table 2; settings of the authors' program,
           cure-lab/LTSF-Linear

All seven channels are forecast from 336 hours. The rate halves after each epoch. The last epoch is
tested; the authors test that with the best validation.
"""

from ml_collections import ConfigDict

from library import presets

# Reported errors by model and series, for each number of hours.
AHEAD = (96, 192, 336, 720)
REPORTED = {
    ("nlinear", "etth1"): (0.374, 0.408, 0.429, 0.440),
    ("dlinear", "etth1"): (0.375, 0.405, 0.439, 0.472),
    ("nlinear", "etth2"): (0.277, 0.344, 0.357, 0.394),
    ("dlinear", "etth2"): (0.289, 0.383, 0.448, 0.605),
}
# Model, series, hours to be forecast, reported error.
VARIANTS = {
    f"{model}_{series}_{ahead}": (model, series, ahead, error)
    for (model, series), errors in REPORTED.items()
    for ahead, error in zip(AHEAD, errors)
}
RATES = {"etth1": 0.005, "etth2": 0.05}


def get_config(variant: str = "nlinear_etth1_96") -> ConfigDict:
    model, series, ahead, reported = VARIANTS[variant]
    config = presets.forecasting(f"ett/{series}", known=336, ahead=ahead)
    config.model = dict(name=f"ltsf_linear.{model}")
    config.optimizer = dict(
        name="adam",
        learning_rate=RATES[series],
        schedule=dict(name="exponential", factor=0.5, every="1 epoch", staircase=True),
    )
    config.total = "10 epochs"
    config.reported = dict(metric="test/mse", value=reported, source="Zeng et al. 2023, table 2")
    return config
