# SPDX-License-Identifier: Apache-2.0
"""What decides how an inference runs: one policy per file, all with the interface of `base`."""

from aio.governors.policies.adaptive import AdaptivePolicy
from aio.governors.policies.base import Decision, Outlook, RatioPolicy
from aio.governors.policies.fixed import FixedPolicy
from aio.governors.policies.table import TablePolicy

__all__ = ["AdaptivePolicy", "Decision", "FixedPolicy", "Outlook", "RatioPolicy", "TablePolicy"]
