"""The paper's quantitative claims and the rules that judge them, from ``config/claims.yaml``."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mkd import ROOT
from mkd.errors import UserError
from mkd.schemas import checked_yaml

FILE = ROOT / "config" / "claims.yaml"


@dataclass(frozen=True)
class Claim:
    """One claim with one comparison.

    Attributes:
        id: Unique: ``<family>-<case>``, and ``-size`` behind it for a size.
        family: Id of the entry in ``config/claims.yaml``, which other cases share.
        case: Its name within the entry.
        template: The entry's statement, ``{case}`` and ``{metric}`` not yet filled in.
        stated: ``paper``, or ``open`` for a question the paper leaves open.
        reading: ``default`` for the paper's method as this suite reads it, ``other`` where another
            reading of it stands in its place.
        locator: Where the paper says it.
        statement: One sentence.
        kind: ``greater``, ``size`` or ``equal``.
        left: The run said to be greater; two runs stand for their difference.
        right: The run it is compared with; two runs stand for their difference.
        metric: What is compared.
        delta: The paper's left − right in percent, or None where it prints none.
        tolerance: Of a size, in percent; None for any other kind.
        level: Coverage of the interval.
        min_seeds: Paired seeds without which nothing is judged.
        size_scale: The only scale at which a size is judged.
    """

    id: str
    family: str
    case: str
    template: str
    stated: str
    reading: str
    locator: str
    statement: str
    kind: str
    left: tuple[str, ...]
    right: tuple[str, ...]
    metric: str
    delta: float | None
    tolerance: float | None
    level: float
    min_seeds: int
    size_scale: str

    @property
    def comparison(self) -> str:
        """The difference that is judged, in words."""
        right = f"({' − '.join(self.right)})" if len(self.right) > 1 else self.right[0]
        return f"{' − '.join(self.left)} − {right} in {self.metric.replace('.', ' ')}"

    @property
    def rule(self) -> str:
        """What would count as reproduced, in one sentence."""
        if self.kind == "equal":
            return f"Every {self.metric} of {self.left[0]} and {self.right[0]} must be the same."
        sentence = (
            f"{self.comparison}, paired by seed: the {100 * self.level:g} % t-interval over "
            f"at least {self.min_seeds} seeds must lie above zero"
        )
        if self.kind == "size":
            sentence += (
                f", and the mean within {self.tolerance:g} of the paper's {self.delta:+.1f}; "
                f"judged at {self.size_scale} scale only"
            )
        return sentence + "."


def load(path: Path = FILE) -> list[Claim]:
    """Read and check the claims, one for each case and one more for each size.

    Raises:
        UserError: The file is missing or malformed, names a claim twice, or a rule cannot judge.
    """
    document = checked_yaml(path, "claims")
    claims: dict[str, Claim] = {}
    for claim in _expand(document, path):
        if claim.id in claims:
            raise UserError(f"{path}: claim '{claim.id}' stands there twice")
        claims[claim.id] = claim
    return list(claims.values())


def _expand(document: Mapping[str, Any], path: Path) -> Iterator[Claim]:
    for entry in document["claims"]:
        rule = entry["rule"]
        for case, values in entry["cases"].items():
            metric = values.get("metric", rule.get("metric"))
            if metric is None:
                raise UserError(f"{path}: claim '{entry['id']}', case '{case}' has no metric")
            sides = [
                (side,) if isinstance(side, str) else tuple(side)
                for side in (values["left"], values["right"])
            ]
            where = f"{path}: claim '{entry['id']}'"
            if rule["kind"] == "equal" and max(map(len, sides)) > 1:
                raise UserError(f"{where}, case '{case}': 'equal' compares two runs, one a side")
            if rule["kind"] == "equal" and "tolerance" in rule:
                raise UserError(f"{where}: 'equal' has no tolerance: leave it out")
            if rule["kind"] == "greater" and metric == "graph":
                raise UserError(f"{where}: a graph is no number: only 'equal' compares graphs")
            words = {"case": case, "metric": metric.rpartition(".")[2]}
            try:
                statement = entry["statement"].format(**words)
            except (LookupError, ValueError, AttributeError) as error:
                raise UserError(
                    f"{where}: braces in its statement are {{case}} or {{metric}}, nothing else"
                ) from error
            claim = Claim(
                id=f"{entry['id']}-{case}",
                family=entry["id"],
                case=str(case),
                template=entry["statement"],
                stated=entry["stated"],
                reading=entry.get("reading", "default"),
                locator=entry["locator"],
                statement=statement,
                kind=rule["kind"],
                left=sides[0],
                right=sides[1],
                metric=metric,
                delta=values.get("delta"),
                tolerance=None,
                level=document["level"],
                min_seeds=document["min_seeds"],
                size_scale=document["size_scale"],
            )
            yield claim
            if "tolerance" in rule and claim.delta is not None:
                yield replace(
                    claim,
                    id=f"{claim.id}-size",
                    kind="size",
                    statement=f"{claim.statement.removesuffix('.')}, by {claim.delta:.1f}.",
                    tolerance=rule["tolerance"],
                )
