#!/usr/bin/env python3
"""Make small random checkpoints of the three families and their logits with Hugging Face transformers.

usage: make.py FOLDER     (needs torch and transformers; run once, the result is committed)
"""

import json
import pathlib
import sys

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers import Qwen3Config, Qwen3ForCausalLM

SHAPE = dict(
    vocab_size=61,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
    eos_token_id=1,
    bos_token_id=None,
    pad_token_id=None,
)
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
    "rope_theta": 10000.0,
}
MODELS = {
    "llama": (LlamaForCausalLM, LlamaConfig(**SHAPE, tie_word_embeddings=False, rope_parameters=LLAMA3)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**SHAPE, tie_word_embeddings=True)),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**SHAPE, tie_word_embeddings=False, head_dim=16)),
}


def main():
    folder = pathlib.Path(sys.argv[1])
    for seed, (name, (make, config)) in enumerate(MODELS.items()):
        torch.manual_seed(seed)
        model = make(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                # Away from the initial zeros and ones, so that biases and norms count.
                parameter.add_(torch.randn_like(parameter) * 0.2)
        tokens = torch.randint(2, SHAPE["vocab_size"], (2, 40))
        with torch.no_grad():
            logits = model(tokens).logits
        target = folder / name
        model.save_pretrained(target, max_shard_size="30KB" if name == "qwen3" else "5GB")
        for extra in target.glob("generation_config.json"):
            extra.unlink()
        golden = {
            "made_with": f"transformers {transformers.__version__}, torch {torch.__version__}",
            "tokens": tokens.tolist(),
            # Every tenth position: the last ones depend on all before.
            "positions": list(range(9, 40, 10)),
            "logits": [[[round(x, 5) for x in row] for row in one[9::10].tolist()] for one in logits],
        }
        (target / "golden.json").write_text(json.dumps(golden) + "\n")


main()
