// See background_peer.h.
#include "sqlite_ext/background_peer.h"

#include <system_error>
#include <utility>

namespace syncline {

void BackgroundPeer::wait() {
  if (thread_.joinable()) thread_.join();
}

// Waits for what was begun, and tells whether that was `work`. What it threw, it throws here.
bool BackgroundPeer::finish(Work work) {
  wait();
  const bool begun = std::exchange(work_, Work::none) == work;
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  return begun;
}

// Begins `work`. False: there is no thread to be had, and the call that follows does all of it.
bool BackgroundPeer::start(Work work) {
  try {
    thread_ = std::thread([this, work] {
      try {
        status_ = work == Work::produce ? inner_.produce(vector_, resume_, options_, &produced_)
                                        : inner_.consume(chunk_, &applied_);
      } catch (...) {  // an exception that leaves a thread ends the program
        failure_ = std::current_exception();
      }
    });
  } catch (const std::system_error&) {
    return false;
  }
  work_ = work;
  return true;
}

void BackgroundPeer::begin_produce(const std::string& vector_json, const std::string& resume_hex,
                                   const ExportOptions& options) {
  finish(Work::none);
  if (!threads_) return;
  vector_ = vector_json;
  resume_ = resume_hex;
  options_ = options;
  produced_ = ExportedChunk();
  start(Work::produce);
}

bool BackgroundPeer::begin_consume(const std::string& chunk) {
  finish(Work::none);
  if (!threads_) return false;
  chunk_ = chunk;
  applied_ = ApplyReport();
  return start(Work::consume);
}

Status BackgroundPeer::hello(Hello* out) {
  finish(Work::none);
  return inner_.hello(out);
}

Status BackgroundPeer::produce(const std::string& vector_json, const std::string& resume_hex,
                               const ExportOptions& options, ExportedChunk* out) {
  const bool begun = finish(Work::produce);
  if (!begun || vector_json != vector_ || resume_hex != resume_) {
    return inner_.produce(vector_json, resume_hex, options, out);
  }
  *out = std::move(produced_);
  return std::move(status_);
}

Status BackgroundPeer::consume(const std::string& chunk, ApplyReport* out) {
  const bool begun = finish(Work::consume);
  if (!begun || chunk != chunk_) return inner_.consume(chunk, out);
  *out = std::move(applied_);
  return std::move(status_);
}

Status BackgroundPeer::schema(std::string* json) {
  finish(Work::none);
  return inner_.schema(json);
}

Status BackgroundPeer::answer(const std::string& question, std::string* out) {
  finish(Work::none);
  return inner_.answer(question, out);
}

}  // namespace syncline
