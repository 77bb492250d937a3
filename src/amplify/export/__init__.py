"""Trained models for other runtimes: ``torch.export`` programs and ONNX files, each checked against PyTorch."""
