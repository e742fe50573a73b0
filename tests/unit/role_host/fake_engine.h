#pragma once

// An engine of containers for tests: answers on a unix socket, as the test has scripted it.

#include <signal.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "http/flow_server.h"
#include "loop/uv_loop.h"
#include "temp_folder.h"

namespace candela::host {

struct FakeEngine final : http::Handler {
    struct Answer {
        int status = 200;
        std::string body;
        // The answer stays open after its body, or is cut before its end.
        bool is_open = false;
        bool is_cut = false;
    };
    // By method and path without the version. What is not there is 404.
    using Script = std::function<Answer()>;

    explicit FakeEngine(UvLoop& uv_loop, std::string path)
        : loop(uv_loop), socket(std::move(path)), server(loop, *this, {}, Logger()) {
        ::signal(SIGPIPE, SIG_IGN);  // as every node does: engines and clients go at any time
        say("GET /version", R"({"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12"})");
        say("GET /info", R"({"MemoryLimit":true,"CpuCfsQuota":true,"PidsLimit":true,
            "CgroupVersion":"2","SecurityOptions":["name=seccomp,profile=default"]})");
        say("GET /_ping", "OK");
        listen();
    }
    void listen() {
        auto made = loop.listen(Address::unix_socket(socket), {},
                                [this](StreamPtr stream) { server.accept(std::move(stream)); });
        REQUIRE(made.has_value());
        listener = std::move(*made);
    }

    void say(const std::string& what, std::string body, int status = 200) {
        script(what, [status, body] { return Answer{status, body}; });
    }
    void script(const std::string& what, Script answer) { answers[what] = std::move(answer); }
    size_t count(std::string_view what) const {
        size_t found = 0;
        for (const std::string& request : requests) found += request == what ? 1 : 0;
        return found;
    }

    Task<void> handle(http::ServerRequest& request) override {
        std::string path = request.path();
        if (path.starts_with("/v1.")) path.erase(0, path.find('/', 1));
        const std::string what = request.method() + " " + path;
        auto body = co_await request.read_all(1 << 20);
        requests.push_back(what);
        bodies[what] = body.value_or("");
        const auto found = answers.find(what);
        if (found == answers.end()) {
            request.respond(404, "application/json", R"({"message":"no such thing"})");
            co_return;
        }
        const Answer answer = found->second();
        if (!answer.is_open && !answer.is_cut) {
            request.respond(answer.status, "application/json", answer.body);
            co_return;
        }
        http::ResponseHead head;
        head.status = answer.status;
        static_cast<void>(co_await request.begin(std::move(head)));
        static_cast<void>(co_await request.write(answer.body));
        if (answer.is_open) co_await sleep_for(loop, 1h);
    }

    UvLoop& loop;
    std::string socket;
    http::FlowServer server;
    std::unique_ptr<Listener> listener;
    std::map<std::string, Script> answers;
    std::vector<std::string> requests;
    std::map<std::string, std::string> bodies;
};

// The multiplexed stream.
inline std::string frame(char stream, std::string_view payload) {
    std::string out{stream, 0, 0, 0};
    for (int shift = 24; shift >= 0; shift -= 8)
        out += static_cast<char>(payload.size() >> shift & 0xFF);
    return out.append(payload);
}

}  // namespace candela::host
