// SPDX-License-Identifier: Apache-2.0
//
// The clock of the core this thread runs on, from a timed loop: works in virtual machines and sees
// caps that firmware hides from the kernel.
#ifndef AIO_CSRC_BASE_CPU_CLOCK_H_
#define AIO_CSRC_BASE_CPU_CLOCK_H_

namespace aio {

// Effective clock in kHz, from about 50 us of dependent additions (one cycle each). Time spent
// preempted does not count. 0 if the thread's CPU time can't be read.
double measure_cpu_khz();

}  // namespace aio

#endif  // AIO_CSRC_BASE_CPU_CLOCK_H_
