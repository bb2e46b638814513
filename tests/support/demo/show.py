"""Shows what the demo made: show.py FOLDER, with samples.jsonl, graph.json and status.json in it."""

import json
import pathlib
import sys
import textwrap

LEVELS = {
    1: "from one document",
    2: "from one document and its concepts",
    3: "from a walk on the concept graph, and the two documents nearest to it",
}


def paragraph(label, text):
    lines = textwrap.wrap(" ".join(text.split()), 100) or [""]
    print(f"  {label:<12}" + ("\n" + " " * 14).join(lines))


def show_sample(sample):
    provenance = sample["provenance"]
    print(f"\nLevel {sample['level']}: {LEVELS[sample['level']]}")
    paragraph("question", sample["question"])
    paragraph("answer", sample["answer"] or "")
    paragraph("concepts", ", ".join(sample["concepts"]))
    if sample["level"] == 3:
        paragraph("walk", " > ".join(node["name"] for node in provenance["walk"]))
    for document in provenance["documents"]:
        paragraph("document", f"{document['id']} at {document['version']}, similarity {document['jaccard']:.2f}")
        paragraph("", f"{document['source']}, {document['license']}")
    paragraph("model", ", ".join(f"{task}: {model}" for task, model in sorted(provenance["models"].items())))
    paragraph("prompt", ", ".join(f"{task}: {version}" for task, version in sorted(provenance["prompts"].items())))
    usage = sample["usage"]
    paragraph("usage", f"{usage['prompt_tokens']} + {usage['completion_tokens']} tokens, cost {sample['cost']:.4f}")


def total(samples, field):
    return sum(sample["usage"][field] for sample in samples)


def main():
    folder = pathlib.Path(sys.argv[1])
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    for level in LEVELS:
        of_level = [sample for sample in samples if sample["level"] == level]
        if of_level:
            show_sample(of_level[0])
        else:
            print(f"\nLevel {level}: no sample; `dead-letters list` and `status` say why")
    print("\nThe graph")
    for name, count in json.loads((folder / "graph.json").read_text()).items():
        print(f"  {name.replace('_', ' '):<24}{count:>9,}")
    print(f"\n{len(samples)} samples are in {folder / 'samples.jsonl'}, one JSON object a line")
    tokens = total(samples, "prompt_tokens"), total(samples, "completion_tokens")
    print(f"they took {tokens[0]:,} prompt and {tokens[1]:,} answer tokens, cost {sum(sample['cost'] for sample in samples):.4f}")


main()
