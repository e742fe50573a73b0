// What the two processes of an upgrade say to each other.

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include <cstdlib>
#include <string>

#include "loop/move_stream.h"
#include "loop/uv_loop.h"
#include "node/forwarded_beat.h"
#include "node/inheritance.h"
#include "node/line_channel.h"

using namespace candela;

namespace {

struct Pair {
    Pair() {
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
        old_end = Fd(ends[0]);
        new_end = Fd(ends[1]);
    }
    void say(std::string_view text) {
        REQUIRE(::send(old_end.get(), text.data(), text.size(), 0) ==
                static_cast<ssize_t>(text.size()));
    }
    Result<std::unique_ptr<Inheritance>> inherit() {
        setenv(Inheritance::kVariable, std::to_string(new_end.release()).c_str(), 1);
        return Inheritance::from_environment();
    }
    Fd old_end{-1};
    Fd new_end{-1};
};

int open_something() { return ::open("/dev/null", O_RDONLY); }

}  // namespace

TEST_CASE("a process that was started by itself inherits nothing") {
    unsetenv(Inheritance::kVariable);
    auto none = Inheritance::from_environment();
    REQUIRE(none);
    CHECK(*none == nullptr);
}

TEST_CASE("listeners and locks are inherited, and kept from children") {
    Pair pair;
    const int listener = open_something();
    const int lock = open_something();
    pair.say(
        fmt::format("listener\t{}\t127.0.0.1:0\t127.0.0.1:81\nlock\t{}\tgateway\nbegin\t1\ngo\n",
                    listener, lock));
    auto given = pair.inherit();
    REQUIRE(given);
    CHECK(std::getenv(Inheritance::kVariable) == nullptr);
    const Inheritance& all = **given;
    REQUIRE(all.listeners.size() == 1);
    CHECK(all.listeners[0].fd.get() == listener);
    CHECK(all.listeners[0].wanted == "127.0.0.1:0");
    CHECK(all.listeners[0].bound == "127.0.0.1:81");
    REQUIRE(all.locks.contains("gateway"));
    CHECK(all.must_be_ready);
    CHECK((::fcntl(listener, F_GETFD) & FD_CLOEXEC) != 0);
    // What comes after is for whoever reads then.
    char rest[8] = {};
    CHECK(::recv(all.channel.get(), rest, sizeof rest, 0) == 3);
    all.tell_failure("the port\nis taken");
    char told[64] = {};
    CHECK(::recv(pair.old_end.get(), told, sizeof told, 0) > 0);
    CHECK(std::string(told) == "failed the port is taken\n");
}

TEST_CASE("what is not said as it should be is refused") {
    for (const std::string_view text : {"nonsense\n", "listener\t1\ta\tb\n", "listener\tx\ta\tb\n",
                                        "lock\t9999\tgateway\n", "begin\n", "\n"}) {
        Pair pair;
        pair.say(text);
        CHECK_FALSE(pair.inherit());
    }
    Pair pair;
    pair.say("listener\t3");
    pair.old_end = Fd(-1);
    const auto cut = pair.inherit();
    REQUIRE_FALSE(cut);
    CHECK(cut.error().code() == Code::kUnreachable);
    setenv(Inheritance::kVariable, "many", 1);
    CHECK_FALSE(Inheritance::from_environment());
}

TEST_CASE("a channel brings lines whole, and tells the end") {
    InProcessHub hub;
    UvLoop loop(hub);
    Pair pair;
    auto stream = adopt_unix_socket(loop, std::move(pair.new_end));
    REQUIRE(stream);
    LineChannel channel(std::move(*stream));
    pair.say("rea");
    std::vector<std::string> lines;
    TaskGroup flows;
    const auto read = [](LineChannel& from, std::vector<std::string>& to) -> Task<void> {
        for (;;) {
            const auto line = co_await from.next();
            if (!line) break;
            to.push_back(*line);
        }
        to.emplace_back("(end)");
    };
    flows.spawn(read(channel, lines));
    loop.run_until([] { return false; }, 5ms);
    pair.say("dy\ngo\nhalf");
    REQUIRE(loop.run_until([&] { return lines.size() == 2; }, 5s));
    CHECK(lines == std::vector<std::string>{"ready", "go"});
    channel.write("accepting");
    char told[64] = {};
    CHECK(::recv(pair.old_end.get(), told, sizeof told, 0) == 10);
    pair.old_end = Fd(-1);
    REQUIRE(loop.run_until([&] { return lines.size() == 3; }, 5s));
    CHECK(channel.has_ended());
}

TEST_CASE("a channel breaks of a line that is too long and of lines that nobody wants") {
    InProcessHub hub;
    UvLoop loop(hub);
    Pair pair;
    auto stream = adopt_unix_socket(loop, std::move(pair.new_end));
    REQUIRE(stream);
    LineChannel channel(std::move(*stream));
    std::string many;
    for (size_t i = 0; i < LineChannel::kLinesMax + 2; ++i) many += "x\n";
    pair.say(many);
    CHECK(loop.run_until([&] { return channel.has_ended(); }, 5s));

    Pair other;
    auto second = adopt_unix_socket(loop, std::move(other.new_end));
    REQUIRE(second);
    LineChannel narrow(std::move(*second));
    const std::string piece(64 * 1024, 'x');
    for (size_t sent = 0; sent <= LineChannel::kLineBytesMax; sent += piece.size()) {
        other.say(piece);
        loop.run_until([] { return false; }, 1ms);
    }
    CHECK(loop.run_until([&] { return narrow.has_ended(); }, 5s));
}

TEST_CASE("a node speaks for the process before it, too") {
    ForwardedBeat forwarded;
    proto::NodeHeartbeat beat;
    beat.routes_version = 7;
    beat.busy_instances = {"a", "c"};
    proto::NodeHeartbeat same = beat;
    forwarded.add_to_heartbeat(same);
    CHECK(same == beat);
    proto::NodeHeartbeat before;
    before.routes_version = 5;
    before.busy_instances = {"b", "c"};
    forwarded.take(before);
    forwarded.add_to_heartbeat(beat);
    CHECK(beat.routes_version == 5);
    CHECK(beat.busy_instances == std::vector<std::string>{"a", "b", "c"});
}
