"""From a trained torch model to an ONNX that says by itself how it wants to be used.

Needs Python 3.10 or newer, and torch in the modules that say so.
"""
