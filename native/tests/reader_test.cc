// A stream of bytes, cut anywhere, gives the same messages; what breaks a rule ends it.
#include "transport/reader.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <random>

#include "check.h"
#include "stream.h"

namespace lcp_tvm::tests {
namespace {

using transport::Header;
using transport::Kind;
using transport::Passage;
using transport::Place;
using transport::Reader;
using transport::Sink;
using Bytes = std::vector<uint8_t>;
using Verdict = Place::Verdict;

constexpr uint64_t kRun = 9;

/*! \brief Notes messages; takes all, but for what `verdict` says. */
class Notes : public Sink {
 public:
  std::function<Verdict(const Header&)> verdict = [](const Header&) { return Verdict::kTake; };
  std::vector<Bytes> payloads;
  std::vector<uint64_t> frames;
  std::vector<Passage> passages;

  Place Receive(const Header& header) override {
    Place place;
    place.verdict = verdict(header);
    place.why = "unwanted";
    auto bytes = std::make_shared<Bytes>(header.payload);
    place.data = bytes->data();
    place.keep = std::move(bytes);
    return place;
  }

  void Received(const Header& header, Place place, const Passage& passage) override {
    CHECK_EQ(place.keep.use_count(), 1);  // so that what the sink lets go of is freed
    frames.push_back(header.frame);
    payloads.emplace_back(place.data, place.data + header.payload);
    passages.push_back(passage);
  }
};

/*! \brief Give the reader up to `limit` bytes from `at` on; how many it took. */
size_t Feed(Reader* reader, const Bytes& stream, size_t at, size_t limit, Reader::State* state) {
  iovec parts[2];
  const int count = reader->Space(&parts);
  size_t took = 0;
  limit = std::min(limit, stream.size() - at);
  for (int i = 0; i < count; ++i) {
    const size_t part = std::min(parts[i].iov_len, limit - took);
    if (part > 0) {
      std::memcpy(parts[i].iov_base, stream.data() + at + took, part);
    }
    took += part;
  }
  CHECK(took > 0);
  *state = reader->Took(took, static_cast<int64_t>(at + took));
  return took;
}

/*! \brief Feed all, `cut()` bytes at a time, while the reader reads. */
template <typename Cut>
Reader::State FeedAll(Reader* reader, const Bytes& stream, Cut cut) {
  auto state = Reader::State::kReading;
  for (size_t at = 0; at < stream.size() && state == Reader::State::kReading;) {
    at += Feed(reader, stream, at, cut(), &state);
  }
  return state;
}

Bytes Region(uint64_t frame, uint32_t size) {
  Bytes payload(size);
  for (uint32_t i = 0; i < size; ++i) {
    payload[i] = static_cast<uint8_t>(frame * 31 + i);
  }
  return payload;
}

constexpr uint32_t kSizes[] = {1, 100, 0, 40000, 16384, 5, 70000, 16, 2};

Bytes Stream() {
  Bytes stream;
  uint64_t frame = 0;
  for (const uint32_t size : kSizes) {
    Append(RegionOf(kRun, frame, size), Region(frame, size), &stream);
    Header steal;
    steal.kind = Kind::kSteal;
    steal.run = kRun;
    steal.frame = 1000 + frame++;
    Append(steal, {}, &stream);
  }
  return stream;
}

void CheckStream(const Notes& notes) {
  CHECK_EQ(notes.frames.size(), 2 * std::size(kSizes));
  for (size_t i = 0; i < std::size(kSizes); ++i) {
    CHECK_EQ(notes.frames[2 * i], i);
    CHECK(notes.payloads[2 * i] == Region(i, kSizes[i]));
    CHECK_EQ(notes.frames[2 * i + 1], 1000 + i);
  }
}

void CutAnywhere() {
  const Bytes stream = Stream();
  std::mt19937 random(3);
  for (const size_t most : {1, 7, 50, 5000, 1000000}) {
    Notes notes;
    Reader reader(kRun, &notes);
    CHECK(FeedAll(&reader, stream, [&] { return 1 + random() % most; }) == Reader::State::kReading);
    CheckStream(notes);
    CHECK(!reader.InMessage());
    CHECK_EQ(notes.passages[0].bytes, transport::kHeaderBytes + 8 + 1);
  }
}

void TimesAreOfTheHeadAndTheLastByte() {
  Bytes stream;
  Append(RegionOf(kRun, 0, 100), Region(0, 100), &stream);
  Notes notes;
  Reader reader(kRun, &notes);
  FeedAll(&reader, stream, [] { return 1; });
  CHECK_EQ(notes.passages[0].begin_ns, int64_t{56});
  CHECK_EQ(notes.passages[0].end_ns, int64_t{156});
}

void WaitsUntilAskedAgain() {
  const Bytes stream = Stream();
  Notes notes;
  int refusals = 0;
  notes.verdict = [&](const Header& header) {
    // Every third message has to wait twice.
    return header.frame % 3 == 0 && ++refusals % 3 != 0 ? Verdict::kWait : Verdict::kTake;
  };
  Reader reader(kRun, &notes);
  auto state = Reader::State::kReading;
  for (size_t at = 0; at < stream.size();) {
    at += Feed(&reader, stream, at, 3000, &state);
    while (state == Reader::State::kWaiting) {
      CHECK(reader.InMessage());
      state = reader.Retry(0);
    }
  }
  CHECK(state == Reader::State::kReading);
  CheckStream(notes);
}

void DropsWhatIsNotWanted() {
  const Bytes stream = Stream();
  Notes notes;
  notes.verdict = [](const Header& header) {
    return header.kind == Kind::kRegion ? Verdict::kDrop : Verdict::kTake;
  };
  Reader reader(kRun, &notes);
  CHECK(FeedAll(&reader, stream, [] { return 1000000; }) == Reader::State::kReading);
  CHECK_EQ(notes.frames.size(), std::size(kSizes));
}

std::string Break(const Bytes& stream) {
  Notes notes;
  notes.verdict = [](const Header& header) {
    return header.frame == 13 ? Verdict::kClose : Verdict::kTake;
  };
  Reader reader(kRun, &notes);
  CHECK(FeedAll(&reader, stream, [] { return 64; }) == Reader::State::kBroken);
  return reader.why();
}

void BrokenRulesEndIt() {
  Bytes stream;
  Append(RegionOf(kRun + 1, 0, 4), Region(0, 4), &stream);
  CHECK_EQ(Break(stream), std::string("REGION of another run"));

  stream.clear();
  Append(RegionOf(kRun, 13, 4), Region(0, 4), &stream);
  CHECK_EQ(Break(stream), std::string("unwanted"));

  stream.clear();
  Append(RegionOf(kRun, 1, 4), Region(0, 4), &stream);
  stream.insert(stream.end(), 100, 'x');
  CHECK_EQ(Break(stream), std::string("what came is no frame"));
}

void AnUnfinishedMessageIsSeen() {
  Bytes stream;
  Append(RegionOf(kRun, 0, 30), Region(0, 30), &stream);
  for (size_t size = 0; size <= stream.size(); ++size) {
    Notes notes;
    Reader reader(kRun, &notes);
    FeedAll(&reader, Bytes(stream.begin(), stream.begin() + static_cast<ptrdiff_t>(size)),
            [] { return 11; });
    CHECK_EQ(reader.InMessage(), size != 0 && size != stream.size());
  }
}

}  // namespace
}  // namespace lcp_tvm::tests

int main(int argc, char** argv) {
  using namespace lcp_tvm::tests;
  return Main({{"cut anywhere", CutAnywhere},
               {"times are of the head and the last byte", TimesAreOfTheHeadAndTheLastByte},
               {"waits until asked again", WaitsUntilAskedAgain},
               {"drops what is not wanted", DropsWhatIsNotWanted},
               {"broken rules end it", BrokenRulesEndIt},
               {"an unfinished message is seen", AnUnfinishedMessageIsSeen}},
              argc, argv);
}
