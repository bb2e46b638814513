"""Chooses the demo's corpus from a larger one: choose.py corpus-docs-bsd.jsonl.zst configs/demo/corpus.jsonl

Deterministic. Takes the short prose documents of each library, since a small model on two cores reads slowly; tidies the headings
they stand under; and adds the library, which the source names, as a second topic, so that topics meet. Four more documents come
without topics and concepts: those the model extracts.
"""

import collections
import hashlib
import json
import re
import subprocess
import sys

ANNOTATED = 200
TO_EXTRACT = 4
LIBRARIES = {
    "python-mpmath-doc": "mpmath",
    "python-scipy-doc": "SciPy",
    "python-sklearn-doc": "scikit-learn",
    "python-statsmodels-doc": "statsmodels",
    "python-sympy-doc": "SymPy",
}


def read(path):
    lines = subprocess.run(["zstd", "-dc", path], check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in lines.splitlines()]


def library(document):
    package = re.search(r"\(Debian (\S+) ", document["source"]).group(1)
    return LIBRARIES[package]


def heading(topic):
    """The topic without Sphinx's link mark and section number: `1.11. Ensemble methods` is `Ensemble methods`."""
    return re.sub(r"^[\d.]+\s+", "", topic.rstrip("#"))


def is_prose(document):
    """Prompts and listings are hard to ask about."""
    words = document["text"].split()
    return sum(word.isalpha() for word in words) > 0.6 * len(words) and document["text"].count(">>>") < 12


def is_about_the_field(document):
    """How a project does its housekeeping is no one's subject."""
    return not re.search("contributing|deprecation|dependencies", document["id"])


def is_candidate(document):
    fits = 1200 <= len(document["text"]) <= 4200 and 3 <= len(document["concepts"]) <= 20
    return fits and is_prose(document) and is_about_the_field(document)


def order(document):
    return hashlib.sha256(document["id"].encode()).hexdigest()


def in_turns(documents):
    """The documents library by library in turns, so that a small library is not lost among a large one's."""
    queues = collections.defaultdict(list)
    for document in sorted(documents, key=order):
        queues[library(document)].append(document)
    while queues:
        for name in sorted(queues):
            yield queues[name].pop(0)
            if not queues[name]:
                del queues[name]


def annotated(document):
    topics = [heading(document["topics"][0]), library(document)]
    return {**document, "topics": topics, "source": document["source"].replace("# ", " ")}


def to_extract(document):
    bare = annotated(document)
    del bare["topics"], bare["concepts"]
    return bare


def choose(documents):
    candidates = [document for document in documents if is_candidate(document)]
    shortest = sorted(candidates, key=lambda document: (len(document["text"]), document["id"]))
    bare = list(in_turns(shortest[:40]))[:TO_EXTRACT]
    taken = {document["id"] for document in bare}
    rest = [document for document in in_turns(candidates) if document["id"] not in taken]
    by_id = sorted(rest[:ANNOTATED], key=lambda document: document["id"])
    # Documents are decided in order, so those that wait for the model come last.
    return [annotated(document) for document in by_id] + [to_extract(document) for document in bare]


def main():
    source, destination = sys.argv[1:]
    with open(destination, "w", encoding="utf-8") as out:
        for document in choose(read(source)):
            out.write(json.dumps(document, ensure_ascii=False) + "\n")


main()
