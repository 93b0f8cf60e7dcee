// SPDX-License-Identifier: Apache-2.0
//
// How far apart the processors of two threads are: it depends on the caches they share, and says
// how much a second thread can gain.
#ifndef AIO_CSRC_BASE_HANDOVER_H_
#define AIO_CSRC_BASE_HANDOVER_H_

namespace aio {

// Nanoseconds in which a cache line goes from this thread to another one and back, at best.
double measure_handover_ns();

}  // namespace aio

#endif  // AIO_CSRC_BASE_HANDOVER_H_
