#include "docker_stream.h"

#include <catch2/catch_test_macros.hpp>

#include "fake_engine.h"

namespace candela::host {
namespace {

struct Taken {
    std::string out, err;
    DockerLog::OnOutput on_output() {
        return [this](OutputKind kind, std::string_view bytes) {
            (kind == OutputKind::kStdout ? out : err) += bytes;
        };
    }
};

const std::string kFirst = "2026-11-25T23:36:53.500617173Z ";
const std::string kSecond = "2026-11-25T23:36:54Z ";

TEST_CASE("times_of_engines_are_read") {
    CHECK(parse_engine_time("1971-01-01T00:00:00Z").value() == 31'536'000'000'000'000);
    CHECK(parse_engine_time("2026-11-25T23:36:53.500617173Z").value() == 1'795'649'813'500'617'173);
    CHECK(parse_engine_time("2026-11-26T00:36:53.5+01:00").value() == 1'795'649'813'500'000'000);
    CHECK(parse_engine_time("2026-11-25T22:06:53-01:30").value() == 1'795'649'813'000'000'000);
    for (const char* bad :
         {"", "Z", "2026-11-25", "2026-13-25T23:36:53Z", "2026-11-25T23:36:53",
          "2026-11-25T23:36:53.Zx", "1960-11-25T23:36:53Z", "hello, world, hello"})
        CHECK_FALSE(parse_engine_time(bad).has_value());
}

TEST_CASE("frames_are_the_same_however_they_are_split") {
    const std::string stream = frame(1, kFirst + "one\n") + frame(2, kFirst + "two\n") +
                               frame(1, "") + frame(1, kSecond + "three");
    for (size_t cut = 1; cut <= stream.size(); ++cut) {
        Taken taken;
        DockerLog log({}, taken.on_output());
        for (size_t at = 0; at < stream.size(); at += cut)
            REQUIRE(log.feed(std::string_view(stream).substr(at, cut)).has_value());
        CHECK(taken.out == "one\nthree");
        CHECK(taken.err == "two\n");
        CHECK(log.position().out.time_ns == parse_engine_time("2026-11-25T23:36:54Z").value());
        CHECK(log.position().err.count == 1);
    }
}

TEST_CASE("what_is_no_stream_of_frames_is_refused") {
    Taken taken;
    DockerLog log({}, taken.on_output());
    const auto fed = log.feed("HTTP/1.1 200 OK\r\n");
    REQUIRE_FALSE(fed.has_value());
    CHECK(fed.error().code() == Code::kCorrupt);
    CHECK(taken.out.empty());
}

TEST_CASE("what_has_been_taken_is_not_taken_again_and_nothing_is_missed") {
    // The pieces of a long line have one time.
    const std::string stream = frame(1, kFirst + "a") + frame(1, kFirst + "b") +
                               frame(1, kFirst + "c\n") + frame(2, kFirst + "x\n") +
                               frame(1, kSecond + "d\n");
    for (int frames = 0; frames <= 5; ++frames) {
        Taken taken;
        DockerLogPosition position;
        {
            DockerLog log(position, taken.on_output());
            size_t end = 0;
            for (int i = 0; i < frames; ++i)
                end += DockerFrames::kHeadBytes + static_cast<unsigned char>(stream[end + 7]);
            // And the half of the next, which counts for nothing.
            REQUIRE(log.feed(std::string_view(stream).substr(0, end)).has_value());
            position = log.position();
        }
        DockerLog again(position, taken.on_output());
        REQUIRE(again.feed(stream).has_value());
        CHECK(taken.out == "abc\nd\n");
        CHECK(taken.err == "x\n");
    }
}

TEST_CASE("a_clock_that_goes_back_loses_nothing_of_what_is_followed") {
    Taken taken;
    DockerLog log({}, taken.on_output());
    REQUIRE(log.feed(frame(1, kSecond + "late\n") + frame(1, kFirst + "early\n")).has_value());
    CHECK(taken.out == "late\nearly\n");
}

TEST_CASE("a_message_without_a_time_is_all_message") {
    Taken taken;
    DockerLog log({}, taken.on_output());
    const std::string long_word(3 * DockerLog::kTimeBytesMax, 'x');
    for (const std::string& text : {std::string("no time\n"), long_word + " y\n"}) {
        for (size_t cut : {size_t{1}, size_t{7}, text.size() + 8}) {
            taken.out.clear();
            const std::string stream = frame(1, text);
            for (size_t at = 0; at < stream.size(); at += cut)
                REQUIRE(log.feed(std::string_view(stream).substr(at, cut)).has_value());
            CHECK(taken.out == text);
        }
    }
}

}  // namespace
}  // namespace candela::host
