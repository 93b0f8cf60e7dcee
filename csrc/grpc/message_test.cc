// SPDX-License-Identifier: Apache-2.0
#include "csrc/grpc/message.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "csrc/base/check.h"

namespace {

using aio::grpc::Message;
using aio::grpc::MessageReader;

std::string framed(const std::string& text, char compressed = 0) {
  std::string out(1, compressed);
  for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(text.size() >> shift));
  return out + text;
}

std::string text_of(const Message& message) {
  return {reinterpret_cast<const char*>(message.data()), message.size()};
}

// Gives `wire` to a reader in pieces that end at `cuts`.
std::vector<std::string> read(const std::string& wire, std::vector<size_t> cuts) {
  MessageReader reader(1000);
  std::vector<std::string> messages;
  cuts.push_back(wire.size());
  size_t begin = 0;
  for (const size_t end : cuts) {
    const auto* data = reinterpret_cast<const uint8_t*>(wire.data() + begin);
    size_t size = end - begin;
    while (size > 0) {
      const auto message = reader.take(&data, &size);
      if (message.has_value()) messages.push_back(text_of(*message));
    }
    begin = end;
  }
  AIO_CHECK(reader.between_messages());
  AIO_CHECK(reader.held() == 0);
  return messages;
}

void test_messages_in_any_pieces() {
  const std::vector<std::string> sent = {"first", "", std::string(300, 'x'), "last"};
  std::string wire;
  for (const std::string& text : sent) wire += framed(text);
  for (size_t cut = 0; cut <= wire.size(); ++cut) AIO_CHECK(read(wire, {cut}) == sent);
  std::mt19937 generator = aio::make_generator();
  for (int round = 0; round < 200; ++round) {
    std::vector<size_t> cuts(generator() % 20);
    for (size_t& cut : cuts) cut = generator() % wire.size();
    std::sort(cuts.begin(), cuts.end());
    AIO_CHECK(read(wire, cuts) == sent);
  }
}

void test_the_end_is_aligned() {
  for (const size_t size : {0U, 1U, 63U, 64U, 65U, 1000U}) {
    const Message message(size, false);
    AIO_CHECK((reinterpret_cast<uintptr_t>(message.data()) + size) % 64 == 0);
    std::memset(message.data(), 1, size);
  }
}

void test_what_is_over_the_limit() {
  MessageReader reader(10);
  const std::string wire = framed("12345678901");
  const auto* data = reinterpret_cast<const uint8_t*>(wire.data());
  size_t size = wire.size();
  AIO_CHECK(!reader.take(&data, &size).has_value());
  AIO_CHECK(reader.refused() == size_t{11});
  AIO_CHECK(size == 11);
  AIO_CHECK(!reader.take(&data, &size).has_value());
  AIO_CHECK(size == 11);
}

void test_a_compressed_message() {
  MessageReader reader(10);
  const std::string wire = framed("abc", 1);
  const auto* data = reinterpret_cast<const uint8_t*>(wire.data());
  size_t size = wire.size() - 1;
  AIO_CHECK(!reader.take(&data, &size).has_value());
  AIO_CHECK(reader.held() == 2);
  size = 1;
  const auto message = reader.take(&data, &size);
  AIO_CHECK(message.has_value() && message->compressed() && text_of(*message) == "abc");
}

}  // namespace

int main() {
  test_messages_in_any_pieces();
  test_the_end_is_aligned();
  test_what_is_over_the_limit();
  test_a_compressed_message();
  return aio::finish_checks();
}
