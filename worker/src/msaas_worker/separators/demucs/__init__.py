"""The models that demucs published: bags of networks from MODEL_REPO or the hub."""
