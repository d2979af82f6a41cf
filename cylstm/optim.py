"""Optimisers: SGD, RMSprop, Adam and AdamW, with the updates of torch.optim, computed in C."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from . import _core

# torch.nn.utils.clip_grad_norm_ adds this to the norm it divides by.
_NORM_FLOOR = 1e-6
# Settings that are the decay of a running mean.
_BELOW_ONE = ("alpha", "betas")


class Trainable(Protocol):
    """An LSTM, an RNN or a SequenceModel."""

    _network: Any


@dataclass(eq=False)
class Optimizer:
    """What all optimisers share: slots, the step count and clipping.

    An optimiser belongs to the first layer or model that it steps: its slots hold one number, or
    two, for each of that object's parameters.
    """

    learning_rate: float

    slot_names: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        self._check()
        self._network: Any = None
        self._slots: list[NDArray[np.float32]] | None = None
        self._steps = 0

    def step(self, model: Trainable, clip_norm: float | None = None) -> float:
        """Move the parameters once along the gradients that `model` has collected.

        The gradients are left as they are; call ``model.zero_grad()`` before the next backward
        pass. Where their norm is not finite, nothing is changed: neither weights nor slots.

        Parameters
        ----------
        model : LSTM, RNN or SequenceModel
        clip_norm : float, optional
            Gradients whose global norm is greater are scaled down to it, as by
            ``torch.nn.utils.clip_grad_norm_``.

        Returns
        -------
        float
            The global norm of the gradients before clipping.

        Raises
        ------
        ValueError
            When this optimiser has stepped another object before, or a setting is out of range.
        """
        self._check()
        if clip_norm is not None and not clip_norm > 0.0:
            raise ValueError(f"clip_norm: expected a number above 0, or None, got {clip_norm}")
        network = model._network
        slots = self.bind(network)
        norm = float(_core.global_norm(network.grad_vector, network.training_threads))
        if math.isfinite(norm):
            scale = 1.0 if clip_norm is None else min(1.0, clip_norm / (norm + _NORM_FLOOR))
            self._steps += 1
            self._update(network, slots, scale)
        return norm

    def __getstate__(self) -> dict[str, Any]:
        """Pickle and copy without the network: the copy belongs to what it steps first."""
        return self.__dict__ | {"_network": None}

    def state_dict(self) -> dict[str, Any]:
        """Copy all that the next step depends on.

        Returns
        -------
        dict
            "step" (int), "learning_rate" (float) and, after the first step, one flat float32 array
            for each of `slot_names`.
        """
        slots = dict(zip(self.slot_names, self._slots or (), strict=False))
        state: dict[str, Any] = {"step": self._steps, "learning_rate": self.learning_rate}
        return state | {name: slot.copy() for name, slot in slots.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` of an optimiser of the same kind returned.

        Raises
        ------
        ValueError
            When entries are missing, unknown or not of the size of the parameters.
        """
        names = {"step", "learning_rate"} | (set(self.slot_names) if state.get("step") else set())
        if set(state) != names:
            raise ValueError(f"state: expected the entries {sorted(names)}, got {sorted(state)}")
        slots = [np.array(state[name], np.float32) for name in self.slot_names if name in state]
        if self._network is not None:
            self._check_slots(slots, self._network)
        self._slots = slots if state["step"] else None
        self._steps = int(state["step"])
        self.learning_rate = float(state["learning_rate"])

    def bind(self, network: Any) -> list[NDArray[np.float32]]:
        """Make the slots for the network under a model, or find them; ValueError for another."""
        if self._network is not None and self._network is not network:
            raise ValueError(
                f"model: expected the object that this {type(self).__name__} stepped first, whose "
                "slots it holds, got another; make one optimiser for each"
            )
        if self._slots is None:
            size = network.vector.size
            self._slots = [np.zeros(size, np.float32) for _ in self.slot_names]
        elif self._network is None:
            self._check_slots(self._slots, network)
        self._network = network
        return self._slots

    @staticmethod
    def _check_slots(slots: list[NDArray[np.float32]], network: Any) -> None:
        expected = network.vector.shape
        for slot in slots:
            if slot.shape != expected:
                raise ValueError(f"state: expected slots of shape {expected}, got {slot.shape}")

    def _check(self) -> None:
        """Refuse settings out of range, also those that were changed since they were given."""
        for name in self.__match_args__:  # the dataclass's fields
            setting = getattr(self, name)
            limit = 1.0 if name in _BELOW_ONE else math.inf
            for value in setting if isinstance(setting, tuple | list) else (setting,):
                if not isinstance(value, int | float | np.number):
                    raise TypeError(f"{name}: expected a number, got {value!r}")
                if not 0.0 <= value < limit:
                    expected = "finite and at least 0" if limit > 1.0 else "in [0, 1)"
                    raise ValueError(f"{name}: expected a number {expected}, got {value}")

    def _update(self, network: Any, slots: list[NDArray[np.float32]], scale: float) -> None:
        raise NotImplementedError


@dataclass(eq=False)
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Nesterov's on request), as torch.optim.SGD.

    Parameters
    ----------
    learning_rate : float
    momentum : float
    nesterov : bool
        Needs a momentum above 0.
    weight_decay : float
        Added to the gradient, times the weights.
    """

    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    slot_names = ("momentum_buffer",)

    def _check(self) -> None:
        super()._check()
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: expected False where momentum is 0, got True")

    def _update(self, network: Any, slots: list[NDArray[np.float32]], scale: float) -> None:
        _core.sgd(
            network,
            slots,
            learning_rate=self.learning_rate,
            grad_scale=scale,
            step=self._steps,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )


@dataclass(eq=False)
class RMSprop(Optimizer):
    """Gradients divided by a running root mean square of themselves, as torch.optim.RMSprop.

    Parameters
    ----------
    learning_rate : float
    alpha : float
        Decay of the running mean of squares.
    eps : float
        Added to the root.
    momentum : float
    weight_decay : float
        Added to the gradient, times the weights.
    """

    learning_rate: float = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    weight_decay: float = 0.0

    slot_names = ("square_average", "momentum_buffer")

    def _update(self, network: Any, slots: list[NDArray[np.float32]], scale: float) -> None:
        _core.rmsprop(
            network,
            slots,
            learning_rate=self.learning_rate,
            grad_scale=scale,
            step=self._steps,
            alpha=self.alpha,
            eps=self.eps,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )


@dataclass(eq=False)
class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), as torch.optim.Adam.

    Parameters
    ----------
    learning_rate : float
    betas : (float, float)
        Decay of the running means of the gradients and of their squares.
    eps : float
        Added to the root of the mean square.
    weight_decay : float
        Added to the gradient, times the weights. :class:`AdamW` decouples it from the gradient.
    """

    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    slot_names = ("mean", "mean_square")
    decoupled: ClassVar[bool] = False

    def _update(self, network: Any, slots: list[NDArray[np.float32]], scale: float) -> None:
        beta1, beta2 = self.betas
        _core.adam(
            network,
            slots,
            learning_rate=self.learning_rate,
            grad_scale=scale,
            step=self._steps,
            beta1=beta1,
            beta2=beta2,
            eps=self.eps,
            weight_decay=self.weight_decay,
            decoupled=self.decoupled,
        )


@dataclass(eq=False)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), as torch.optim.AdamW.

    The parameters are those of :class:`Adam`; `weight_decay` shrinks the weights themselves, by
    ``learning_rate * weight_decay`` at each step.
    """

    weight_decay: float = 1e-2

    decoupled = True


_BY_NAME: dict[str, tuple[type[Optimizer], float]] = {
    "sgd": (SGD, 1e-1),
    "rmsprop": (RMSprop, 1e-2),
    "adam": (Adam, 1e-3),
    "adamw": (AdamW, 1e-3),
}


def get_optimizer(optimizer: str | Optimizer, learning_rate: float | None = None) -> Optimizer:
    """Return a new optimiser of that name, or `optimizer` itself.

    Parameters
    ----------
    optimizer : {"adam", "adamw", "rmsprop", "sgd"} or Optimizer
    learning_rate : float, optional
        For an optimiser given by name; by default 1e-3 for Adam and AdamW, 1e-2 for RMSprop and
        1e-1 for SGD.

    Examples
    --------
    >>> get_optimizer("sgd", 0.5)
    SGD(learning_rate=0.5, momentum=0.0, nesterov=False, weight_decay=0.0)
    """
    if isinstance(optimizer, Optimizer):
        if learning_rate is not None:
            raise ValueError("learning_rate: expected None beside an optimizer that has its own")
        return optimizer
    if not isinstance(optimizer, str):
        raise TypeError(f"optimizer: expected a name or an Optimizer, got {optimizer!r}")
    if optimizer not in _BY_NAME:
        raise ValueError(f"optimizer: expected one of {', '.join(_BY_NAME)}, got {optimizer!r}")
    kind, default = _BY_NAME[optimizer]
    return kind(default if learning_rate is None else learning_rate)
