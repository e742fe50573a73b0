#pragma once

// Runs OpenSSL's client program against a server context on loopback, and says what it says.

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "loop/uv_loop.h"
#include "tls_fixture.h"

namespace candela::tls::test {

inline std::string output_of(const std::string& command) {
    std::string out;
    FILE* const pipe = ::popen(command.c_str(), "r");
    char buffer[4096];
    while (const size_t size = std::fread(buffer, 1, sizeof buffer, pipe)) out.append(buffer, size);
    ::pclose(pipe);
    return out;
}

// Answers "pong" to the first bytes and ends.
struct Ponger final : candela::StreamHandler {
    explicit Ponger(StreamPtr s) : stream(std::move(s)) { stream->start(*this); }
    void on_data(std::string_view) override {
        stream->write("pong\n");
        stream->end();
    }
    void on_end() override {}
    void on_error(const Error&) override {}
    StreamPtr stream;
};

class SClient {
public:
    static bool is_there() { return std::system("openssl version >/dev/null 2>&1") == 0; }

    explicit SClient(std::shared_ptr<ServerContext> context)
        : acceptor_(std::move(context), 10s, Logger(), [this](StreamPtr stream) {
              pongers_.push_back(std::make_unique<Ponger>(std::move(stream)));
          }) {
        char folder[] = "/tmp/candela-tls-XXXXXX";
        REQUIRE(::mkdtemp(folder) != nullptr);
        directory_ = folder;
        listener_ =
            *loop_.listen(Address::tcp("127.0.0.1", 0), ListenOptions(),
                          [this](StreamPtr stream) { acceptor_.accept(std::move(stream)); });
    }
    ~SClient() { std::filesystem::remove_all(directory_); }

    const std::string& directory() const { return directory_; }

    // Everything that the program says, after one exchange of "ping" and "pong".
    std::string output(std::string options, const std::string& name = "server.test") {
        for (size_t at; (at = options.find("{dir}")) != std::string::npos;) {
            options.replace(at, 5, directory_);
        }
        const std::string command = fmt::format(
            "echo ping | timeout 20 openssl s_client -ign_eof -connect 127.0.0.1:{} "
            "-servername {} {} 2>&1",
            listener_->address().port, name, options);
        std::string out;
        bool done = false;
        std::thread program([&] {
            out = output_of(command);
            loop_.post([&done] { done = true; });
        });
        const bool ended = loop_.run_until([&done] { return done; }, 30s);
        program.join();
        CHECK(ended);
        return out;
    }
    // "New, …" or "Reused, …"; "" where the handshake failed or no "pong" came.
    std::string run(const std::string& options, const std::string& name = "server.test") {
        const std::string out = output(options, name);
        if (out.find("pong") == std::string::npos) return {};
        for (const std::string_view word : {"\nNew, ", "\nReused, "}) {
            if (const size_t at = out.find(word); at != std::string::npos)
                return out.substr(at + 1);
        }
        return {};
    }

private:
    InProcessHub hub_;
    UvLoop loop_{hub_};
    std::vector<std::unique_ptr<Ponger>> pongers_;
    Acceptor acceptor_;
    std::unique_ptr<Listener> listener_;
    std::string directory_;
};

}  // namespace candela::tls::test
