"""The backend that runs transformers models on this machine: prompts, batches, decoding, learned weights."""
