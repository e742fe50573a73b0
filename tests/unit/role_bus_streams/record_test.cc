#include <catch2/catch_test_macros.hpp>

#include "base/random.h"
#include "streams/crc32c.h"
#include "streams/message_index.h"
#include "streams/record.h"

namespace candela::bus_role {
namespace {

TEST_CASE("crc32c gives the published check value", "[streams]") {
    CHECK(crc32c("123456789") == 0xE3069283U);
    CHECK(crc32c("456789", crc32c("123")) == 0xE3069283U);
    CHECK(crc32c("") == 0);
}

std::string three_records(FileSalt salt) {
    std::string file = file_header(salt, 1);
    for (uint64_t i = 1; i <= 3; ++i) {
        append_record(file, *encode_message(1, i, 5, Rollup::kNone, "a.b", "", "payload"), salt, 1);
    }
    return file;
}

std::vector<uint64_t> sequences(std::string_view file, size_t* damaged = nullptr) {
    FileSalt salt;
    std::vector<uint64_t> out;
    if (!read_file_header(file, 1, salt)) return out;
    RecordScanner scanner(file, salt);
    StoredRecord stored;
    while (scanner.next(stored)) {
        RecordView view;
        REQUIRE(decode_record(stored.body, view));
        out.push_back(view.sequence);
    }
    if (damaged != nullptr) *damaged = scanner.damaged_places();
    return out;
}

TEST_CASE("a flipped bit loses at most its record and is seen", "[streams]") {
    const std::string whole = three_records(FileSalt{42});
    REQUIRE(sequences(whole) == std::vector<uint64_t>{1, 2, 3});
    const size_t record = (whole.size() - kFileHeaderBytes) / 3;
    for (size_t at = 0; at < whole.size(); ++at) {
        for (unsigned bit = 0; bit < 8; ++bit) {
            std::string spoilt = whole;
            spoilt[at] = static_cast<char>(spoilt[at] ^ (1 << bit));
            size_t damaged = 0;
            const std::vector<uint64_t> found = sequences(spoilt, &damaged);
            INFO("byte " << at << " bit " << bit);
            REQUIRE(found.size() >= 2);
            if (at < kFileHeaderBytes) REQUIRE(found.size() == 3);
            // The last record can't be told from a write that was never finished.
            const bool is_last = at >= kFileHeaderBytes + 2 * record;
            if (found.size() == 2 && !is_last) REQUIRE(damaged == 1);
        }
    }
}

TEST_CASE("a payload that contains a record of another file is not read as one", "[streams]") {
    std::string inner;
    append_record(inner, *encode_message(9, 99, 5, Rollup::kNone, "x", "", "forged"), FileSalt{1},
                  1);
    const FileSalt salt{2};
    std::string file = file_header(salt, 1);
    append_record(file,
                  *encode_message(1, 1, 5, Rollup::kNone, "aaaaa", "", std::string(7, ' ') + inner),
                  salt, 1);
    file[kFileHeaderBytes] = 'x';
    CHECK(sequences(file).empty());
}

TEST_CASE("every cut of a file yields the records that are whole", "[streams]") {
    const std::string whole = three_records(FileSalt{7});
    for (size_t length = 0; length <= whole.size(); ++length) {
        const std::vector<uint64_t> found = sequences(whole.substr(0, length));
        for (size_t i = 0; i < found.size(); ++i) REQUIRE(found[i] == i + 1);
    }
}

TEST_CASE("an index agrees with a plain model under random changes", "[streams]") {
    SeededRandom random(5);
    MessageIndex index;
    std::map<uint64_t, std::string> model;
    uint64_t next = 0;
    for (int step = 0; step < 20000; ++step) {
        if (random.below(100) < 55) {
            next += 1 + random.below(random.below(50) == 0 ? 1000 : 2);
            const std::string subject = "s" + std::to_string(random.below(20));
            index.add(next, subject, 0, 10);
            model[next] = subject;
        } else if (!model.empty()) {
            auto victim = model.lower_bound(random.below(next + 1));
            if (victim == model.end()) victim = model.begin();
            REQUIRE(index.remove(victim->first));
            model.erase(victim);
        }
        REQUIRE(index.count() == model.size());
        REQUIRE(index.bytes() == model.size() * 10);
        const uint64_t probe = random.below(next + 2);
        const auto after = model.lower_bound(probe);
        const IndexEntry* found = index.at_or_after(probe);
        REQUIRE((found == nullptr) == (after == model.end()));
        if (found != nullptr) REQUIRE(found->sequence == after->first);
        REQUIRE(index.count_from(probe) ==
                static_cast<uint64_t>(std::distance(after, model.end())));
        const auto above = model.upper_bound(probe);
        const IndexEntry* before = index.at_or_before(probe);
        REQUIRE((before == nullptr) == (above == model.begin()));
        if (before != nullptr) REQUIRE(before->sequence == std::prev(above)->first);
    }
    for (int i = 0; i < 20; ++i) {
        const std::string name = "s" + std::to_string(i);
        std::vector<uint64_t> wanted;
        for (const auto& [sequence, subject] : model) {
            if (subject == name) wanted.push_back(sequence);
        }
        const SubjectEntry* subject = index.find_subject(name);
        REQUIRE((subject == nullptr) == wanted.empty());
        if (subject == nullptr) continue;
        REQUIRE(subject->count == wanted.size());
        std::vector<uint64_t> chain;
        const uint32_t number = *index.subject_number(name);
        REQUIRE(index.first_of(number) == wanted.front());
        for (uint64_t s = index.next_of(number, 0); s != 0; s = index.next_of(number, s + 1)) {
            chain.push_back(s);
        }
        REQUIRE(chain == wanted);
        REQUIRE(subject->last == wanted.back());
    }
}

}  // namespace
}  // namespace candela::bus_role
