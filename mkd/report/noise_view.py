"""The noise budget's findings in sentences."""

from collections.abc import Callable, Mapping

from mkd.results.formats import number, signed
from mkd.results.noise_budget import Budget, Spread


def starts(budget: Budget, named: Callable[[str], str]) -> str:
    """What seeds vary by from one start, and what by starts of their own, apart.

    Args:
        budget: The noise budget.
        named: A run's name in the field's words.
    """

    def listed(rows: list[Spread]) -> str:
        return ", ".join(f"{number(row.sd, 2)} ({named(row.run)})" for row in rows) or "not run"

    several = [row for row in budget.spreads if row.seeds > 1]
    one = [row for row in several if row.starts == 1]
    # Without a start each seed draws a network of its own.
    own = [row for row in several if row.starts in (None, row.seeds)]
    shared = [row for row in several if row not in one and row not in own]
    said = (
        f"Standard deviations of AP. From one start, over seeds: {listed(one)}. From starts of "
        f"their own, over starts and seeds: {listed(own)}."
    )
    return f"{said} From starts that some seeds share: {listed(shared)}." if shared else said


def power(budget: Budget, printed: Mapping[str, float]) -> str:
    """How many of the paper's gains these seeds could find; empty where it prints none of them.

    Args:
        budget: The noise budget.
        printed: Run → the paper's AP minus that of its undistilled row, in percent; losses are no
            gains.
    """
    found = [row for row in budget.pairings if printed.get(row.name, 0.0) > 0]
    if not found:
        return ""
    # With as many seeds as there are, or the next smaller count that is shown.
    least = [row.smallest[max(n for n in row.smallest if n <= row.pairs)] for row in found]
    enough = sum(printed[row.name] >= one for row, one in zip(found, least, strict=True))
    return (
        f"Of the runs with three paired seeds or more the paper prints the gain of {len(found)}. "
        f"Were it the same here, the seeds that are there would find {enough} of them."
    )


def val_set(budget: Budget, named: Callable[[str], str]) -> str:
    """What the choice of val images varies by; arguments as of :func:`starts`."""
    measured = budget.val_set
    if measured is None:
        return f"Not run: there is no bootstrap over the val images at {budget.scale} scale."
    sds = [f"{number(figure['sd'], 2)} ({named(run)})" for run, figure in measured["runs"].items()]
    difference = measured["difference"]
    return (
        f"Another {measured['images']} images of the same kind would move AP by a standard "
        f"deviation of {' and '.join(sds)}, and the second AP minus the first (here "
        f"{signed(difference['AP'], 2)}) by {number(difference['sd'], 2)}: {measured['resamples']} "
        "bootstrap resamples of the val images, first seeds. All runs see the same images, so it "
        "is no part of the intervals over seeds."
    )
