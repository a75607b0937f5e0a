"""Character-level Transformers on Tiny Shakespeare, by nanoGPT's recipes.

System:    GPT (Radford et al. 2019, "Language models are unsupervised multitask learners"): write
           text
Command:   python -m experiments.prepare --dataset=tinyshakespeare
           python -m experiments.train --config=configs/gpt/tinyshakespeare.py:cpu
Hardware:  one CPU core: 7 minutes for :cpu, 10 for :nanogpt_cpu; a GPU for :full
Expected:  test/loss 1.88 nats per character (:nanogpt_cpu, 1.91 reached; :cpu, 1.71), 1.4697
           (:full)
Source:    Karpathy, nanoGPT, README, config/train_shakespeare_char.py and, for values that these do
           not set, train.py and model.py: no biases, exact GELU, weight decay for all matrices and
           embeddings.

nanoGPT's losses are estimates: 1.88 is a mean over 20 x 12 random windows of the last tenth of the
text, and 1.4697 is the best of the means over 200 x 64 windows that are computed every 250 steps.
Here each character of that tenth counts once, after the last step.

:nanogpt_cpu is nanoGPT's recipe for a laptop, and :full its recipe for a GPU. Two things differ:
windows are shuffled instead of drawn with replacement, and attention weights have no dropout. :cpu
trains a model of the same size on the same 1.5 million characters, with rotary instead of learned
positions, GPT-2's GELU, a higher learning rate, and a learning rate that falls linearly to 0.
"""

from ml_collections import ConfigDict

from library import presets

SMALL = dict(width=128, depth=4, num_heads=4)
NANO = dict(SMALL, gelu="exact")
LARGE = dict(width=384, depth=6, num_heads=6, dropout=0.2, gelu="exact")
COSINE = dict(name="cosine", warmup="100 steps", final=0.1)
LINEAR = dict(name="linear", warmup="100 steps")

# Model, context, windows per step, steps, peak rate, schedule, reported loss.
VARIANTS = {
    "cpu": (SMALL | dict(positions="rotary"), 64, 12, 2000, 4e-3, LINEAR, 1.88),
    "nanogpt_cpu": (NANO, 64, 12, 2000, 1e-3, COSINE, 1.88),
    "full": (LARGE, 256, 64, 5000, 1e-3, COSINE, 1.4697),
}


def get_config(variant: str = "cpu") -> ConfigDict:
    model, context, batch_size, steps, rate, schedule, reported = VARIANTS[variant]
    config = presets.text(
        "tinyshakespeare",
        every="10%",
        prompt="ROMEO:\n",
        samples_every="12.5%",
        tokenizer=dict(name="character"),
        context=context,
        batch_size=batch_size,
        eval_batch_size=128,
    )
    config.model = dict(name="gpt", context=context, bias=False, **model)
    config.task = dict(name="language")
    config.optimizer = presets.nanogpt_adamw(rate, schedule, b2=0.99, decayed=presets.MATRICES)
    config.total = f"{steps} steps"
    config.reported = dict(metric="test/loss", value=reported, source="nanoGPT, README")
    return config
