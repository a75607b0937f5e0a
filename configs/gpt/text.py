"""GPT-2 (124 million params) on your own text, by nanoGPT's recipe.

System:    GPT (Radford et al. 2019, "Language models are unsupervised multitask learners"): write
           text
Command:   python -m experiments.train --config=configs/gpt/text.py:gpt2 \\
             --config.dataset.data_dir=~/texts --config.total="20_000 steps"
Hardware:  eight GPUs of 40 GB for :gpt2; one for :small, 30 million params on a few MB of text
Expected:  depends on the text; on OpenWebText, which is not available here, nanoGPT reports 2.85
           nats per token after the 600,000 steps, 4 days on eight A100
Source:    Radford et al. 2019, "Language models are unsupervised multitask learners"; Karpathy,
           nanoGPT, config/train_gpt2.py, for the optimization, and model.py: no biases, exact GELU.

configs/gpt/gpt2.py is the same network and optimization with the published vocabulary of GPT-2.
Here no other file than the text is needed.

The folder holds text files, see "text" in library/data/sources.py. The vocabulary is learned from
them and is as large as that of GPT-2. Use a smaller vocabulary for much less than 100 MB of text:
it does not have as many tokens to learn.
"""

from ml_collections import ConfigDict

from library import presets

LARGE = dict(width=768, depth=12, num_heads=12, context=1024)
SMALL = dict(width=512, depth=8, num_heads=8, context=512, dropout=0.1)

# Model, vocabulary, windows per step, parts of the batch, steps, warmup, peak rate.
VARIANTS = {
    "gpt2": (LARGE, 50_257, 480, 5, "600_000 steps", "2_000 steps", 6e-4),
    "small": (SMALL, 8_192, 64, 2, "20_000 steps", "500 steps", 6e-4),
}


def get_config(variant: str = "gpt2") -> ConfigDict:
    model, vocab_size, batch_size, accumulate, total, warmup, rate = VARIANTS[variant]
    config = presets.text(
        "text",
        every="1%",
        samples_every="5%",
        data_dir="~/texts",
        tokenizer=dict(name="bpe", vocab_size=vocab_size),
        context=model["context"],
        batch_size=batch_size,
        eval_batch_size=batch_size // accumulate,
    )
    config.model = presets.nanogpt_model(**model)
    # A twelfth of GPT-2's vocabulary: temporary memory is a tenth of that for all logits.
    config.task = dict(name="language", chunk=4096)
    schedule = dict(name="cosine", warmup=warmup, final=0.1)
    config.optimizer = presets.nanogpt_adamw(rate, schedule, decayed=presets.MATRICES)
    config.total = total
    config.accumulate = accumulate
    config.log_every = "10 steps"
    return config
