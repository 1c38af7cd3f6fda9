"""Classification: what a picture, or a part of it, shows as a whole.

scores    the scores of the classes, and the best of them by name
settings  how pictures are cut for a net, as its card says
meaning   what the numbers of a net's output are: softmax, sigmoid or neither yet
wire      an ONNX's nodes and small tensors, read and written without the onnx package
head      the end of a classifier's graph: what makes its scores, and of which features
maps      class-activation maps: a second output that tells where a class was seen
cutting   the part of a picture that a net is shown
model     such a net
loading   a net from a file: `load_classifier`
"""

from .loading import build_classifier, load_classifier
from .maps import MAP, add_map
from .model import Classifier
from .scores import Classified, best

__all__ = [
    "MAP",
    "Classified",
    "Classifier",
    "add_map",
    "best",
    "build_classifier",
    "load_classifier",
]
