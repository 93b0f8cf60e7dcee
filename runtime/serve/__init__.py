# SPDX-License-Identifier: Apache-2.0
"""The inference server: the Open Inference Protocol (KServe V2) over HTTP.

`server` owns the process side (socket, signals, loading), `app` and `endpoints` the HTTP side,
`host` the models and the one executor; the other modules hold one topic of the protocol each.
Nothing is imported here, so that a command line can describe `serve` without loading it.
"""
