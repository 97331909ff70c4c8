"""What an evaluation looks like: tables for a terminal, and pages for a browser.

Importing this imports neither jinja2 nor pyarrow; the pages' modules do.
"""

from strhub.evaluation.report.tables import (
    format_own,
    format_protocols,
    format_table,
    left_out,
    protocols,
)

__all__ = ["format_own", "format_protocols", "format_table", "left_out", "protocols"]
