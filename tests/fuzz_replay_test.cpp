// Goal: every fuzz target keeps its promises for the inputs in fuzz/corpus, and for inputs made
// from them: without clang, in every test run, and under the sanitizers of `make asan`. Method:
// seeded mutations; SYNCLINE_FUZZ_INPUTS says how many for each target. A broken promise aborts;
// the line before it names target and seed.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "fuzz/chunk_maker.hpp"
#include "fuzz/targets.hpp"
#include "support/catch.hpp"
#include "support/prng.hpp"

namespace syncline::fuzz {
namespace {

using test::Prng;

std::vector<std::string> corpus_of(const std::string& target) {
  std::vector<std::string> inputs;
  const std::string folder = std::string(SYNCLINE_SOURCE_DIR) + "/fuzz/corpus/" + target;
  if (!std::filesystem::is_directory(folder)) return inputs;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream in(entry.path(), std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  std::sort(inputs.begin(), inputs.end());  // the order of a folder is anything
  return inputs;
}

std::string random_bytes(Prng* prng, size_t size) {
  std::string out(size, '\0');
  for (char& c : out)
    c = static_cast<char>(prng->next());
  return out;
}

std::string mutated(std::string input, const std::vector<std::string>& corpus, Prng* prng) {
  for (uint64_t i = 0; i <= prng->below(4); ++i) {
    const size_t at = prng->below(input.size() + 1);
    const size_t count = std::min<size_t>(prng->below(5), input.size() - at);
    switch (prng->below(6)) {
      case 0:
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << prng->below(8)));
        break;
      case 1:
        input.erase(at, count);
        break;
      case 2:
        input.insert(at, random_bytes(prng, 1 + prng->below(6)));
        break;
      case 3:
        input.replace(at, count, std::string(count, prng->chance(.5) ? '\xff' : '\0'));
        break;
      case 4:
        input.insert(at, input.substr(prng->below(input.size() + 1), prng->below(40)));
        break;
      default: {
        const std::string& other = prng->pick(corpus);
        input = input.substr(0, at) + other.substr(prng->below(other.size() + 1));
      }
    }
  }
  return input;
}

TEST_CASE("fuzz: every target keeps its promises", "[fuzz]") {
  const uint64_t inputs = test::number_from_env("SYNCLINE_FUZZ_INPUTS", 1500);
  const uint64_t seed = test::number_from_env("SYNCLINE_SEED", 1);
  for (const Target& target : kTargets) {
    std::vector<std::string> corpus = corpus_of(target.name);
    const bool made = std::string_view(target.name).ends_with("_recipe");
    INFO("fuzz/corpus/" << target.name);
    CHECK((made || !corpus.empty()));
    std::clog << "fuzz: " << target.name << ", " << corpus.size() << " seeds, seed " << seed
              << "\n";
    for (const std::string& input : corpus)
      target.run(input);
    Prng prng(seed);
    const uint64_t count = std::string_view(target.name).starts_with("apply") ? inputs / 3 : inputs;
    for (uint64_t i = 0; i < count; ++i) {
      const bool fresh = made && (corpus.empty() || prng.chance(.7));
      target.run(fresh ? random_bytes(&prng, prng.below(400))
                       : mutated(prng.pick(corpus), corpus, &prng));
    }
  }
}

// Without this, the targets that make chunks might make none that is accepted.
TEST_CASE("fuzz: recipes make chunks, and a body that is taken out and sealed is the chunk",
          "[fuzz]") {
  Prng prng(3);
  uint64_t made = 0, plain = 0;
  for (int i = 0; i < 500; ++i) {
    const std::string bytes = chunk_from(random_bytes(&prng, 300));
    made += !bytes.empty();
    const std::string body = body_of(bytes);
    if (body.empty()) continue;
    ++plain;
    CHECK(seal_body(body) == bytes);
  }
  CHECK(made > 250);
  CHECK(plain > 50);
}

}  // namespace
}  // namespace syncline::fuzz
