# SPDX-License-Identifier: Apache-2.0
"""The inference server: the Open Inference Protocol (KServe V2) and what a device needs around it.

    transport/   sockets and HTTP connections with bounds on size and time
    protocol/    V2 requests and answers as plain data; knows neither HTTP nor gRPC
    rest/        the paths of the protocol over HTTP
    scheduling/  from requests that wait to the one executor
    hosting/     models by name and version, and what the server needs of a runtime
    telemetry/   metrics and counts

`server` owns the process (signals, loading, stopping), `app` puts the parts together. Nothing is
imported here, so that a command line can describe `serve` without loading it.
"""
