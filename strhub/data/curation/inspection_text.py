"""The report of an inspection as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from strhub.utils.terminal import printable

Report: TypeAlias = dict[str, Any]


def text_summary(report: Report) -> str:
    """Return the report for a terminal."""
    lines = _tree_lines(report)
    if "other" in report:
        lines += ["", *_tree_lines(report["other"])]
        overlap = report["overlap"]
        lines += [
            "",
            f"{overlap['records_of_other']} records of {_plain(report['other']['tree'])} are in"
            f" {_plain(report['tree'])} too: {overlap['exact']} the same, {overlap['near']} near "
            "pairs",
            *_pair_lines(overlap),
        ]
    return "\n".join(lines)


def _tree_lines(report: Report) -> list[str]:
    columns = (
        "records",
        "unreadable",
        "no label",
        "kept",
        "same",
        "near",
        "width",
        "height",
        "length",
    )
    rows: list[tuple[str, ...]] = [("set", *columns)]
    for summary in [*report["sets"], {"path": "in total"} | report["total"]]:
        labels, duplicates = summary["labels"], summary["duplicates"]
        middle = [
            str(summary[name]["quantiles"].get("50", "-"))
            for name in ("width", "height", "label_length")
        ]
        counts = (
            summary["records"],
            summary["records"] - summary["readable"],
            labels["missing"] + labels["undecodable"],
            summary["kept"],
            duplicates["same_pixels"],
            duplicates["near"],
        )
        rows.append(
            (_plain(_relative(summary["path"], report["tree"])), *map(str, counts), *middle)
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        f"{_plain(report['tree'])} (width, height in pixels and length in characters: the median)"
    ]
    lines += [
        "  ".join(
            cell.ljust(width) if not spot else cell.rjust(width)
            for spot, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return (
        lines
        + _detail_lines(report["total"])
        + [
            f"  can't be read: {_plain(damaged['path'])}: {_plain(damaged['problem'])}"
            for damaged in report["damaged_sets"]
        ]
        + _pair_lines(report["duplicates"])
    )


def _detail_lines(total: Report) -> list[str]:
    lines = [
        f"  unreadable: {count} {_plain(reason)}" for reason, count in total["unreadable"].items()
    ]
    for reason, dropped in total["dropped"].items():
        examples = ", ".join(_plain(example["label"]) for example in dropped["examples"])
        lines.append(
            f"  the charset drops: {dropped['count']} "
            f"{reason}{f', such as {examples}' if examples else ''}"
        )
    outside = [
        f"{_plain(character)} {count}"
        for character, count, inside in total["characters"]
        if not inside
    ]
    if outside:
        more = f" and {len(outside) - 20} more" if len(outside) > 20 else ""
        lines.append(f"  characters outside the charset: {', '.join(outside[:20])}{more}")
    if other := total["duplicates"]["same_pixels_other_label"]:
        lines.append(f"  the same image with another label: {other}")
    return [
        *lines,
        "  formats: "
        f"{', '.join(f'{count} {name}' for name, count in total['formats'].items()) or 'none'}",
    ]


def _pair_lines(pairs: Report, most: int = 5) -> list[str]:
    lines = []
    for pair in pairs["pairs"][:most]:
        first, second = (
            f"{_plain(end['path'])} {end['number']} {_plain(end['label'])}"
            for end in (pair["first"], pair["second"])
        )
        lines.append(f"  {pair['kind']}: {first} = {second}")
    return lines + (
        [f"  and {len(pairs['pairs']) - most} more"] if len(pairs["pairs"]) > most else []
    )


def _relative(path: str, tree: str) -> str:
    try:
        return str(Path(path).relative_to(tree))
    except ValueError:
        return path


def _plain(text: str) -> str:
    """Return text that can't change the terminal: a label may hold anything."""
    return printable(text[:200])
