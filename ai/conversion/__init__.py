"""Turn models of other frameworks into ONNX files for the model repository."""
