"""Serves a model with llama.cpp's own server, OpenAI-compatible, on loopback: serve.py MODEL PORT SLOTS CONTEXT THREADS [embeddings].

CONTEXT is in tokens and is divided among the SLOTS (requests served at once). With `embeddings` it serves /embeddings instead of
completions: the mean over a text's tokens. Ends when its standard input closes, so that it
never outlives the process that started it, however that one died.
"""

import os
import sys

import xllamacpp


def parameters(model, port, slots, context, threads, embeddings):
    params = xllamacpp.CommonParams()
    params.model.path = model
    # Answers name the model by this, not by where it lies on this machine.
    params.model_alias = {os.path.basename(model).removesuffix(".gguf")}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = slots
    params.n_ctx = context
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.n_gpu_layers = 0
    params.endpoint_metrics = True
    if embeddings:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        params.n_ubatch = params.n_batch  # a text is embedded in one piece
    return params


def main():
    model, *rest = sys.argv[1:]
    server = xllamacpp.Server(parameters(model, *map(int, rest[:4]), embeddings=rest[4:] == ["embeddings"]))
    print("ready", server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)  # a request under way would hold the ordinary exit


main()
