"""Engines of TensorRT: planned for a device, built on it, kept with a passport."""

from .build import Built, build_engine, make_plan, usual_tensorrt
from .builder import Step
from .cache import EngineCache, cached_engine, engines_folder
from .graph import GraphFacts, read_graph
from .machine import here, installed_tensorrt, load_tensorrt, tensorrt_logger, this_device
from .passport import Here, Passport, passport_path, read_engine, read_passport, write_passport
from .plan import BuildPlan, plan_build
from .ranges import CalibrationCache, read_calibration_cache
from .shapes import parse_batch, parse_shape

__all__ = [
    "BuildPlan",
    "Built",
    "CalibrationCache",
    "EngineCache",
    "GraphFacts",
    "Here",
    "Passport",
    "Step",
    "build_engine",
    "cached_engine",
    "engines_folder",
    "here",
    "installed_tensorrt",
    "load_tensorrt",
    "make_plan",
    "parse_batch",
    "parse_shape",
    "passport_path",
    "plan_build",
    "read_calibration_cache",
    "read_engine",
    "read_graph",
    "read_passport",
    "tensorrt_logger",
    "this_device",
    "usual_tensorrt",
    "write_passport",
]
