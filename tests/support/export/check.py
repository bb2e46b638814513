"""Opens exported folders with the packages that people use, and prints the rows that each gives, as JSON.

check.py FOLDER...    {FOLDER: {"card": {...}, "datasets" | "pandas" | "duckdb": {SPLIT: [ROW, ...]}}}

Run it with the python that venv.sh prints. The folders are opened as their readers would: nothing is said of columns or types.
"""

import glob
import json
import os
import sys
import tempfile

CACHE = tempfile.TemporaryDirectory()
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1", HF_HOME=CACHE.name)

import datasets
import duckdb
import numpy
import pandas
from huggingface_hub import DatasetCard


def plain(value):
    """What a package gives as lists, arrays or special values, as JSON has it."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, numpy.ndarray)):
        return [plain(inner) for inner in value]
    if isinstance(value, numpy.generic):
        value = value.item()
    return None if isinstance(value, float) and value != value else value


def in_datasets(folder):
    return {split: list(rows) for split, rows in datasets.load_dataset(folder).items()}


def in_pandas(files, is_parquet):
    read = pandas.read_parquet if is_parquet else lambda file: pandas.read_json(file, lines=True, precise_float=True)
    return [row for file in files for row in read(file).to_dict("records")]


def in_duckdb(files, is_parquet):
    read = "read_parquet" if is_parquet else "read_json"
    rows = duckdb.sql(f"SELECT * FROM {read}({files!r}) ORDER BY id")
    return [dict(zip(rows.columns, row)) for row in rows.fetchall()]


def opened(folder):
    card = DatasetCard.load(os.path.join(folder, "README.md")).data.to_dict()
    result = {"card": card, "datasets": in_datasets(folder), "pandas": {}, "duckdb": {}}
    for split in result["datasets"]:
        files = sorted(glob.glob(os.path.join(folder, f"{split}-*")))
        is_parquet = files[0].endswith(".parquet")
        result["pandas"][split] = in_pandas(files, is_parquet)
        result["duckdb"][split] = in_duckdb(files, is_parquet)
    return plain(result)


def main(*folders):
    json.dump({folder: opened(folder) for folder in folders}, sys.stdout)


main(*sys.argv[1:])
