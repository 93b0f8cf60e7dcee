// SPDX-License-Identifier: Apache-2.0
//
// A module of its own, because it needs nghttp2, which nothing else does.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "csrc/grpc/session.h"

namespace py = pybind11;

namespace aio::grpc {
namespace {

// HTTP lets values be any bytes; each becomes the character of its number.
py::str as_text(const std::string& bytes) {
  return py::reinterpret_steal<py::str>(
      PyUnicode_DecodeLatin1(bytes.data(), static_cast<py::ssize_t>(bytes.size()), nullptr));
}

py::list as_list(const Headers& headers) {
  py::list out;
  for (const auto& [name, value] : headers)
    out.append(py::make_tuple(as_text(name), as_text(value)));
  return out;
}

void tell(const py::object& handler, Event event) {
  switch (event.kind) {
    case EventKind::kRequest:
      handler.attr("on_request")(event.call, as_list(event.headers));
      break;
    case EventKind::kRefused:
      handler.attr("on_many_headers")(event.call, event.number);
      break;
    case EventKind::kMessage:
      handler.attr("on_message")(event.call, std::make_unique<Message>(std::move(event.message)));
      break;
    case EventKind::kTooLong:
      handler.attr("on_too_long")(event.call, event.number);
      break;
    case EventKind::kHalfClose:
      handler.attr("on_half_close")(event.call);
      break;
    case EventKind::kClosed:
      handler.attr("on_closed")(event.call, event.number);
      break;
    case EventKind::kPing:
      handler.attr("on_ping")();
      break;
  }
}

void receive(Session& session, const py::buffer& data) {
  const py::buffer_info info = data.request();
  const Status status = session.receive(static_cast<const uint8_t*>(info.ptr),
                                        static_cast<size_t>(info.size * info.itemsize));
  if (!status.is_ok()) throw py::value_error(status.message());
}

void tell_all(Session& session, const py::object& handler) {
  for (Event& event : session.take_events()) tell(handler, std::move(event));
}

bool write(Session& session, int32_t call, const py::buffer& message) {
  const py::buffer_info info = message.request();
  return session.write(call, static_cast<const uint8_t*>(info.ptr),
                       static_cast<size_t>(info.size * info.itemsize));
}

std::unique_ptr<Session> make_session(uint32_t calls, uint32_t window_bytes, uint32_t frame_bytes,
                                      uint32_t header_bytes, uint32_t message_bytes) {
  return std::make_unique<Session>(
      Limits{calls, window_bytes, frame_bytes, header_bytes, message_bytes});
}

}  // namespace
}  // namespace aio::grpc

PYBIND11_MODULE(_grpc, module) {
  using aio::grpc::Message;
  using aio::grpc::Session;
  module.doc() = "gRPC over HTTP/2, server side, without I/O; private.";

  py::class_<Message>(module, "Message", py::buffer_protocol())
      .def_property_readonly("compressed", &Message::compressed)
      .def("__len__", &Message::size)
      .def_buffer([](Message& message) {
        return py::buffer_info(message.data(), 1, py::format_descriptor<uint8_t>::format(),
                               static_cast<py::ssize_t>(message.size()));
      });

  py::class_<Session>(module, "Session")
      .def(py::init(&aio::grpc::make_session), py::kw_only(), py::arg("calls"),
           py::arg("window_bytes"), py::arg("frame_bytes"), py::arg("header_bytes"),
           py::arg("message_bytes"))
      .def("receive", &aio::grpc::receive, py::arg("data"))
      .def("taken", &Session::taken, py::arg("call"), py::arg("size"))
      .def("tell", &aio::grpc::tell_all, py::arg("handler"))
      .def("begin_answer", &Session::begin_answer, py::arg("call"), py::arg("headers"))
      .def("write", &aio::grpc::write, py::arg("call"), py::arg("message"))
      .def("finish", &Session::finish, py::arg("call"), py::arg("trailers"))
      .def("refuse", &Session::refuse, py::arg("call"), py::arg("headers"))
      .def("reset", &Session::reset, py::arg("call"), py::arg("error_code"))
      .def("ping", &Session::ping)
      .def("go_away", &Session::go_away)
      .def(
          "send", [](Session& session, size_t size) { return py::bytes(session.send(size)); },
          py::arg("size"))
      .def("unsent", &Session::unsent, py::arg("call"))
      .def_property_readonly("done", &Session::done)
      .def_property_readonly("ready", &Session::ready)
      .def_property_readonly("unfinished", &Session::unfinished)
      .def("arriving_of", py::overload_cast<int32_t>(&Session::arriving, py::const_),
           py::arg("call"))
      .def_property_readonly("arriving", py::overload_cast<>(&Session::arriving, py::const_));
}
