"""Labels the tickets of a Dask dataframe: a Lua script is the function of its partitions.

Run it with OPENAI_API_KEY set, or through examples/locally.py, from the checkout's folder. Needs
`pip install 'dask[dataframe]' 'luaopenai[dask]'`.
"""

from pathlib import Path

try:
    import dask.dataframe
    import pandas
except ImportError:
    raise SystemExit("to run this: pip install 'dask[dataframe]' 'luaopenai[dask]'") from None

import luaopenai.dask

FOLDER = Path(__file__).parent


def main():
    tickets = pandas.read_json(FOLDER / "tickets.jsonl", lines=True)
    label = luaopenai.dask.mapper(FOLDER / "classify.lua", columns=["id", "label"])
    partitions = dask.dataframe.from_pandas(tickets, npartitions=2)
    # With `meta` Dask need not try the function to learn what comes back.
    labelled = partitions.map_partitions(label, meta={"id": "int64", "label": "object"})
    print(labelled.compute().to_string(index=False))


if __name__ == "__main__":
    main()
