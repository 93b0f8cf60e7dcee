# SPDX-License-Identifier: Apache-2.0
"""The Open Inference Protocol (V2) as plain data; knows neither HTTP nor gRPC."""
