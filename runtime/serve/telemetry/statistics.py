# SPDX-License-Identifier: Apache-2.0
"""What one model has done since it was loaded: the counts of Triton's statistics extension."""

from dataclasses import dataclass, field


@dataclass
class Duration:
    """How often something was done, and how long all of it took."""

    count: int = 0
    ns: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return both, as in the protocol."""
        return {"count": self.count, "ns": self.ns}


@dataclass
class ModelStatistics:
    """The counts of one model."""

    inference_count: int = 0
    execution_count: int = 0
    last_inference_ms: int = 0  # since the epoch; 0 before the first
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)
    cache_hit: Duration = field(default_factory=Duration)
    cache_miss: Duration = field(default_factory=Duration)

    def as_dict(self) -> dict[str, object]:
        """Return the counts as the statistics extension has them, without name and version."""
        durations = {
            "success": self.success,
            "fail": self.fail,
            "queue": self.queue,
            "compute_input": self.compute_input,
            "compute_infer": self.compute_infer,
            "compute_output": self.compute_output,
            "cache_hit": self.cache_hit,
            "cache_miss": self.cache_miss,
        }
        return {
            "last_inference": self.last_inference_ms,
            "inference_count": self.inference_count,
            "execution_count": self.execution_count,
            "inference_stats": {name: value.as_dict() for name, value in durations.items()},
            "batch_stats": [],
        }
