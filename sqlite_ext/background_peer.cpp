// See background_peer.h.
#include "sqlite_ext/background_peer.h"

#include <new>
#include <system_error>
#include <utility>

namespace syncline {

void BackgroundPeer::wait() {
  if (thread_.joinable()) thread_.join();
}

// Begins `work_`. False: there is no thread to be had, and the call that follows does all of it.
bool BackgroundPeer::start() {
  try {
    thread_ = std::thread([this] {
      try {
        status_ = work_ == Work::produce ? inner_.produce(vector_, resume_, options_, &produced_)
                                         : inner_.consume(chunk_, &applied_);
      } catch (const std::bad_alloc&) {
        status_ = Status(StatusCode::limit_exceeded, "out of memory");
      } catch (const std::exception& error) {
        status_ = Status(StatusCode::internal, error.what());
      }
    });
  } catch (const std::system_error&) {
    work_ = Work::none;
  }
  return work_ != Work::none;
}

void BackgroundPeer::begin_produce(const std::string& vector_json, const std::string& resume_hex,
                                   const ExportOptions& options) {
  wait();
  if (!threads_) return;
  vector_ = vector_json;
  resume_ = resume_hex;
  options_ = options;
  produced_ = ExportedChunk();
  work_ = Work::produce;
  start();
}

bool BackgroundPeer::begin_consume(const std::string& chunk) {
  wait();
  if (!threads_) return false;
  chunk_ = chunk;
  applied_ = ApplyReport();
  work_ = Work::consume;
  return start();
}

Status BackgroundPeer::hello(Hello* out) {
  wait();
  work_ = Work::none;
  return inner_.hello(out);
}

Status BackgroundPeer::produce(const std::string& vector_json, const std::string& resume_hex,
                               const ExportOptions& options, ExportedChunk* out) {
  wait();
  const bool begun = std::exchange(work_, Work::none) == Work::produce;
  if (!begun || vector_json != vector_ || resume_hex != resume_) {
    return inner_.produce(vector_json, resume_hex, options, out);
  }
  *out = std::move(produced_);
  return std::move(status_);
}

Status BackgroundPeer::consume(const std::string& chunk, ApplyReport* out) {
  wait();
  const bool begun = std::exchange(work_, Work::none) == Work::consume;
  if (!begun || chunk != chunk_) return inner_.consume(chunk, out);
  *out = std::move(applied_);
  return std::move(status_);
}

Status BackgroundPeer::schema(std::string* json) {
  wait();
  work_ = Work::none;
  return inner_.schema(json);
}

Status BackgroundPeer::answer(const std::string& question, std::string* out) {
  wait();
  work_ = Work::none;
  return inner_.answer(question, out);
}

}  // namespace syncline
