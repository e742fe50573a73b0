#include "output_lines.h"

#include <catch2/catch_test_macros.hpp>

#include <random>
#include <string>
#include <vector>

namespace candela::host {
namespace {

constexpr OutputKind kOut = OutputKind::kStdout;
constexpr OutputKind kErr = OutputKind::kStderr;

struct Piece {
    OutputKind kind;
    std::string bytes;
    uint64_t position;
};

struct Taken {
    std::vector<std::string> lines;
    std::vector<OutputMarks> marks;  // with each line
    OutputLines output{[this](OutputKind kind, std::string_view line) {
        lines.push_back((kind == kOut ? "o:" : "e:") + std::string(line));
        marks.push_back(output.marks());
    }};
};

TEST_CASE("lines_of_both_outputs_are_safe_up_to_where_the_older_unfinished_one_begins") {
    Taken taken;
    taken.output.begin(1);
    taken.output.feed(kOut, "one\ntw", 10);
    CHECK(taken.output.marks().safe == 0);  // "tw" is in the first piece
    CHECK(taken.output.marks().streams[0] == OutputMark(10, 4));
    taken.output.feed(kErr, "bad\n", 20);
    CHECK(taken.output.marks().safe == 0);
    taken.output.feed(kOut, "o\n", 30);
    CHECK(taken.output.marks().safe == 30);
    CHECK(taken.lines == std::vector<std::string>{"o:one", "e:bad", "o:two"});
    taken.output.feed(kErr, "x", 40);
    taken.output.feed(kOut, "y\n", 50);
    CHECK(taken.output.marks().safe == 30);
}

TEST_CASE("output_of_a_driver_without_positions_leaves_no_marks") {
    Taken taken;
    taken.output.begin(1);
    taken.output.feed(kOut, "one\ntw", 0);
    taken.output.feed(kOut, "o\n", 0);
    CHECK(taken.lines == std::vector<std::string>{"o:one", "o:two"});
    CHECK(taken.output.marks().safe == 0);
    CHECK(taken.output.marks().streams[0] == OutputMark());
}

TEST_CASE("marks_of_another_run_say_nothing") {
    Taken taken;
    OutputMarks marks;
    marks.run = 1;
    marks.streams[0] = OutputMark(100, 5);
    taken.output.resume(2, marks);
    taken.output.feed(kOut, "one\n", 10);
    CHECK(taken.lines.size() == 1);
}

// However the host ends, whichever lines it had written down, the next one adds exactly the rest.
TEST_CASE("a_host_that_comes_back_takes_each_line_once") {
    const unsigned seed = std::random_device()();
    INFO("seed " << seed);
    std::mt19937 random(seed);
    const auto below = [&](size_t n) { return random() % n; };
    for (int round = 0; round < 300; ++round) {
        std::vector<Piece> pieces;
        uint64_t position = 0;
        for (size_t i = 0; i < 12; ++i) {
            std::string bytes;
            for (size_t k = below(12); k > 0; --k)
                bytes += below(3) == 0 ? '\n' : static_cast<char>('a' + below(26));
            if (bytes.empty()) bytes = "\n";
            position += bytes.size() + 8;
            pieces.push_back(Piece(below(2) == 0 ? kOut : kErr, bytes, position));
        }
        Taken whole;
        whole.output.begin(3);
        for (const Piece& piece : pieces)
            whole.output.feed(piece.kind, piece.bytes, piece.position);
        whole.output.finish();

        Taken first;
        first.output.begin(3);
        const size_t heard = below(pieces.size() + 1);
        for (size_t i = 0; i < heard; ++i)
            first.output.feed(pieces[i].kind, pieces[i].bytes, pieces[i].position);
        const size_t written = below(first.lines.size() + 1);
        const OutputMarks marks = written == 0 ? OutputMarks() : first.marks[written - 1];

        Taken second;
        second.output.resume(3, marks);
        for (const Piece& piece : pieces) {
            // The keeper gives again what is not known to be safe.
            if (piece.position > marks.safe)
                second.output.feed(piece.kind, piece.bytes, piece.position);
        }
        second.output.finish();
        std::vector<std::string> all(first.lines.begin(),
                                     first.lines.begin() + static_cast<ptrdiff_t>(written));
        all.insert(all.end(), second.lines.begin(), second.lines.end());
        std::vector<std::string> expected = whole.lines;
        std::sort(all.begin(), all.end());
        std::sort(expected.begin(), expected.end());
        CHECK(all == expected);
    }
}

}  // namespace
}  // namespace candela::host
