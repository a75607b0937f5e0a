"""Character-level Transformers on Tiny Shakespeare, after nanoGPT's recipes.

Command:   python -m experiments.prepare --dataset=tinyshakespeare
           python -m experiments.train --config=configs/tinyshakespeare/gpt.py:cpu
Hardware:  two CPU cores: 4 minutes for :cpu and :nanogpt_cpu; a GPU for :full
Expected:  test/loss 1.88 nats a character (:cpu, 1.72 reached; :nanogpt_cpu, 1.91), 1.4697
           (:full)
Source:    Karpathy, nanoGPT, README and config/train_shakespeare_char.py: 1.88 and 1.4697, each a
           mean over random windows of the last tenth of the text; here it is over all of them.

:nanogpt_cpu is nanoGPT's recipe for a laptop, and :full the one for a GPU, except that dropout does
not fall on attention weights. :cpu sees the same 1.5 million characters with as large a model, by
rotary positions in place of learned ones, a higher learning rate, and a linear fall of it to 0.
"""

from ml_collections import ConfigDict

SMALL = dict(width=128, depth=4, num_heads=4)
LARGE = dict(width=384, depth=6, num_heads=6, dropout=0.2)
COSINE = dict(name="cosine", warmup="100 steps", final=0.1)
LINEAR = dict(name="linear", warmup="100 steps")

# Model, context, windows a step, steps, peak rate, schedule, reported loss.
VARIANTS = {
    "cpu": (SMALL | dict(positions="rotary"), 64, 12, 2000, 4e-3, LINEAR, 1.88),
    "nanogpt_cpu": (SMALL, 64, 12, 2000, 1e-3, COSINE, 1.88),
    "full": (LARGE, 256, 64, 5000, 1e-3, COSINE, 1.4697),
}


def get_config(variant: str = "cpu") -> ConfigDict:
    model, context, batch_size, steps, rate, schedule, reported = VARIANTS[variant]
    config = ConfigDict()
    config.dataset = dict(
        name="tinyshakespeare",
        train="train",
        test="test",
        tokenizer=dict(name="character"),
        context=context,
        batch_size=batch_size,
        eval_batch_size=128,
    )
    config.preprocess = []
    config.model = dict(name="transformer.gpt", context=context, bias=False, **model)
    config.task = dict(name="language")
    config.optimizer = dict(
        name="adamw",
        learning_rate=rate,
        b2=0.99,
        weight_decay=0.1,
        clip=dict(global_norm=1.0),
        schedule=schedule,
    )
    config.total = f"{steps} steps"
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"),
        samples=dict(kind="samples.text", prompt="ROMEO:\n", num=4, length=400, every="50%"),
    )
    config.checkpoint = dict(every="10%", best="test/loss", mode="min")
    config.log_every = "100 steps"
    config.reported = dict(metric="test/loss", value=reported, source="nanoGPT, README")
    config.seed = 0
    return config
