# SPDX-License-Identifier: Apache-2.0
"""Environment variables that Kubernetes adds for services, which look like settings of ours.

Every container gets them for every service of its namespace: for a service `aio-serve-predictor`
AIO_SERVE_PREDICTOR_SERVICE_HOST, AIO_SERVE_PREDICTOR_PORT=tcp://10.0.0.1:80 and more.
"""

import re

_NAME = re.compile(
    r"(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
# A service named like a setting has its variable: only the value of NAME_PORT tells which it is.
_PORT = re.compile(r"(\w+_)?PORT")
_PORT_VALUE = re.compile(r"(tcp|udp|sctp)://")


def is_service_link(name: str, value: str) -> bool:
    """Return whether Kubernetes makes such a variable; `name` is what follows our prefix."""
    return bool(_NAME.fullmatch(name) or (_PORT.fullmatch(name) and _PORT_VALUE.match(value)))
