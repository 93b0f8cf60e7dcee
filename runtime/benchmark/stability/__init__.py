# SPDX-License-Identifier: Apache-2.0
"""Does the latency stay flat? The same requests under the same clocks, by different policies.

In virtual time on a simulated device (`scenarios`), in real time under clock thieves (`realtime`)
and beside a real neighbour (`neighbour`). What runs is the runtime's own chooser and pace.
"""
