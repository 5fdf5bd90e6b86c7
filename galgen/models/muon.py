r"""Muon, an optimizer for convolutions: steps with nearly equal singular values.

The weight W of a convolution (out, in, k, k) is a matrix of `out` rows and in k^2 columns. Adam scales each
element of the gradient G separately; Muon scales G in its singular directions. With momentum B, in Nesterov's
form, and O(U S V^T) ~ U V^T,

    B <- mu B + G,      W <- W - eta sqrt(max(1, out / in)) O(G + mu B),

so directions with small gradients are learned as fast as the few with large ones. (For a transposed
convolution, whose weight is (in, out, k, k), in and out are exchanged.) O is five Newton-Schulz steps on
X = G / |G|, an odd polynomial that moves every singular value towards 1:

    X <- M X,      M = a + b A + c A^2,      A = X X^T,      (a, b, c) = (3.4445, -4.7750, 2.0315).

The coefficients trade a steep slope at 0 for a limit that is only near 1: a singular value above 0.005 of |G|
ends between 0.68 and 1.16. X itself is needed only at the end. Every M is a polynomial in the first A, so all
of them commute, and the iteration can be done on the small Gram matrix alone:

    P <- M P,      A <- M A M,      from P = 1;      O = P X,

which halves the time for the U-Net of the laptop profile, but requires float32: in bfloat16 the small
singular directions of G grow without bound. Small matrices of one shape take half the time in a stack; each
is updated as it would be alone.

A |G| below 1e-7 is replaced by 1e-7. It is the remaining momentum of a layer that no image activates any
more: steps of full length would continue in that direction forever, and squares of numbers below 1e-22
underflow in float32, so that |G| is underestimated and the polynomial, which is valid to little above 1,
diverges.

Adam optimizes the gains, and the convolutions that read and write the image, whose matrices are too thin to
have many directions.

References:
    Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks,
    https://kellerjordan.github.io/posts/muon/. Schaipp 2025, Optimization benchmark for diffusion models on
    dynamical systems, https://arxiv.org/abs/2510.19376 (Muon among others on a diffusion U-Net). Kingma & Ba
    2015, Adam, https://arxiv.org/abs/1412.6980.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

__all__ = ["Muon", "optimizers", "orthogonalized", "step"]

_STEPS = 5
_LEAST = 1e-7  # smallest |G|
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalized(G: Tensor) -> Tensor:
    """Return approximately U V^T of a matrix G = U S V^T, or of each in a stack, both ([n,] rows, columns).

    A zero matrix remains zero.
    """
    if G.shape[-2] > G.shape[-1]:
        return orthogonalized(G.mT).mT
    X = G / G.norm(dim=(-2, -1), keepdim=True).clamp_min(_LEAST)
    A, P = X @ X.mT, None
    add_product = torch.addmm if G.ndim == 2 else torch.baddbmm
    for step in range(_STEPS):
        M = add_product(A, A, A, beta=_B, alpha=_C)
        M.diagonal(dim1=-2, dim2=-1).add_(_A)
        P = M if P is None else M @ P
        if step < _STEPS - 1:
            A = M @ A @ M
    return P @ X


class Muon(Optimizer):
    """The Muon optimizer; its state is one momentum per parameter.

    Args:
        params: Weights (out, in, k, k), or stacks of them (n, out, in, k, k), or parameter groups.
        lr: Learning rate eta; about 0.02 for any width of the network.
        momentum: mu.
    """

    def __init__(self, params: Iterable, lr: float, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Update every weight that has a gradient; `closure` is not used."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"].mul_(group["momentum"]).add_(weight.grad)
                ahead = weight.grad.add(momentum, alpha=group["momentum"])
                rate = group["lr"] * max(1, weight.shape[-4] / weight.shape[-3]) ** 0.5
                weight.sub_(orthogonalized(ahead.flatten(-3)).reshape(weight.shape), alpha=rate)


class Rates(Protocol):
    """Optimizer settings of a network.

    Attributes:
        optimizer: Adam for all weights, or Muon for those of the convolutions.
        learning_rate: Learning rate of Adam.
        muon_rate: Learning rate of Muon.
    """

    optimizer: Literal["muon", "adam"]
    learning_rate: float
    muon_rate: float


def optimizers(
    net: nn.Module,
    rates: Rates,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    ends: Literal["muon", "adam"] = "adam",
) -> dict[str, Optimizer]:
    """Return the optimizers of a network by name: Adam, or Muon for convolutions and Adam for the rest.

    Args:
        net: Network with parameters in order, from the first convolution, which reads the image, to the last;
            only the weights of convolutions have four dimensions, or five in a stack.
        rates: Optimizer and learning rates.
        betas: Parameters of Adam.
        ends: Optimizer of the first and the last convolution; "muon" if neither reads or writes the image.
    """
    weights = []
    if rates.optimizer == "muon":
        weights = [p for p in net.parameters() if p.ndim >= 4]
        weights = weights[1:-1] if ends == "adam" else weights
    taken = set(map(id, weights))
    rest = [p for p in net.parameters() if id(p) not in taken]
    made: dict[str, Optimizer] = {"adam": Adam(_group(rest, rates.learning_rate), betas=betas, fused=True)}
    if weights:
        made["muon"] = Muon(_group(weights, rates.muon_rate), rates.muon_rate)
    return made


def step(optimizers: Mapping[str, Optimizer], rate: float) -> None:
    """Take one step of each at `rate` times its learning rate, and reset the gradients."""
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * rate
        optimizer.step()
        optimizer.zero_grad()


def _group(parameters: list[nn.Parameter], rate: float) -> list[dict]:
    return [{"params": parameters, "lr": rate, "initial_lr": rate}]
