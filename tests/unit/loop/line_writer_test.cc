#include "loop/line_writer.h"

#include <unistd.h>

#include <array>
#include <string>
#include <thread>

#include <catch2/catch_test_macros.hpp>

#include "base/check.h"

namespace candela {
namespace {

struct Pipe {
    std::array<int, 2> ends{};
    Pipe() { CANDELA_CHECK(::pipe(ends.data()) == 0); }
    ~Pipe() {
        for (const int end : ends) ::close(end);
    }
    std::string read(size_t size) const {
        std::string text(size, '\0');
        size_t at = 0;
        while (at < size) {
            const ssize_t count = ::read(ends[0], text.data() + at, size - at);
            if (count <= 0) return text.substr(0, at);
            at += static_cast<size_t>(count);
        }
        return text;
    }
};

std::string dropped(uint64_t count) { return "dropped " + std::to_string(count) + "\n"; }

TEST_CASE_METHOD(Pipe, "lines_are_written_after_a_pause_that_ended_the_thread") {
    LineWriter writer(ends[1], dropped, 10ms);
    CHECK_FALSE(writer.has_thread());
    for (const std::string line : {"first\n", "second\n", "third\n"}) {
        writer.write(line);
        CHECK(read(line.size()) == line);
        while (writer.has_thread()) std::this_thread::yield();
    }
}

TEST_CASE_METHOD(Pipe, "what_is_queued_is_written_before_a_writer_is_gone") {
    const std::string line = "last words\n";
    {
        LineWriter writer(ends[1], dropped, 10ms);
        writer.write(line);
    }
    CHECK(read(line.size()) == line);
}

TEST_CASE_METHOD(Pipe, "lines_beyond_the_queue_are_dropped_and_counted") {
    const std::string piece(LineWriter::kQueueBytesMax / 4, 'x');
    constexpr size_t kPieces = 20;
    std::string text;
    std::thread reader;
    {
        LineWriter writer(ends[1], dropped, 10ms);
        // Nobody reads: the pipe takes little, one batch waits for it, and the queue fills.
        for (size_t i = 0; i < kPieces; ++i) writer.write(piece);
        reader = std::thread([&] {
            std::array<char, 65536> some{};
            while (!text.ends_with('.')) {
                const ssize_t count = ::read(ends[0], some.data(), some.size());
                if (count > 0) text.append(some.data(), static_cast<size_t>(count));
            }
            text.pop_back();
        });
    }
    CHECK(::write(ends[1], ".", 1) == 1);
    reader.join();
    const size_t end = text.find('d');
    REQUIRE(end != std::string::npos);
    CHECK(end % piece.size() == 0);
    CHECK(text.substr(end) == dropped(kPieces - end / piece.size()));
}

}  // namespace
}  // namespace candela
