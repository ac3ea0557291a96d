"""Who, when, of which commit and how to cite: what stands under the page's title."""

from collections import Counter
from typing import Any

from mkd import ROOT, __version__
from mkd.results.records import Records
from mkd.schemas import read_yaml


def title(records: Records) -> dict[str, Any]:
    """``date`` of the last record, ``commits``, ``repository``, ``license`` and ``bibtex``.

    The commit of most records is the first, and cited. ``CITATION.cff`` says what does not follow
    from the records; a date, a commit or a repository that nothing says is empty.
    """
    cited: dict[str, Any] = read_yaml(ROOT / "CITATION.cff")
    found = [record for *_, record in records.each()]
    date = max((record["started"][:10] for record in found), default="")
    counts = Counter(record["commit"] for record in found if record["commit"])
    commits = [commit for commit, _ in counts.most_common()]
    repository = cited.get("repository-code", "")
    return {
        "date": date,
        "commits": commits,
        "repository": repository,
        "license": cited["license"],
        "bibtex": f"{_software(cited, date, commits, repository)}\n\n{_paper(cited)}",
    }


def _software(cited: dict[str, Any], date: str, commits: list[str], repository: str) -> str:
    fields = {
        "title": f"{{{cited['title']}}}",
        "author": f"{{{' and '.join(_name(author) for author in cited['authors'])}}}",
        "year": date[:4],
        "version": __version__,
        "note": f"commit {commits[0][:12]}" if commits else "",
        "url": repository,
    }
    return _entry("software", "mkd-bench", fields)


def _paper(cited: dict[str, Any]) -> str:
    paper = cited["references"][0]
    authors = " and ".join(_name(author) for author in paper["authors"])
    return _entry("article", "mkd", {"title": f"{{{paper['title']}}}", "author": authors})


def _entry(kind: str, key: str, fields: dict[str, str]) -> str:
    said = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items() if value)
    return f"@{kind}{{{key},\n{said}\n}}"


def _name(author: dict[str, str]) -> str:
    if "name" in author:
        return author["name"]
    return f"{author['family-names']}, {author['given-names']}"
