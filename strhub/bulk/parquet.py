"""Images in Parquet files: which column has them, and how many rows are read at a time."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from strhub.utils.regular_files import check_regular

MIN_ROWS: Final = 1000  # of a row group that need no bytes, such as missing images

MIN_UNPACKED: Final = 64 << 20  # bytes of a row group that may be unpacked from however few

MAX_UNPACKED: Final = 256 << 20  # bytes of rows that are unpacked together

# times the stored bytes that more may unpack to; encoded images do not get smaller
MAX_RATIO: Final = 50

IMAGE_COLUMNS: Final = ("image", "bytes", "picture", "content")


class Span(NamedTuple):
    """Records `start` to `stop - 1` of an input."""

    start: int
    stop: int


def parquet_groups(path: str) -> list[Span]:
    """Return the rows of each row group, the smallest that is read at once; `ValueError` for a file
    that is of no use.

    Also for one whose row groups unpack to far more than images do, for they are unpacked in pieces
    of any size.
    """
    parquet = parquet_file(path)
    column = image_column(parquet.schema_arrow, path)
    spans, start = [], 0
    for group in range(parquet.metadata.num_row_groups):
        metadata = parquet.metadata.row_group(group)
        chunks = [metadata.column(number) for number in range(metadata.num_columns)]
        _check_size(
            [chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] == column],
            metadata,
            path,
        )
        spans.append(Span(start, start + metadata.num_rows))
        start += metadata.num_rows
    return spans


def _check_size(chunks: list[Any], metadata: Any, path: str) -> None:
    """Raise `ValueError` for a row group that claims more rows or bytes than its stored bytes can
    have in images.
    """
    stored = sum(chunk.total_compressed_size for chunk in chunks)
    unpacked = sum(chunk.total_uncompressed_size for chunk in chunks)
    if metadata.num_rows < 0 or metadata.num_rows > MIN_ROWS + 8 * stored:
        raise ValueError(
            f"{path}: {stored} bytes can't hold the images of {metadata.num_rows} rows"
        )
    if unpacked > MIN_UNPACKED and unpacked > MAX_RATIO * stored:
        raise ValueError(
            f"{path}: its images would unpack from {stored >> 10} KiB to {unpacked >> 20} MiB, "
            "which is implausible"
        )


def rows_at_a_time(parquet: Any, groups: list[int]) -> int:
    """Return how many rows to unpack together: each could be as large as all that is stored, once,
    for many rows.
    """
    largest = max(
        (parquet.metadata.row_group(group).total_byte_size for group in groups), default=0
    )
    return int(max(1, min(64, MAX_UNPACKED // max(1, largest))))


def parquet_file(path: str, **options: Any) -> Any:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        check_regular(path)
        return ParquetFile(path, **options)
    except (ArrowException, OSError) as error:
        raise ValueError(f"{path} cannot be read as Parquet: {error}") from error


def image_column(schema: Any, path: str) -> str:
    """Return the column of encoded images: binary, or a struct with `bytes` as Hugging Face has it;
    by name if in doubt.
    """
    import pyarrow

    def is_bytes(kind: Any) -> bool:
        return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))

    def holds_images(kind: Any) -> bool:
        if not pyarrow.types.is_struct(kind):
            return is_bytes(kind)
        # Of another type they would be taken for what an image can be, too, such as an address.
        fields = [kind.field(at) for at in range(kind.num_fields)]
        return [is_bytes(one.type) for one in fields if one.name == "bytes"] == [True]

    names = [field.name for field in schema if holds_images(field.type)]
    chosen = next(
        (name for name in IMAGE_COLUMNS if name in names), names[0] if len(names) == 1 else None
    )
    if chosen is None:
        raise ValueError(
            f"{path}: of its columns {', '.join(schema.names)} none is known to hold images; "
            f"name one with the encoded images {IMAGE_COLUMNS[0]!r}"
        )
    return str(chosen)


def within(span: Span, whole: Span) -> bool:
    return whole.start <= span.start and span.stop <= whole.stop
