"""Checks a deployment file against the published schemas, and prints its documents as a JSON list.

check.py compose FILE                  the Compose specification
check.py kubernetes FILE VERSION...    the schemas of these versions of Kubernetes (1.28), without any field they don't name

Run it with the python that venv.sh prints. Exit code 1, with a line for each problem, when the file does not fit.
"""

import json
import sys
import sysconfig
from pathlib import Path

from jsonschema import Draft7Validator, Draft202012Validator, RefResolver
from ruamel.yaml import YAML

PACKAGES = Path(sysconfig.get_paths()["purelib"])
COMPOSE = PACKAGES / "check_jsonschema/builtin_schemas/vendor/compose-spec.json"
KUBERNETES = PACKAGES / "kubernetes_validate/kubernetes-json-schema"


def load(path):
    return json.loads(path.read_text())


def compose_problems(document):
    return Draft202012Validator(load(COMPOSE)).iter_errors(document)


def kubernetes_problems(document, version):
    group, _, api = document["apiVersion"].rpartition("/")
    name = [document["kind"].lower(), *group.split(".")[:1], api]
    folder = KUBERNETES / f"v{version}.0-local-strict"
    schema = load(folder / ("-".join(part for part in name if part) + ".json"))
    definitions = load(folder / "_definitions.json")
    resolver = RefResolver("", schema, store={"_definitions.json": definitions})
    return Draft7Validator(schema, resolver=resolver).iter_errors(document)


def main(kind, file, *versions):
    documents = list(YAML(typ="safe", pure=True).load_all(Path(file)))
    found = set()
    for document in documents:
        problems = list(compose_problems(document)) if kind == "compose" else []
        for version in versions:
            problems += kubernetes_problems(document, version)
        for problem in problems:
            place = "/".join(str(part) for part in [document.get("kind", ""), *problem.absolute_path])
            found.add(f"{file}: {place}: {problem.message}")
    if found:
        print("\n".join(sorted(found)), file=sys.stderr)
        sys.exit(1)
    json.dump(documents, sys.stdout)


main(*sys.argv[1:])
