# SPDX-License-Identifier: Apache-2.0
"""The All-in-One model beside what it has to beat: runs, a queue of them, and what they gave."""
