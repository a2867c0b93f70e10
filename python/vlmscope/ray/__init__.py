"""vlmscope on a cluster: questions of a Ray data set, answered by actors that each hold a model; docs/cluster.md.

    import ray, vlmscope.ray

    rows = ray.data.read_parquet("pope.parquet")               # columns as in docs/tables.md: picture, question, id, expected …
    answers = vlmscope.ray.ask(rows, bundle="/shared/llava-7b", num_gpus=1)
    vlmscope.ray.write_tables(answers, "/shared/pope.parquet")
"""

try:
    import pyarrow
    import ray.data
except ImportError as error:
    raise ImportError(f'vlmscope.ray needs Ray Data, but {error.name} is missing: pip install "vlmscope[ray]"') from error

from .ask import ask
from .capture import capture
from .sink import write_tables
from .tables import errors, heads, samples

__all__ = ["ask", "capture", "errors", "heads", "samples", "write_tables"]

del pyarrow, ray
