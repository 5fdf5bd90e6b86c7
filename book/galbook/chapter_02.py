"""Chapter 02: what denoisers make of images they were, and were not, trained on (figures 5 and 6)."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from galgen.compare.denoising import Denoising, Panel
from galgen.figures.style import shades, stamp_sheet
from galgen.figures.words import spaced

__all__ = ["denoising_sheet", "psnr_curves"]


def denoising_sheet(panel: Panel, sigmas: Sequence[float]) -> Figure:
    """One image with growing noise and, under it, what each denoiser makes of it, all with their PSNR."""
    blank = np.ones_like(panel.clean)[None]
    stack, rows = [panel.clean[None], panel.noisy], ["noisy"]
    titles = ["clean", *(f"σ={s:g}: {v:.1f}" for s, v in zip(sigmas, panel.noisy_psnr, strict=True))]
    for n, denoised in panel.denoised.items():
        stack += [blank, denoised]
        titles += ["", *(f"{value:.1f}" for value in panel.denoised_psnr[n])]
        rows.append(f"N = {spaced(n)}")
    columns = len(sigmas) + 1
    return stamp_sheet(np.concatenate(stack), columns=columns, titles=titles, rows=rows, inches=0.95)


def psnr_curves(curves: Mapping[int, tuple[Denoising, Denoising]]) -> Figure:
    """PSNR after against PSNR before denoising: medians of training (solid) and of held-out images (dashed).

    Args:
        curves: By N, of training and of held-out images; a band holds 68 % of the latter.
    """
    figure, axis = plt.subplots(figsize=(6.4, 4))
    shade = shades(list(curves))
    for n, (seen, unseen) in curves.items():
        x = np.median(unseen.noisy, axis=1)
        low, middle, high = np.percentile(unseen.denoised, (16, 50, 84), axis=1)
        axis.plot(x, np.median(seen.denoised, axis=1), color=shade[n], label=f"N = {spaced(n)}")
        axis.plot(x, middle, "--", color=shade[n])
        axis.fill_between(x, low, high, color=shade[n], alpha=0.12, lw=0)
    axis.plot(x, x, ":", color="gray")  # the same noise for every N
    axis.set(xlabel="PSNR of the noisy image, dB", ylabel="PSNR of the denoised image, dB")
    axis.legend()
    return figure
