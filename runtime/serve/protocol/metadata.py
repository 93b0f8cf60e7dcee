# SPDX-License-Identifier: Apache-2.0
"""What the protocol says of a server and of a model: metadata, and the model configuration.

The configuration is that of Triton, with the fields its clients read. It tells how a model is
served here; it can't be changed.
"""

from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol.schema import DATATYPE, ModelSpec, TensorSpec

SERVER = "aio-serve"
PLATFORM = "aio_safetensors"
BACKEND = "aio"
US_PER_MS = 1000
EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "statistics",
)


def server_metadata(version: str, *, shared_memory: bool) -> dict[str, object]:
    """Return what `GET /v2` answers."""
    more = ("system_shared_memory",) if shared_memory else ()
    return {"name": SERVER, "version": version, "extensions": [*EXTENSIONS, *more]}


def model_metadata(spec: ModelSpec) -> dict[str, object]:
    """Return the tensors of a model; -1 is the batch."""
    return {
        "name": spec.name,
        "versions": [spec.version],
        "platform": PLATFORM,
        "inputs": [_tensor(item) for item in spec.inputs],
        "outputs": [_tensor(item) for item in spec.outputs],
    }


def model_config(spec: ModelSpec, limits: Limits) -> dict[str, object]:
    """Return the configuration of a model; shapes are without the batch."""
    merging: dict[str, object] = {}
    if limits.merged_batch > 1:  # else clients take it that requests are not merged
        merging["dynamic_batching"] = {
            "preferred_batch_size": [limits.merged_batch],
            "max_queue_delay_microseconds": round(limits.merge_wait_ms * US_PER_MS),
        }
    return {
        "name": spec.name,
        "platform": PLATFORM,
        "backend": BACKEND,
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": limits.batch,
        **merging,
        "input": [
            {**_configured(item), "format": "FORMAT_NONE", "optional": False}
            for item in spec.inputs
        ],
        "output": [_configured(item) for item in spec.outputs],
        "instance_group": [{"name": spec.name, "kind": "KIND_CPU", "count": 1, "gpus": []}],
        "default_model_filename": "model.aio",
        "parameters": {"levels": {"string_value": str(spec.levels)}},
        "model_warmup": [],
        "model_transaction_policy": {"decoupled": False},
    }


def _tensor(spec: TensorSpec) -> dict[str, object]:
    return {"name": spec.name, "datatype": DATATYPE, "shape": [-1, *spec.shape]}


def _configured(spec: TensorSpec) -> dict[str, object]:
    return {
        "name": spec.name,
        "data_type": f"TYPE_{DATATYPE}",
        "dims": list(spec.shape),
        "is_shape_tensor": False,
    }
