#include "bus/protocol.h"

#include <catch2/catch_test_macros.hpp>

#include "base/random.h"
#include "recorder.h"

using namespace candela;
using namespace candela::bus;

namespace {

struct Outcome {
    std::vector<std::string> seen;
    std::optional<ReadError> error;
    friend bool operator==(const Outcome&, const Outcome&) = default;
};

template <class R>
Outcome read_in_pieces(std::string_view input, const std::vector<size_t>& cuts,
                       size_t payload_max = 1000) {
    R reader(payload_max);
    Recorder recorder;
    size_t at = 0;
    std::optional<ReadError> error;
    for (const size_t cut : cuts) {
        error = reader.feed(input.substr(at, cut - at), recorder);
        at = cut;
        if (error) break;
    }
    if (!error) error = reader.feed(input.substr(at), recorder);
    return Outcome{recorder.seen, error};
}

Outcome read_as_server(std::string_view input) { return read_in_pieces<ServerReader>(input, {}); }
Outcome read_as_client(std::string_view input) { return read_in_pieces<ClientReader>(input, {}); }

std::optional<ReadError> error_of(std::string_view input) { return read_as_server(input).error; }

Line server_line(std::string_view text) {
    Line line;
    CHECK_FALSE(parse_client_line(text, line));
    return line;
}

constexpr std::string_view kClientTalk =
    "CONNECT {\"verbose\":false}\r\nPING\r\nSUB foo.* q 1\r\nsub bar 22\nPUB foo 5\r\nhello\r\n"
    "PUB foo reply 0\r\n\r\nHPUB foo r.1 12 14\r\nNATS/1.0\r\n\r\nhi\r\nUNSUB 1\r\nUNSUB 22 5\r\n"
    "pub\tfoo   bar  2\r\n\r\n\r\nPONG\r\n+OK\r\nINFO {}\r\n";

constexpr std::string_view kServerTalk =
    "INFO {\"server_id\":\"N\"} \r\nPING\r\n+OK\r\nMSG foo 1 5\r\nhello\r\nMSG foo 1 reply 2\r\nok\r\n"
    "HMSG r 7 16 16\r\nNATS/1.0 503\r\n\r\n\r\nHMSG r 7 back 12 13\r\nNATS/1.0\r\n\r\nx\r\n"
    "-ERR 'Stale Connection'\r\nPONG\r\n";

}  // namespace

TEST_CASE("client_lines_are_parsed") {
    CHECK(server_line("PUB foo 5").total_bytes == 5);
    CHECK(server_line("PUB foo bar 5").reply == "bar");
    const Line hpub = server_line("HPUB foo bar 12 17");
    CHECK(hpub.reply == "bar");
    CHECK(hpub.header_bytes == 12);
    CHECK(hpub.total_bytes == 17);
    CHECK(server_line("SUB foo q 9").queue == "q");
    CHECK(server_line("SUB foo 9").sid == "9");
    CHECK(server_line("UNSUB 9 100").max == "100");
    CHECK(server_line("connect {\"a\": 1}").text == "{\"a\": 1}");
    CHECK(server_line("CONNECT{}").text == "{}");
}

TEST_CASE("talk_of_both_sides_is_read_whole") {
    const Outcome server = read_as_server(kClientTalk);
    CHECK_FALSE(server.error);
    CHECK(server.seen.size() == 13);
    const Outcome client = read_as_client(kServerTalk);
    CHECK_FALSE(client.error);
    CHECK(client.seen.size() == 9);
}

TEST_CASE("split_input_equals_whole_input") {
    const Outcome server = read_as_server(kClientTalk);
    for (size_t a = 0; a <= kClientTalk.size(); ++a) {
        for (size_t b = a; b <= kClientTalk.size(); b += 7) {
            REQUIRE(read_in_pieces<ServerReader>(kClientTalk, {a, b}) == server);
        }
    }
    const Outcome client = read_as_client(kServerTalk);
    for (size_t a = 0; a <= kServerTalk.size(); ++a) {
        for (size_t b = a; b <= kServerTalk.size(); b += 7) {
            REQUIRE(read_in_pieces<ClientReader>(kServerTalk, {a, b}) == client);
        }
    }
}

TEST_CASE("single_bytes_equal_whole_input_for_mutated_talk") {
    const uint64_t seed = 20260101;
    INFO("seed " << seed);
    SeededRandom random(seed);
    for (int round = 0; round < 300; ++round) {
        std::string text(kClientTalk);
        for (int i = 0; i < 3; ++i) {
            text[random.below(text.size())] = "\r\n 9PUBSx{"[random.below(10)];
        }
        std::vector<size_t> cuts;
        for (size_t i = 1; i < text.size(); ++i) cuts.push_back(i);
        REQUIRE(read_in_pieces<ServerReader>(text, cuts) == read_as_server(text));
    }
}

TEST_CASE("errors_have_their_kinds") {
    CHECK(error_of("GET / HTTP/1.1\r\n") == ReadError::kUnknownOperation);
    CHECK(error_of("\r\n") == ReadError::kUnknownOperation);
    CHECK(error_of("MSG foo 1 0\r\n\r\n") == ReadError::kUnknownOperation);
    CHECK(error_of("PUBX foo 1\r\n") == ReadError::kUnknownOperation);
    CHECK(error_of("PUB foo 2\r\nabc\r\n") == ReadError::kUnknownOperation);
    CHECK(error_of("PUB foo 1\r\na\n\n") == ReadError::kUnknownOperation);
    CHECK(error_of("PUB foo\r\n") == ReadError::kArguments);
    CHECK(error_of("PUB foo -1\r\n") == ReadError::kArguments);
    CHECK(error_of("PUB foo 99999999999999999999\r\n") == ReadError::kArguments);
    CHECK(error_of("PUB a b c 1\r\n") == ReadError::kArguments);
    CHECK(error_of("HPUB foo 5 4\r\n") == ReadError::kArguments);
    CHECK(error_of("SUB foo\r\n") == ReadError::kArguments);
    CHECK(error_of("SUB a b c d\r\n") == ReadError::kArguments);
    CHECK(error_of("UNSUB \r\n") == ReadError::kArguments);
    CHECK(error_of("UNSUB\r\n") == ReadError::kUnknownOperation);
    CHECK(error_of("PUB foo 1001\r\n") == ReadError::kPayload);
    CHECK_FALSE(error_of("PUB foo 1000\r\n"));
}

TEST_CASE("a_control_line_has_a_limit_whether_or_not_it_ends") {
    const std::string longest = "SUB " + std::string(4098, 'a') + " 1";
    REQUIRE(longest.size() == kControlLineMax + 8);
    CHECK_FALSE(error_of(longest + "\r\n"));
    CHECK(error_of(longest + "1\r\n") == ReadError::kControlLine);
    // What is no verb is told as such, however long it goes on; as by nats-server.
    CHECK(error_of(std::string(5000, 'a')) == ReadError::kUnknownOperation);
    const std::string text = "PUB " + std::string(4996, 'a') + "\r\n";
    CHECK(error_of(text) == ReadError::kControlLine);
    for (const size_t cut : {1, 4096, 4104, 4105, 4106, 4107, 5000, 5001}) {
        CHECK(read_in_pieces<ServerReader>(text, {cut}).error == ReadError::kControlLine);
    }
}

TEST_CASE("a_handler_that_stops_drops_the_rest") {
    ServerReader reader;
    Recorder recorder;
    recorder.stop_after = 2;
    CHECK_FALSE(reader.feed("PING\r\nPING\r\nPING\r\nnonsense\r\n", recorder));
    CHECK(recorder.seen.size() == 2);
}

TEST_CASE("a_large_payload_in_pieces_is_read_once_complete") {
    const std::string payload(300'000, 'x');
    const std::string text = "PUB foo 300000\r\n" + payload + "\r\nPING\r\n";
    ServerReader reader;
    Recorder recorder;
    for (size_t at = 0; at < text.size(); at += 65536) {
        CHECK_FALSE(reader.feed(std::string_view(text).substr(at, 65536), recorder));
    }
    REQUIRE(recorder.seen.size() == 2);
    CHECK(recorder.seen[0].ends_with(payload));
    CHECK(reader.carried_bytes() == 0);
}
