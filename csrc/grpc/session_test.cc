// SPDX-License-Identifier: Apache-2.0
//
// Sessions against nghttp2's client, and against bytes that no client would send.
#include "csrc/grpc/session.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "csrc/base/check.h"

namespace {

using aio::grpc::Event;
using aio::grpc::EventKind;
using aio::grpc::Headers;
using aio::grpc::Limits;
using aio::grpc::Session;

constexpr Limits kLimits = {8, 1 << 16, 1 << 14, 1000, 100000};
constexpr size_t kAll = 1 << 30;

const uint8_t* bytes(const std::string& text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

std::string framed(const std::string& text) {
  std::string out(1, '\0');
  for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(text.size() >> shift));
  return out + text;
}

std::string frame(uint8_t kind, uint8_t flags, int32_t call, const std::string& payload) {
  std::string out;
  for (const int shift : {16, 8, 0}) out.push_back(static_cast<char>(payload.size() >> shift));
  out.push_back(static_cast<char>(kind));
  out.push_back(static_cast<char>(flags));
  for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(call >> shift));
  return out + payload;
}

// What a client has been told of a call.
struct Answer {
  std::string data;
  Headers headers;
  bool closed = false;
  uint32_t error_code = 0;
};

class Client {
 public:
  Client() {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session* session = nullptr;
    nghttp2_session_client_new(&session, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    session_.reset(session);
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, nullptr, 0);
  }

  // Begins the only call. With `open` the client does not say that it has sent all.
  int32_t call(const std::string& body, bool open = false, const Headers& more = {}) {
    body_ = body;
    open_ = open;
    Headers headers = {
        {":method", "POST"}, {":scheme", "http"}, {":authority", "here"}, {":path", "/a.B/C"}};
    headers.insert(headers.end(), more.begin(), more.end());
    std::vector<nghttp2_nv> nv;
    for (auto& [name, value] : headers) {
      nv.push_back({reinterpret_cast<uint8_t*>(name.data()),
                    reinterpret_cast<uint8_t*>(value.data()), name.size(), value.size(), 0});
    }
    nghttp2_data_provider provider{};
    provider.read_callback = read_body;
    return nghttp2_submit_request(session_.get(), nullptr, nv.data(), nv.size(), &provider,
                                  nullptr);
  }

  std::string send() {
    std::string out;
    const uint8_t* piece = nullptr;
    for (ssize_t size = 0; (size = nghttp2_session_mem_send(session_.get(), &piece)) > 0;) {
      out.append(reinterpret_cast<const char*>(piece), static_cast<size_t>(size));
    }
    return out;
  }

  void receive(const std::string& wire) {
    AIO_CHECK(nghttp2_session_mem_recv(session_.get(), bytes(wire), wire.size()) ==
              static_cast<ssize_t>(wire.size()));
  }

  void cancel(int32_t call) { nghttp2_submit_rst_stream(session_.get(), 0, call, NGHTTP2_CANCEL); }
  void ping() { nghttp2_submit_ping(session_.get(), 0, nullptr); }
  bool may_call() { return nghttp2_session_check_request_allowed(session_.get()) != 0; }

  Answer answer;
  uint32_t sent_away = NGHTTP2_NO_ERROR;

 private:
  struct Free {
    void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
  };

  static int on_header(nghttp2_session*, const nghttp2_frame*, const uint8_t* name,
                       size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                       void* self) {
    static_cast<Client*>(self)->answer.headers.emplace_back(
        std::string(reinterpret_cast<const char*>(name), name_size),
        std::string(reinterpret_cast<const char*>(value), value_size));
    return 0;
  }
  static int on_data(nghttp2_session*, uint8_t, int32_t, const uint8_t* data, size_t size,
                     void* self) {
    static_cast<Client*>(self)->answer.data.append(reinterpret_cast<const char*>(data), size);
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    auto* client = static_cast<Client*>(self);
    if (frame->hd.type == NGHTTP2_GOAWAY) client->sent_away = frame->goaway.error_code;
    return 0;
  }
  static int on_close(nghttp2_session*, int32_t, uint32_t error_code, void* self) {
    static_cast<Client*>(self)->answer.closed = true;
    static_cast<Client*>(self)->answer.error_code = error_code;
    return 0;
  }
  static ssize_t read_body(nghttp2_session*, int32_t, uint8_t* out, size_t size, uint32_t* flags,
                           nghttp2_data_source*, void* self) {
    auto* client = static_cast<Client*>(self);
    const size_t piece = std::min(size, client->body_.size());
    client->body_.copy(reinterpret_cast<char*>(out), piece);
    client->body_.erase(0, piece);
    if (client->body_.empty() && client->open_ && piece == 0) return NGHTTP2_ERR_DEFERRED;
    if (client->body_.empty() && !client->open_) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(piece);
  }

  std::unique_ptr<nghttp2_session, Free> session_;
  std::string body_;
  bool open_ = false;
};

// Lets both talk until neither has anything to say; returns what the server was told.
std::vector<Event> talk(Client* client, Session* session) {
  std::vector<Event> events;
  for (;;) {
    const std::string to_server = client->send();
    if (!to_server.empty()) {
      AIO_CHECK(session->receive(bytes(to_server), to_server.size()).is_ok());
    }
    const std::string to_client = session->send(kAll);
    if (!to_client.empty()) client->receive(to_client);
    for (Event& event : session->take_events()) events.push_back(std::move(event));
    if (to_server.empty() && to_client.empty()) return events;
  }
}

std::vector<EventKind> kinds(const std::vector<Event>& events) {
  std::vector<EventKind> out;
  out.reserve(events.size());
  for (const Event& event : events) out.push_back(event.kind);
  return out;
}

bool has(const Headers& headers, const std::string& name, const std::string& value) {
  return std::find(headers.begin(), headers.end(), std::make_pair(name, value)) != headers.end();
}

using Kinds = std::vector<EventKind>;

void test_a_call_and_its_answer() {
  Client client;
  Session session(kLimits);
  AIO_CHECK(!session.ready());
  const int32_t call = client.call(framed("question"), false, {{"key", "value "}});
  const std::vector<Event> events = talk(&client, &session);
  AIO_CHECK(session.ready());
  AIO_CHECK(kinds(events) ==
            (Kinds{EventKind::kRequest, EventKind::kMessage, EventKind::kHalfClose}));
  AIO_CHECK(has(events[0].headers, ":path", "/a.B/C"));
  AIO_CHECK(has(events[0].headers, "key", "value "));
  AIO_CHECK(std::memcmp(events[1].message.data(), "question", 8) == 0);

  const std::string answer(200000, 'a');  // more than the client's window at one time
  AIO_CHECK(session.begin_answer(call, {{":status", "200"}}));
  AIO_CHECK(session.write(call, bytes(answer), answer.size()));
  AIO_CHECK(session.unsent(call) == answer.size() + 5);
  AIO_CHECK(session.finish(call, {{"grpc-status", "0"}}));
  AIO_CHECK(kinds(talk(&client, &session)) == Kinds{EventKind::kClosed});
  AIO_CHECK(client.answer.data == framed(answer));
  AIO_CHECK(has(client.answer.headers, "grpc-status", "0"));
  AIO_CHECK(client.answer.closed && client.answer.error_code == NGHTTP2_NO_ERROR);
  AIO_CHECK(!session.write(call, bytes(answer), 1));
  AIO_CHECK(session.unsent(call) == 0);
}

void test_answers_as_they_come() {
  Client client;
  Session session(kLimits);
  const int32_t call = client.call(framed("a") + framed("b"), true);
  AIO_CHECK(kinds(talk(&client, &session)) ==
            (Kinds{EventKind::kRequest, EventKind::kMessage, EventKind::kMessage}));
  session.begin_answer(call, {{":status", "200"}});
  for (const std::string text : {"one", "two"}) {
    session.write(call, bytes(text), text.size());
    talk(&client, &session);
  }
  AIO_CHECK(client.answer.data == framed("one") + framed("two"));
  AIO_CHECK(!client.answer.closed);
  session.finish(call, {{"grpc-status", "0"}});
  talk(&client, &session);
  AIO_CHECK(client.answer.closed);
}

// A client that is still sending is told to stop, by a reset that is no error.
void test_a_refusal() {
  Client client;
  Session session(kLimits);
  const int32_t call = client.call(framed("a").substr(0, 4), true);
  talk(&client, &session);
  AIO_CHECK(session.refuse(call, {{":status", "200"}, {"grpc-status", "16"}}));
  AIO_CHECK(kinds(talk(&client, &session)) == Kinds{EventKind::kClosed});
  AIO_CHECK(has(client.answer.headers, "grpc-status", "16"));
  AIO_CHECK(client.answer.closed && client.answer.error_code == NGHTTP2_NO_ERROR);
}

void test_limits_of_a_call() {
  {
    Client client;
    Session session(kLimits);
    client.call(framed(std::string(kLimits.message_bytes + 1, 'x')));
    const std::vector<Event> events = talk(&client, &session);
    AIO_CHECK(kinds(events) ==
              (Kinds{EventKind::kRequest, EventKind::kTooLong, EventKind::kHalfClose}));
    AIO_CHECK(events[1].number == kLimits.message_bytes + 1);
    AIO_CHECK(session.arriving() == 0);
  }
  {
    Client client;
    Session session(kLimits);
    client.call("", false, {{"long", std::string(2000, 'x')}, {"last", "1"}});
    const std::vector<Event> events = talk(&client, &session);
    AIO_CHECK(kinds(events) == (Kinds{EventKind::kRefused, EventKind::kHalfClose}));
    AIO_CHECK(events[0].number > 2000);
  }
}

constexpr uint8_t kWhole = NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM;
constexpr const char* kAgain = "\xbe";  // the header that was sent last, of about 700 bytes
// Makes a call of what follows: POST, http, /, here.
constexpr const char* kBegin = "\x83\x86\x84\x01\x04here";

// A client with a session that has kept the header `kAgain`, which is `name`.
struct Expanding {
  explicit Expanding(const std::string& name = "x") {
    client.call("", false, {{name, std::string(700, 'y')}});
    talk(&client, &session);
  }
  bool receive(const std::string& wire) {
    return session.receive(bytes(wire), wire.size()).is_ok();
  }
  bool receive_block(const std::string& block, uint8_t flags = kWhole, int32_t call = 3) {
    return receive(frame(NGHTTP2_HEADERS, flags, call, block));
  }
  bool is_calm() {
    const std::string wire = session.send(kAll);
    client.receive(wire);
    return client.sent_away == NGHTTP2_NO_ERROR;
  }

  Client client;
  Session session{kLimits};
};

std::string times(size_t count, const std::string& text) {
  std::string out;
  while (count-- > 0) out += text;
  return out;
}

// Few bytes may stand for many, which are all looked at: 4 MB in the last ones here.
void test_headers_that_expand() {
  {
    Expanding a;
    AIO_CHECK(a.receive_block(kBegin + times(5, kAgain)));
    AIO_CHECK(kinds(a.session.take_events()) ==
              (Kinds{EventKind::kRefused, EventKind::kHalfClose}));
    AIO_CHECK(a.is_calm());
    AIO_CHECK(!a.receive_block(kBegin + times(6, kAgain), kWhole, 5));
    AIO_CHECK(a.session.take_events().empty());
    AIO_CHECK(!a.is_calm() && a.client.sent_away == NGHTTP2_ENHANCE_YOUR_CALM);
    AIO_CHECK(a.session.done());
  }
  {
    Expanding in_parts;
    AIO_CHECK(in_parts.receive_block(kBegin + times(3, kAgain), NGHTTP2_FLAG_END_STREAM));
    const std::string more = times(3, kAgain);
    AIO_CHECK(!in_parts.receive(frame(NGHTTP2_CONTINUATION, kWhole, 3, more)));
  }
  {
    Expanding trailers;
    AIO_CHECK(trailers.receive_block(kBegin, NGHTTP2_FLAG_END_HEADERS));
    AIO_CHECK(!trailers.receive_block(times(6000, kAgain)));
  }
  {
    Expanding invalid("not a name");
    AIO_CHECK(!invalid.receive_block(kBegin + times(6000, kAgain)));
  }
}

// All calls that may be open may have as many headers as one may; that is enough at one time.
void test_many_calls_with_headers() {
  Expanding a;
  std::string wire;
  for (int32_t call = 3; call < 3 + 2 * 7; call += 2) {
    wire += frame(NGHTTP2_HEADERS, kWhole, call, kBegin + times(1, kAgain));
  }
  AIO_CHECK(a.receive(wire));
  AIO_CHECK(a.session.take_events().size() == 2 * 7);
  AIO_CHECK(a.is_calm());

  Expanding b;
  wire.clear();
  for (int32_t call = 3; call < 3 + 2 * 7; call += 2) {
    wire += frame(NGHTTP2_HEADERS, kWhole, call, kBegin + times(3, kAgain));
  }
  AIO_CHECK(!b.receive(wire));
  AIO_CHECK(!b.is_calm());
}

void test_bytes_that_are_held() {
  Client client;
  Session session(kLimits);
  const std::string message = framed(std::string(1000, 'x'));
  const int32_t call = client.call(message.substr(0, 505), true);
  talk(&client, &session);
  AIO_CHECK(session.arriving() == 500);
  AIO_CHECK(session.arriving(call) == 500);
  client.cancel(call);
  AIO_CHECK(kinds(talk(&client, &session)) == Kinds{EventKind::kClosed});
  AIO_CHECK(session.arriving() == 0);
  AIO_CHECK(session.arriving(call) == 0);
}

// Messages that nobody takes use up the room of their call; what arrives alone is given more.
void test_a_client_that_is_too_fast() {
  constexpr size_t kMessages = 100;
  const std::string text(10000, 'x');
  std::string wire;
  for (size_t i = 0; i < kMessages; ++i) wire += framed(text);
  Client client;
  Session session(kLimits);
  const int32_t call = client.call(wire);
  const auto messages = [&] {
    const Kinds told = kinds(talk(&client, &session));
    return static_cast<size_t>(std::count(told.begin(), told.end(), EventKind::kMessage));
  };
  size_t waiting = messages();
  AIO_CHECK(waiting > 0 && waiting <= kLimits.window_bytes / text.size());
  AIO_CHECK(session.arriving() >= kLimits.window_bytes - 100);
  size_t taken = 0;
  while (waiting > 0) {
    for (; waiting > 0; --waiting, ++taken) session.taken(call, text.size());
    waiting = messages();
  }
  AIO_CHECK(taken == kMessages);
  AIO_CHECK(session.arriving() == 0);

  Client large;
  Session other(kLimits);
  large.call(framed(std::string(kLimits.window_bytes + 20000, 'x')));
  AIO_CHECK(kinds(talk(&large, &other)) ==
            (Kinds{EventKind::kRequest, EventKind::kMessage, EventKind::kHalfClose}));
}

void test_the_end_of_a_connection() {
  Client client;
  Session session(kLimits);
  const int32_t call = client.call(framed("a"));
  talk(&client, &session);
  session.go_away();
  talk(&client, &session);
  AIO_CHECK(!client.may_call());
  AIO_CHECK(!session.done());  // a call is not answered yet
  session.refuse(call, {{":status", "200"}, {"grpc-status", "0"}});
  talk(&client, &session);
  AIO_CHECK(session.done());
}

void test_pings() {
  Client client;
  Session session(kLimits);
  talk(&client, &session);
  client.ping();
  AIO_CHECK(kinds(talk(&client, &session)) == Kinds{EventKind::kPing});
  session.ping();
  AIO_CHECK(talk(&client, &session).empty());  // the answer is no question
  for (int i = 0; i < 200; ++i) client.ping();
  const std::string flood = client.send();
  AIO_CHECK(!session.receive(bytes(flood), flood.size()).is_ok());
}

// Calls that are refused because there are too many, and a client that does not want to know.
void test_refusals_that_are_not_read() {
  Session session(kLimits);
  Client client;
  std::string wire = client.send();
  size_t refused = 0;
  for (int32_t call = 1; session.receive(bytes(wire), wire.size()).is_ok(); call += 2) {
    wire = frame(NGHTTP2_HEADERS, kWhole, call, kBegin);
    if (++refused > 10000) break;
  }
  AIO_CHECK(refused > 1000 && refused < 1200);
}

// Calls that are taken back at once are not heard of.
void test_calls_that_are_reset_at_once() {
  const std::string cancel("\0\0\0\x08", 4);
  Expanding a;
  std::string wire;
  for (int32_t call = 3; call < 43; call += 2) {
    wire += frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, call, kBegin);
    wire += frame(NGHTTP2_DATA, 0, call, framed("a"));
    if (call != 21) wire += frame(NGHTTP2_RST_STREAM, 0, call, cancel);
  }
  AIO_CHECK(a.receive(wire));
  AIO_CHECK(kinds(a.session.take_events()) == (Kinds{EventKind::kRequest, EventKind::kMessage}));
  AIO_CHECK(a.receive(frame(NGHTTP2_RST_STREAM, 0, 21, cancel)));
  AIO_CHECK(kinds(a.session.take_events()) == Kinds{EventKind::kClosed});
  AIO_CHECK(a.session.arriving() == 0);
}

// What a client has begun to send, whatever pieces it comes in.
void test_what_is_unfinished() {
  Client client;
  client.call("", false, {{"key", "value"}});
  const std::string hello = client.send();
  Session session(kLimits);
  AIO_CHECK(session.unfinished() == 1);
  for (const char& byte : hello) {
    const uint64_t before = session.unfinished();
    AIO_CHECK(session.receive(bytes(std::string(1, byte)), 1).is_ok());
    AIO_CHECK(session.unfinished() >= before || session.unfinished() == 0);
  }
  AIO_CHECK(session.ready());
  AIO_CHECK(session.unfinished() == 0);

  const auto now_unfinished = [&](const std::string& wire) {
    AIO_CHECK(session.receive(bytes(wire), wire.size()).is_ok());
    return session.unfinished();
  };
  const uint64_t block = now_unfinished(frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 3, ""));
  AIO_CHECK(block > 1);
  AIO_CHECK(now_unfinished(frame(NGHTTP2_CONTINUATION, 0, 3, kBegin)) == block);
  AIO_CHECK(now_unfinished(frame(NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 3, "")) == 0);
  const std::string ping = frame(NGHTTP2_PING, 0, 0, "01234567");
  AIO_CHECK(now_unfinished(ping.substr(0, 5)) == block + 1);
  AIO_CHECK(now_unfinished(ping.substr(5, 10)) == block + 1);
  AIO_CHECK(now_unfinished(ping.substr(15) + ping + ping.substr(0, 1)) == block + 3);
  AIO_CHECK(now_unfinished(ping.substr(1)) == 0);
  AIO_CHECK(now_unfinished(ping + frame(200, 4, 0, std::string(100, 'x'))) == 0);
}

// Whatever comes, in whatever pieces, a session must stay in its bounds; sanitizers look on.
void test_random_bytes() {
  std::mt19937 generator = aio::make_generator();
  Client model;
  model.call(framed("question"), false, {{"key", "value"}});
  const std::string good = model.send();
  for (int round = 0; round < 3000; ++round) {
    Session session(kLimits);
    std::string wire = good;
    const size_t from = round % 2 == 0 ? 24 : 0;  // mostly with the right preface
    for (size_t changes = generator() % 8; changes > 0; --changes) {
      wire[from + generator() % (wire.size() - from)] = static_cast<char>(generator());
    }
    for (size_t more = generator() % 100; more > 0; --more) {
      wire.push_back(static_cast<char>(generator()));
    }
    bool alive = true;
    for (size_t at = 0; at < wire.size() && alive;) {
      const size_t piece = std::min<size_t>(1 + generator() % 50, wire.size() - at);
      alive = session.receive(bytes(wire) + at, piece).is_ok();
      at += piece;
      for (const Event& event : session.take_events()) {
        if (event.kind == EventKind::kMessage) {
          session.taken(event.call, event.message.size());
          session.begin_answer(event.call, {{":status", "200"}});
          session.write(event.call, event.message.data(), event.message.size());
          session.finish(event.call, {{"grpc-status", "0"}});
        }
      }
      session.send(kAll);
    }
    AIO_CHECK(session.arriving() <= wire.size());
  }
}

}  // namespace

int main() {
  test_a_call_and_its_answer();
  test_answers_as_they_come();
  test_a_refusal();
  test_limits_of_a_call();
  test_headers_that_expand();
  test_many_calls_with_headers();
  test_bytes_that_are_held();
  test_a_client_that_is_too_fast();
  test_the_end_of_a_connection();
  test_pings();
  test_refusals_that_are_not_read();
  test_calls_that_are_reset_at_once();
  test_what_is_unfinished();
  test_random_bytes();
  return aio::finish_checks();
}
