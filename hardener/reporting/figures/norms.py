"""Histograms of the channels' norms under the input settings (paper, figure 4)."""

from hardener.reporting.drawing import BLUE, GREEN, ORANGE, PURPLE, Drawn, new_figure
from hardener.reporting.model_views import ModelView

_COLOURS = {
    "clean": (GREEN, "-"),
    "clean+ori": (BLUE, "--"),
    "clean+syn": (ORANGE, "-."),
    "clean+ori+syn": (PURPLE, ":"),
}
_TITLES = {"l1": "ℓ1", "l2": "ℓ2", "linf": "ℓ∞"}
_MARKS = "ovs^"
_ROOM_ABOVE = 200
"""Of the tallest bin, for the legend."""


def norm_histograms(view: ModelView) -> Drawn:
    """How often the channels' ℓ1, ℓ2 and ℓ∞ norms take which value, the largest marked."""
    with new_figure(7.2, 6.6) as figure:
        axes = figure.subplots(len(_TITLES), 1)
        for axis, (norm, title) in zip(axes, _TITLES.items(), strict=True):
            for mark, (setting, counted) in zip(_MARKS, view.norms.items(), strict=False):
                histogram = counted[norm]
                colour, style = _COLOURS[setting]
                axis.stairs(
                    histogram.counts, histogram.edges, color=colour, linestyle=style,
                    label=f"{setting}, at most {histogram.largest:.4g}",
                )  # fmt: skip
                axis.plot(histogram.largest, 1, mark, color=colour, markersize=5, clip_on=False)
            axis.set_yscale("log")
            tallest = max(int(counted[norm].counts.max()) for counted in view.norms.values())
            axis.set_ylim(0.7, _ROOM_ABOVE * tallest)
            most = max(counted[norm].largest for counted in view.norms.values())
            axis.set_xlim(0, 1.04 * most or 1.0)
            axis.set_xlabel(f"{title} of a channel on an image", labelpad=2)
            axis.legend(fontsize=8, loc="upper right")
        axes[1].set_ylabel("how many channels on how many images (log scale)")
    largest = {
        title: ", ".join(
            f"{setting} {counted[norm].largest:.4g}" for setting, counted in view.norms.items()
        )
        for norm, title in _TITLES.items()
    }
    described = (
        f"Norms of every channel of {view.layer} on {view.counted} images; marks stand at "
        "the largest: " + "; ".join(f"{title}: {said}" for title, said in largest.items()) + "."
    )
    return Drawn("norms", "Norms with and without triggers", described, figure)
