"""The models that ship in the package. `MODEL_CARD.md` beside them says what they are worth."""

from pathlib import Path

STORE_PERSON = Path(__file__).with_name("store_person.onnx")
"""A small detector of people, trained on rendered stores alone."""

SHIPPED = {"store-person": STORE_PERSON}
"""By the names that a config may call them."""
