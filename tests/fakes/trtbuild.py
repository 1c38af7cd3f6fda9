"""Engines of the fakes in one call, for tests that are not about building."""

from pathlib import Path


def engine_bytes(trt, onnx_path, batches=(1, 2, 4), others=None):
    """The serialized engine of an ONNX file.

    Args:
        trt: A module of `faketrt`.
        onnx_path: The file.
        batches: Smallest, usual and largest batch, for inputs with an open first axis.
        others: `(smallest, usual, largest)` of other open axes.
    """
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    builder = trt.Builder(logger)
    known = trt.NetworkDefinitionCreationFlag.__members__
    network = builder.create_network(
        1 << int(known["EXPLICIT_BATCH"]) if "EXPLICIT_BATCH" in known else 0
    )
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(Path(onnx_path).read_bytes()), parser.get_error(0).desc()
    config = builder.create_builder_config()
    profile, dynamic = builder.create_optimization_profile(), False
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        shape = tuple(tensor.shape)
        if -1 in shape:
            dynamic = True
            shapes = []
            for k in range(3):
                size = others[k] if others else 1
                shapes.append(
                    [n if n > 0 else (batches[k] if a == 0 else size) for a, n in enumerate(shape)]
                )
            profile.set_shape(tensor.name, *shapes)
    if dynamic:
        config.add_optimization_profile(profile)
    data = builder.build_serialized_network(network, config)
    assert data is not None
    return bytes(data)


def save_engine(trt, onnx_path, path, **options):
    """Write the engine of an ONNX file; gives its path as text."""
    Path(path).write_bytes(engine_bytes(trt, onnx_path, **options))
    return str(path)
