"""all-MiniLM-L6-v2 on the CPU: an ONNX graph built from its safetensors, and an encoder over it."""
