// SPDX-License-Identifier: Apache-2.0
//
// The server's side of gRPC over HTTP/2 on one connection, without any I/O: bytes that came go in,
// events and bytes to send come out. HTTP/2 itself (frames, HPACK, flow control, what is a
// violation and what a flood) is nghttp2's; here are calls and their messages.
#ifndef AIO_CSRC_GRPC_SESSION_H_
#define AIO_CSRC_GRPC_SESSION_H_

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "csrc/base/status.h"
#include "csrc/grpc/frames.h"
#include "csrc/grpc/message.h"

namespace aio::grpc {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Limits {
  uint32_t calls;         // at one time
  uint32_t window_bytes;  // a client may send before they were read, per call and connection
  uint32_t frame_bytes;   // of data in one frame
  uint32_t header_bytes;  // of a call: names, values, and 32 for each as HTTP/2 counts
  uint32_t message_bytes;
};

enum class EventKind : uint8_t {
  kRequest,    // a call began
  kRefused,    // a call began with more headers than allowed
  kMessage,    // a message is complete
  kTooLong,    // a message is over the limit: `number` bytes; no more of the call are taken
  kHalfClose,  // the client has sent all
  kClosed,     // the call is over, with the HTTP/2 error code `number`
  kPing,       // the client asks whether we are here; it is answered already
};

struct Event {
  EventKind kind;
  int32_t call = 0;
  uint64_t number = 0;
  Headers headers{};
  Message message{};
};

class Session {
 public:
  explicit Session(const Limits& limits);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() = default;

  // Takes bytes of the client. An error is the end of the connection; `send` may have last words.
  // How much headers may become in one go is bounded too, so what it does with few bytes is.
  Status receive(const uint8_t* data, size_t size);
  // The oldest message of a call that was told, of `size` bytes, was taken by who answers. While
  // one waits, the client may send no more than the call's window.
  void taken(int32_t call, size_t size);
  // What became of calls since this was last asked, in order; sending closes calls too.
  // A call that began and is over already is left out: telling would cost more than resetting it.
  std::vector<Event> take_events();

  // Each of these says whether the call is still there.
  bool begin_answer(int32_t call, const Headers& headers);
  bool write(int32_t call, const uint8_t* message, size_t size);
  bool finish(int32_t call, Headers trailers);
  // An answer without messages; what more the client sends of the call is dropped.
  bool refuse(int32_t call, const Headers& headers);
  bool reset(int32_t call, uint32_t error_code);

  void ping();
  // Tells the client to make no more calls here; those that it has made go on.
  void go_away();

  // Bytes to be sent, at least `size` of them if there are.
  std::string send(size_t size);
  // Whether there is nothing more to be received or sent.
  bool done() const;
  // Whether the client has said hello: its preface and its settings.
  bool ready() const { return ready_; }
  // The number of what the client has begun to send and not ended, see `Frames`; 0 if nothing.
  uint64_t unfinished() const { return frames_.unfinished(); }
  // Bytes of messages that came and were not taken, whole or not, of all calls or one.
  size_t arriving() const { return arriving_; }
  size_t arriving(int32_t call) const;
  // Bytes of a call's answers that are not sent.
  size_t unsent(int32_t call) const;

 private:
  struct Call {
    Call(size_t message_bytes, uint64_t now) : batch(now), reader(message_bytes) {}

    Headers headers;
    size_t held() const { return reader.held() + waiting_bytes; }

    uint64_t batch;  // of events when it began
    MessageReader reader;
    size_t waiting = 0;        // messages that were told and not taken
    size_t waiting_bytes = 0;  // of them, and of what it takes to keep them
    size_t unread = 0;         // bytes for which the client was given no room yet
    bool deaf = false;         // takes no more messages
    bool half_closed = false;
    std::deque<std::string> answers;
    size_t answered = 0;  // bytes of the first answer that were sent
    bool finished = false;
    Headers trailers;
  };
  struct Free {
    void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
  };

  static nghttp2_session_callbacks* make_callbacks();
  static int on_begin_frame(nghttp2_session* session, const nghttp2_frame_hd*, void* self);
  static int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* self);
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_bytes, const uint8_t* value, size_t value_bytes, uint8_t flags,
                       void* self);
  static int on_invalid_header(nghttp2_session*, const nghttp2_frame*, const uint8_t* name,
                               size_t name_bytes, const uint8_t* value, size_t value_bytes,
                               uint8_t flags, void* self);
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* self);
  static int on_data(nghttp2_session*, uint8_t flags, int32_t id, const uint8_t* data, size_t size,
                     void* self);
  static int on_close(nghttp2_session*, int32_t id, uint32_t error_code, void* self);
  static int on_sent(nghttp2_session*, const nghttp2_frame* frame, void* self);
  static ssize_t read_answers(nghttp2_session*, int32_t id, uint8_t* out, size_t size,
                              uint32_t* flags, nghttp2_data_source*, void* self);

  int end(const char* reason);
  int count_header(size_t name_bytes, size_t value_bytes);
  Call* find(int32_t id);
  void begun(int32_t id, Call* call);
  void half_close(int32_t id, Call* call);
  void make_deaf(Call* call);
  void give_room(int32_t id, Call* call);

  Limits limits_;
  std::unique_ptr<nghttp2_session, Free> session_;
  std::unordered_map<int32_t, Call> calls_;
  std::vector<Event> events_;
  uint64_t batch_ = 0;                      // how often they were taken
  std::unordered_set<int32_t> never_mind_;  // calls of which nothing was told, nor need be
  Frames frames_;
  size_t arriving_ = 0;
  size_t block_bytes_ = 0;   // of the headers that come
  size_t header_bytes_ = 0;  // of all that `receive` was given now
  const char* flood_ = nullptr;
  bool ready_ = false;
};

}  // namespace aio::grpc

#endif  // AIO_CSRC_GRPC_SESSION_H_
