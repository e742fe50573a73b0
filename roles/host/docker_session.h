#pragma once

// A program that runs in a container for a person; for DockerDriver alone. The engine has its input
// and output in one stream: what it sends goes to the descriptors of the session, and what comes on
// those to the engine. A terminal within the container is the engine's; that of the descriptors
// only passes keys and text on, and is raw for that.

#include <optional>
#include <string>

#include "docker_driver.h"
#include "docker_stream.h"
#include "loop/flow.h"

namespace candela::host {

class DockerDriver::Session final : public Running {
public:
    Session(DockerDriver& driver, std::string container, RunningHandler& handler);
    ~Session() override;

    Result<> start(const StartRequest& request, SessionFds fds);

    int pid() const override { return 0; }
    void terminate() override { kill(); }
    // With all that it has started, by a mark in their environment, as far as we may.
    void kill() override;
    void set_note(std::string_view) override {}
    void set_window(uint16_t rows, uint16_t columns) override;
    Result<std::unique_ptr<Running>> run_beside(const StartRequest&, RunningHandler&) override {
        return fail(Code::kUnsupported, "this runs beside another already");
    }

    static constexpr size_t kQueueBytesMax = 256 * 1024;  // in each direction
    // How often we look whether a program has ended whose output somebody else holds open.
    static constexpr Duration kLookInterval = 2s;

private:
    // The engine's stream.
    struct Engine final : StreamHandler {
        explicit Engine(Session& s) : session(s) {}
        void on_data(std::string_view bytes) override { session.take(bytes); }
        void on_end() override { session.over_.set(); }
        void on_error(const Error& error) override { session.break_off(error); }
        void on_drained() override;

        Session& session;
        StreamPtr stream;
    };
    // One of the session's descriptors.
    struct End final : StreamHandler {
        explicit End(Session& s) : session(s) {}
        void on_data(std::string_view bytes) override { session.on_input(bytes); }
        void on_end() override { session.on_input_end(); }
        // The person has gone: whoever holds us ends us soon.
        void on_error(const Error&) override {
            is_open = false;
            session.on_taken();
        }
        void on_drained() override { session.on_taken(); }
        size_t queued() const { return is_open ? stream->queued_bytes() : 0; }

        Session& session;
        StreamPtr stream;
        bool is_open = false;
    };

    Task<void> run(std::string body);
    Task<Result<ExitStatus>> run_to_end(std::string body);
    Task<Result<ExitStatus>> ask_status();
    Task<void> watch();
    Task<void> resize();
    Result<> open(End& end, Fd fd);
    void take(std::string_view bytes);
    void write(End& end, std::string_view bytes);
    void on_input(std::string_view bytes);
    void on_input_end();
    void on_taken();
    void break_off(const Error& error);
    size_t queued_output() const { return in_.queued() + out_.queued() + err_.queued(); }

    DockerDriver& driver_;
    std::string container_;
    RunningHandler& handler_;
    std::string mark_;  // "CANDELA_SESSION=…"
    std::string exec_;
    bool is_terminal_ = false;
    bool is_killed_ = false;
    bool is_resizing_ = false;
    std::optional<std::pair<uint16_t, uint16_t>> window_;  // to be told: rows, columns
    DockerFrames frames_;
    Engine engine_;
    End in_;  // of a terminal all three
    End out_;
    End err_;
    Event over_;   // nothing more comes from the engine
    Event taken_;  // by the person
    std::optional<Error> broken_;
    std::optional<Result<ExitStatus>> result_;
    Timer later_;
    TaskGroup tasks_;  // last: its flows use the rest
};

}  // namespace candela::host
