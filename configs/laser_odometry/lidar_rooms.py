"""The speed and the yaw rate of a car, from two laser scans of a simulated room.

System:    Laser odometry by a CNN (Nicolai et al. 2016, "Deep learning for laser based odometry
           estimation"): measure the motion of a car
Command:   python -m experiments.prepare --dataset=lidar_rooms
           python -m experiments.train --config=configs/laser_odometry/lidar_rooms.py
Hardware:  two CPU cores
Expected:  no result is recorded yet; the aim is test/speed_mae 3 km/h or less. Everyone at the mean
           speed has 12.5. Matching the scans without a network, the evaluation "floor", has 0.07
           km/h and 0.17 degrees per second on 150 pairs: these scans are easy to match
Source:    none for these data. Nicolai et al. state errors within 10 cm per direction, which
           between scans 0.1 s apart are 3.6 km/h

The data set is made by this project (library/data/builders/lidar_rooms.py). Within 0.1 s a car of 3
km/h moves 8 cm; the noise of a beam is 2 cm. Half of the training pairs are mirrored left to right
(`mirror_scans`), which changes the sign of the yaw rate. The evaluation "speed" draws the error by
the true speed.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="lidar_rooms",
        train="train",
        test="test",
        batch_size=128,
        eval_batch_size=250,
        cache="device",
    )
    config.preprocess = []
    config.augment = [dict(name="mirror_scans")]
    config.model = dict(name="laser_odometry")
    config.task = dict(
        name="regression",
        num_outputs=2,
        inputs=["scans"],
        loss="huber",
        target_mean=[25.0, 0.0],
        target_scale=[14.4, 34.6],
        output_names=["speed", "yaw_rate"],
    )
    config.optimizer = dict(
        name="adamw",
        learning_rate=1e-3,
        weight_decay=0.01,
        schedule=dict(name="cosine", warmup="200 steps"),
    )
    config.total = "40 epochs"
    edges = [10.0 * i for i in range(6)]
    config.evaluate = dict(
        test=dict(kind="metrics", every="5%"),
        speed=dict(kind="error_by_value", output="speed_error", edges=edges, every="25%"),
        floor=dict(kind="scan_matching", num=500, every="100%"),
    )
    config.checkpoint = dict(every="10%", best="test/speed_mae", mode="min")
    config.log_every = "100 steps"
    config.seed = 0
    return config
