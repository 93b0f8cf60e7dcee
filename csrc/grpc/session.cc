// SPDX-License-Identifier: Apache-2.0
#include "csrc/grpc/session.h"

#include <algorithm>
#include <array>

namespace aio::grpc {
namespace {

// Answers to pings and settings that the client does not read; more are a flood.
constexpr size_t kMaxUnreadAcks = 100;
// Frames that the client does not read, and as many for each call; more are a flood. Those who
// begin hundreds of calls before they know how many are allowed have as many refusals coming.
constexpr size_t kMaxUnsentFrames = 1000;
constexpr size_t kMaxUnsentOfCall = 4;
// Headers of this many times the limit end the connection; a call with less is answered. One byte
// can stand for 4 KB that were sent before, and nghttp2 looks at all of them.
constexpr size_t kMaxTimesLimit = 4;
// About what a message takes beside its bytes, here and in Python.
constexpr size_t kMessageOverhead = 512;
// RFC 9113, 6.5.2: what a header counts for beside its name and value.
constexpr size_t kHeaderOverhead = 32;

bool ends_stream(const nghttp2_frame* frame) {
  return (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
}

// Views of the headers, for nghttp2 to copy.
std::vector<nghttp2_nv> views(const Headers& headers) {
  std::vector<nghttp2_nv> out;
  out.reserve(headers.size());
  for (const auto& [name, value] : headers) {
    out.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                   reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(),
                   value.size(), NGHTTP2_NV_FLAG_NONE});
  }
  return out;
}

std::string with_prefix(const uint8_t* message, size_t size) {
  std::string out;
  out.reserve(kPrefixBytes + size);
  out.push_back(0);
  for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(size >> shift & 0xFF));
  out.append(reinterpret_cast<const char*>(message), size);
  return out;
}

}  // namespace

nghttp2_session_callbacks* Session::make_callbacks() {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
  nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
  return callbacks;
}

Session::Session(const Limits& limits) : limits_(limits) {
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  nghttp2_option_set_max_outbound_ack(option, kMaxUnreadAcks);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_no_auto_window_update(option, 1);
  // Metadata with a space at its end is better answered than called a breach of the protocol.
  nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(option, 1);
  nghttp2_session_callbacks* callbacks = make_callbacks();
  nghttp2_session* session = nullptr;
  nghttp2_session_server_new2(&session, callbacks, this, option);
  session_.reset(session);
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_option_del(option);

  const std::array<nghttp2_settings_entry, 4> settings = {{
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.calls},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.window_bytes},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, limits.frame_bytes},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits.header_bytes},
  }};
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(limits.window_bytes));
}

Status Session::receive(const uint8_t* data, size_t size) {
  frames_.pass(data, size);
  header_bytes_ = 0;
  const ssize_t taken = nghttp2_session_mem_recv(session_.get(), data, size);
  if (taken >= 0) return Status::ok();
  if (flood_ != nullptr || taken == NGHTTP2_ERR_FLOODED) {
    nghttp2_session_terminate_session(session_.get(), NGHTTP2_ENHANCE_YOUR_CALM);
  }
  return Status::error(flood_ != nullptr ? flood_ : nghttp2_strerror(static_cast<int>(taken)));
}

int Session::end(const char* reason) {
  flood_ = reason;
  return NGHTTP2_ERR_CALLBACK_FAILURE;
}

int Session::on_begin_frame(nghttp2_session* session, const nghttp2_frame_hd*, void* self) {
  auto* us = static_cast<Session*>(self);
  const size_t limit = kMaxUnsentFrames + kMaxUnsentOfCall * us->limits_.calls;
  if (nghttp2_session_get_outbound_queue_size(session) <= limit) return 0;
  return us->end("it does not read what it is answered");
}

// Trailers count, and headers that are not valid: they cost as much.
int Session::count_header(size_t name_bytes, size_t value_bytes) {
  const size_t bytes = name_bytes + value_bytes + kHeaderOverhead;
  block_bytes_ += bytes;
  header_bytes_ += bytes;
  const size_t limit = limits_.header_bytes;
  if (block_bytes_ > kMaxTimesLimit * limit) return end("its headers go far beyond the limit");
  // As many as all calls may have that can be open; one alone is always answered.
  if (header_bytes_ > std::max<size_t>(kMaxTimesLimit, limits_.calls) * limit) {
    return end("it floods us with headers");
  }
  return 0;
}

int Session::on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* self) {
  auto* session = static_cast<Session*>(self);
  session->block_bytes_ = 0;
  if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
    session->calls_.try_emplace(frame->hd.stream_id, session->limits_.message_bytes,
                                session->batch_);
  }
  return 0;
}

int Session::on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_bytes, const uint8_t* value, size_t value_bytes, uint8_t,
                       void* self) {
  auto* session = static_cast<Session*>(self);
  const int counted = session->count_header(name_bytes, value_bytes);
  if (counted != 0) return counted;
  Call* call = session->find(frame->hd.stream_id);
  // Trailers of a client say nothing in gRPC.
  if (call == nullptr || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  if (session->block_bytes_ > session->limits_.header_bytes) {
    call->headers.clear();
    return 0;
  }
  call->headers.emplace_back(std::string(reinterpret_cast<const char*>(name), name_bytes),
                             std::string(reinterpret_cast<const char*>(value), value_bytes));
  return 0;
}

// nghttp2 ignores it.
int Session::on_invalid_header(nghttp2_session*, const nghttp2_frame*, const uint8_t*,
                               size_t name_bytes, const uint8_t*, size_t value_bytes, uint8_t,
                               void* self) {
  return static_cast<Session*>(self)->count_header(name_bytes, value_bytes);
}

int Session::on_frame(nghttp2_session*, const nghttp2_frame* frame, void* self) {
  auto* session = static_cast<Session*>(self);
  if (frame->hd.type == NGHTTP2_SETTINGS) session->ready_ = true;
  const bool is_question = (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0;
  if (frame->hd.type == NGHTTP2_PING && is_question) session->events_.push_back({EventKind::kPing});
  if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
  Call* call = session->find(frame->hd.stream_id);
  if (call == nullptr) return 0;
  if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
    session->begun(frame->hd.stream_id, call);
  }
  if (ends_stream(frame)) session->half_close(frame->hd.stream_id, call);
  return 0;
}

void Session::begun(int32_t id, Call* call) {
  Event event{EventKind::kRequest, id};
  if (block_bytes_ > limits_.header_bytes) {
    event.kind = EventKind::kRefused;
    event.number = block_bytes_;
  }
  event.headers = std::move(call->headers);
  events_.push_back(std::move(event));
}

void Session::half_close(int32_t id, Call* call) {
  call->half_closed = true;
  events_.push_back({EventKind::kHalfClose, id});
}

int Session::on_data(nghttp2_session* nghttp2, uint8_t, int32_t id, const uint8_t* data,
                     size_t size, void* self) {
  auto* session = static_cast<Session*>(self);
  Call* call = session->find(id);
  // The connection has room for other calls, whatever this one is waiting for.
  if (call == nullptr || call->deaf) return nghttp2_session_consume(nghttp2, id, size);
  nghttp2_session_consume_connection(nghttp2, size);
  call->unread += size;
  session->arriving_ -= call->held();
  while (size > 0 && !call->reader.refused().has_value()) {
    std::optional<Message> message = call->reader.take(&data, &size);
    if (!message.has_value()) continue;
    ++call->waiting;
    call->waiting_bytes += message->size() + kMessageOverhead;
    Event event{EventKind::kMessage, id};
    event.message = std::move(*message);
    session->events_.push_back(std::move(event));
  }
  session->arriving_ += call->held();
  session->give_room(id, call);
  if (const auto refused = call->reader.refused(); refused.has_value()) {
    session->events_.push_back({EventKind::kTooLong, id, *refused});
    session->make_deaf(call);
  }
  return 0;
}

void Session::taken(int32_t id, size_t size) {
  Call* call = find(id);
  if (call == nullptr || call->waiting == 0) return;
  --call->waiting;
  call->waiting_bytes -= size + kMessageOverhead;
  arriving_ -= size + kMessageOverhead;
  give_room(id, call);
}

// A message may be longer than the window, so the one that arrives is given room; others wait.
void Session::give_room(int32_t id, Call* call) {
  if (call->waiting > 0) return;
  nghttp2_session_consume_stream(session_.get(), id, call->unread);
  call->unread = 0;
}

int Session::on_close(nghttp2_session*, int32_t id, uint32_t error_code, void* self) {
  auto* session = static_cast<Session*>(self);
  Call* call = session->find(id);
  if (call == nullptr) return 0;
  session->make_deaf(call);
  const bool told = call->batch != session->batch_;
  session->calls_.erase(id);
  if (told) {
    session->events_.push_back({EventKind::kClosed, id, error_code});
  } else {
    session->never_mind_.insert(id);
  }
  return 0;
}

std::vector<Event> Session::take_events() {
  if (!never_mind_.empty()) {
    const auto is_of_none = [this](const Event& event) {
      return never_mind_.count(event.call) > 0;
    };
    events_.erase(std::remove_if(events_.begin(), events_.end(), is_of_none), events_.end());
    never_mind_.clear();
  }
  ++batch_;
  return std::exchange(events_, {});
}

// The whole answer is sent: a client that is still sending is told that nobody listens.
int Session::on_sent(nghttp2_session* session, const nghttp2_frame* frame, void* self) {
  if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
  const Call* call = static_cast<Session*>(self)->find(frame->hd.stream_id);
  if (call == nullptr || call->half_closed || !ends_stream(frame)) return 0;
  return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                   NGHTTP2_NO_ERROR);
}

ssize_t Session::read_answers(nghttp2_session* session, int32_t id, uint8_t* out, size_t size,
                              uint32_t* flags, nghttp2_data_source*, void* self) {
  Call* call = static_cast<Session*>(self)->find(id);
  if (call == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  size_t filled = 0;
  while (filled < size && !call->answers.empty()) {
    const std::string& answer = call->answers.front();
    const size_t piece = std::min(size - filled, answer.size() - call->answered);
    answer.copy(reinterpret_cast<char*>(out) + filled, piece, call->answered);
    filled += piece;
    call->answered += piece;
    if (call->answered < answer.size()) break;
    call->answers.pop_front();
    call->answered = 0;
  }
  if (call->answers.empty() && call->finished) {
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    const std::vector<nghttp2_nv> trailers = views(call->trailers);
    nghttp2_submit_trailer(session, id, trailers.data(), trailers.size());
  } else if (filled == 0) {
    return NGHTTP2_ERR_DEFERRED;
  }
  return static_cast<ssize_t>(filled);
}

bool Session::begin_answer(int32_t call, const Headers& headers) {
  if (find(call) == nullptr) return false;
  nghttp2_data_provider provider{};
  provider.read_callback = read_answers;
  const std::vector<nghttp2_nv> nv = views(headers);
  return nghttp2_submit_response(session_.get(), call, nv.data(), nv.size(), &provider) == 0;
}

bool Session::write(int32_t call, const uint8_t* message, size_t size) {
  Call* found = find(call);
  if (found == nullptr) return false;
  found->answers.push_back(with_prefix(message, size));
  // Fails if the answer isn't waiting for data, which is no error.
  nghttp2_session_resume_data(session_.get(), call);
  return true;
}

bool Session::finish(int32_t call, Headers trailers) {
  Call* found = find(call);
  if (found == nullptr) return false;
  found->finished = true;
  found->trailers = std::move(trailers);
  make_deaf(found);
  nghttp2_session_resume_data(session_.get(), call);
  return true;
}

bool Session::refuse(int32_t call, const Headers& headers) {
  Call* found = find(call);
  if (found == nullptr) return false;
  make_deaf(found);
  const std::vector<nghttp2_nv> nv = views(headers);
  return nghttp2_submit_response(session_.get(), call, nv.data(), nv.size(), nullptr) == 0;
}

bool Session::reset(int32_t call, uint32_t error_code) {
  if (find(call) == nullptr) return false;
  return nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, call, error_code) == 0;
}

void Session::ping() { nghttp2_submit_ping(session_.get(), NGHTTP2_FLAG_NONE, nullptr); }

void Session::go_away() {
  nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_.get()), NGHTTP2_NO_ERROR,
                        nullptr, 0);
}

std::string Session::send(size_t size) {
  std::string out;
  while (out.size() < size) {
    const uint8_t* piece = nullptr;
    const ssize_t bytes = nghttp2_session_mem_send(session_.get(), &piece);
    if (bytes <= 0) break;
    out.append(reinterpret_cast<const char*>(piece), static_cast<size_t>(bytes));
  }
  return out;
}

bool Session::done() const {
  return nghttp2_session_want_read(session_.get()) == 0 &&
         nghttp2_session_want_write(session_.get()) == 0;
}

size_t Session::arriving(int32_t call) const {
  const auto found = calls_.find(call);
  return found == calls_.end() ? 0 : found->second.held();
}

size_t Session::unsent(int32_t call) const {
  const auto found = calls_.find(call);
  if (found == calls_.end()) return 0;
  size_t bytes = 0;
  for (const std::string& answer : found->second.answers) bytes += answer.size();
  return bytes - found->second.answered;
}

Session::Call* Session::find(int32_t id) {
  const auto found = calls_.find(id);
  return found == calls_.end() ? nullptr : &found->second;
}

void Session::make_deaf(Call* call) {
  arriving_ -= call->held();
  call->deaf = true;
  call->reader = MessageReader(limits_.message_bytes);
  call->waiting = call->waiting_bytes = 0;
}

}  // namespace aio::grpc
