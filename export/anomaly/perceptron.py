"""A small perceptron over the features of a place, trained with numpy alone."""

from typing import List, NamedTuple, Tuple

import numpy as np

HIDDEN = (96, 48)

LEAST = 0.01
"""Standard deviation of a feature that tells something."""


class Layer(NamedTuple):
    """One layer: weight `(out, in)` and bias `(out,)`."""

    weight: np.ndarray
    bias: np.ndarray


def forward(layers: List[Layer], x: np.ndarray) -> np.ndarray:
    """Logits `(n,)` of features `(n, c)`."""
    for layer in layers[:-1]:
        x = np.maximum(x @ layer.weight.T + layer.bias, 0)
    last = layers[-1]
    return (x @ last.weight.T + last.bias)[:, 0]


def fit(
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    random: np.random.Generator,
    steps: int = 4000,
    batch: int = 512,
    rate: float = 2e-3,
    decay: float = 0.02,
) -> List[Layer]:
    """Logistic regression through two hidden layers, by AdamW on a falling rate.

    Args:
        x: `(n, c)`; any scale, it is whitened by channel and that is folded in.
        y: `(n,)` 0 or 1.
        weight: `(n,)`, how likely a row is drawn.
        random: Where chance comes from.
        steps: Steps of the optimiser.
        batch: Rows a step.
        rate: Of the first steps.
        decay: Of weights, decoupled.
    """
    x = x.astype(np.float32)
    mean = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    # What varies less than this is rounding, which would count as much as what tells something.
    std = np.maximum(x.std(axis=0, dtype=np.float64), LEAST).astype(np.float32)
    x -= mean
    x /= std
    sizes = (x.shape[1], *HIDDEN, 1)
    parameters: List[np.ndarray] = []
    for before, after in zip(sizes[:-1], sizes[1:]):
        parameters.append(random.normal(0, np.sqrt(2 / before), (after, before)).astype(np.float32))
        parameters.append(np.zeros(after, np.float32))
    first = [np.zeros_like(p) for p in parameters]
    second = [np.zeros_like(p) for p in parameters]
    kept = [p.copy() for p in parameters]
    cumulated = np.cumsum(weight / weight.sum())
    for step in range(steps):
        rows = np.searchsorted(cumulated, random.random(batch)).clip(0, len(x) - 1)
        gradients = _gradients(parameters, x[rows], y[rows], random)
        now = rate * min(1.0, (step + 1) / 100) * (0.02 + 0.49 * (1 + np.cos(np.pi * step / steps)))
        one, two = 1 - 0.9 ** (step + 1), 1 - 0.999 ** (step + 1)
        for p, g, m, v in zip(parameters, gradients, first, second):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            if p.ndim > 1:
                p *= 1 - now * decay
            p -= now * (m / one) / (np.sqrt(v / two) + 1e-8)
        share = min(0.995, (step + 1) / (step + 20))
        for k, p in zip(kept, parameters):
            k += (1 - share) * (p - k)
    layers = [Layer(w, b) for w, b in zip(kept[::2], kept[1::2])]
    folded = layers[0].weight / std
    layers[0] = Layer(folded.astype(np.float32), layers[0].bias - folded @ mean)
    return layers


def _gradients(
    parameters: List[np.ndarray], x: np.ndarray, y: np.ndarray, random: np.random.Generator
) -> List[np.ndarray]:
    """Of the mean logistic loss, in the order of the parameters; one value in ten is left out."""
    weights, biases = parameters[::2], parameters[1::2]
    keep = (random.random(x.shape[1]) > 0.1).astype(np.float32) / 0.9
    inputs = [x * keep]
    for weight, bias in zip(weights[:-1], biases[:-1]):
        inputs.append(np.maximum(inputs[-1] @ weight.T + bias, 0))
    logit = (inputs[-1] @ weights[-1].T + biases[-1])[:, 0]
    error = ((1 / (1 + np.exp(-np.clip(logit, -30, 30))) - y) / len(x))[:, None]
    found: List[Tuple[np.ndarray, np.ndarray]] = []
    for number in range(len(weights) - 1, -1, -1):
        found.append((error.T @ inputs[number], error.sum(axis=0)))
        if number:
            error = (error @ weights[number]) * (inputs[number] > 0)
    return [g for pair in found[::-1] for g in pair]
