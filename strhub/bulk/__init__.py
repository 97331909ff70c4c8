"""Reading very many images to Parquet: from folders, LMDB, Parquet and tar, resumably, by one
process or many.

`read_all` is what there is to call; `./read.py --output` is it on the command line. Needs the extra
`bulk`.
"""

from strhub.bulk.engines import ENGINES, Summary, read_all
from strhub.bulk.output import COLUMNS

__all__ = ["COLUMNS", "ENGINES", "Summary", "read_all"]
