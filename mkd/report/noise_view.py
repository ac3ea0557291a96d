"""The noise budget's findings in sentences."""

from mkd.results.formats import number, signed
from mkd.results.noise_budget import Budget, Spread


def starts(budget: Budget) -> str:
    """What seeds vary by from one start, and what by starts of their own, apart."""
    several = [row for row in budget.spreads if row.seeds > 1]
    one = [row for row in several if row.starts == 1]
    # Without a start each seed draws a network of its own.
    own = [row for row in several if row.starts in (None, row.seeds)]
    shared = [row for row in several if row not in one and row not in own]
    said = (
        f"Standard deviations of AP. From one start, over seeds: {_list(one)}. From starts of "
        f"their own, over starts and seeds: {_list(own)}."
    )
    return f"{said} From starts that some seeds share: {_list(shared)}." if shared else said


def val_set(budget: Budget) -> str:
    """What the choice of val images varies by."""
    measured = budget.val_set
    if measured is None:
        return f"Not run: there is no bootstrap over the val images at {budget.scale} scale."
    first, last = measured["runs"]
    sds = [f"{run} {number(figure['sd'], 2)}" for run, figure in measured["runs"].items()]
    difference = measured["difference"]
    return (
        f"Another {measured['images']} images of the same kind would move AP by a standard "
        f"deviation of {', '.join(sds)}, and {last} − {first} (here {signed(difference['AP'], 2)}) "
        f"by {number(difference['sd'], 2)}: {measured['resamples']} bootstrap resamples of the val "
        "images, first seeds. All runs see the same images, so it is no part of the intervals over "
        "seeds."
    )


def _list(rows: list[Spread]) -> str:
    return ", ".join(f"{row.run} {number(row.sd, 2)}" for row in rows) or "not run"
