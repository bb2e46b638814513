"""The same incremental load in Pathway: documents with their concepts as upserts; how many documents have a concept, and share a
pair of concepts, is kept up to date.

usage: load_in_pathway.py DOCUMENTS REPLACEMENTS
A line of either file is a document's id and its concepts, separated by tabs. Prints two lines, after the documents and after
the replacements too: the CPU seconds of the process, the number of different concepts and pairs, and the sum of their counts.
(A file named pathway.py would be imported instead of Pathway.)
"""

import itertools
import logging
import sys
import time

import pathway as pw

COMMIT_EVERY = 10_000


class Document(pw.Schema):
    document: str = pw.column_definition(primary_key=True)
    concepts: str


class Lines(pw.io.python.ConnectorSubject):
    """The lines of the files, one after the other; a document that was there is replaced."""

    def __init__(self, files):
        super().__init__(session_type="upsert")
        self.files = files

    def run(self):
        self._disable_commits()
        for file in self.files:
            with open(file, encoding="utf-8") as lines:
                for number, line in enumerate(lines, start=1):
                    document, concepts = line.rstrip("\n").split("\t", 1)
                    self.next(document=document, concepts=concepts)
                    if number % COMMIT_EVERY == 0:
                        self.commit()
            self.commit()


@pw.udf(deterministic=True)
def elements(concepts: str) -> list[str]:
    names = sorted(concepts.split("\t"))
    return names + ["\t".join(pair) for pair in itertools.combinations(names, 2)]


def load(files):
    pw.internals.parse_graph.G.clear()
    documents = pw.io.python.read(Lines(files), schema=Document, autocommit_duration_ms=None)
    mentions = documents.select(element=elements(documents.concepts)).flatten(pw.this.element)
    counts = mentions.groupby(mentions.element).reduce(mentions.element, count=pw.reducers.count())
    total = counts.reduce(elements=pw.reducers.count(), mentions=pw.reducers.sum(counts.count))
    last = {}
    pw.io.subscribe(total, on_change=lambda key, row, time, is_addition: last.update(row) if is_addition else None)
    before = time.process_time()
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    print(time.process_time() - before, last["elements"], last["mentions"], flush=True)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    load(sys.argv[1:2])
    load(sys.argv[1:3])
