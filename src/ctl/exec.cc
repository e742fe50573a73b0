// `candela ctl exec INSTANCE -- CMD…`: runs a program within an instance's walls, on whatever host
// that is. On a terminal where standard input is one; otherwise with three pipes. The program's
// exit status is ours.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/text.h"
#include "ctl/local_terminal.h"
#include "ctl/own_stream.h"
#include "ctl/verb.h"
#include "loop/fd.h"
#include "loop/flow.h"
#include "loop/process.h"

namespace candela::ctl {

namespace {

using service::SessionFrame;

constexpr size_t kQueueBytesMax = 256 * 1024;  // in each direction, beyond the kernel's
constexpr int kSignalBase = 128;               // as shells say it

// Between the stream into the instance and our own three descriptors.
class ExecFlow final : private StreamHandler {
public:
    ExecFlow(Session& session, StreamPtr remote) : session_(session), remote_(std::move(remote)) {}

    Task<Result<int>> run(std::string first_bytes) {
        CO_TRY(open_own());
        reader_.add(first_bytes);
        remote_->start(*this);
        read_frames();
        Completion<Result<int>>& end = end_;
        auto ended = co_await end;
        input_.cancel();
        // What was written is still on its way to who reads us.
        while (out_.is_behind() || err_.is_behind()) {
            drained_.reset();
            co_await drained_.wait();
        }
        if (failed_file_) co_return fail(*failed_file_);
        co_return ended;
    }
    void resize() {
        const service::WindowSize window = window_size();
        send(SessionFrame::kResize, service::session_numbers16(window.rows, window.columns));
    }
    void stop(int signal_number) { end_.complete(kSignalBase + signal_number); }

private:
    struct Own final : StreamHandler {
        Own(ExecFlow& f, int n) : flow(f), fd(n) {}
        void on_data(std::string_view bytes) override { flow.on_input(bytes); }
        void on_end() override { flow.on_input_end(); }
        void on_error(const Error&) override { flow.on_own_error(*this); }
        void on_drained() override { flow.on_own_drained(); }
        bool is_behind() const {
            return stream && stream->is_open() && stream->stream().queued_bytes() > 0;
        }

        ExecFlow& flow;
        const int fd;
        mutable std::optional<OwnStream> stream;  // absent of a file
    };

    Result<> open_own() {
        for (Own* own : {&out_, &err_, &in_}) {
            auto opened = OwnStream::open(session_.loop, own->fd);
            if (opened)
                own->stream.emplace(std::move(*opened));
            else if (opened.error().code() != Code::kUnsupported && own != &in_)
                return fail(opened.error());
        }
        // They tell when what was written is taken; what they might say is of no interest.
        for (Own* own : {&out_, &err_}) {
            if (!own->stream) continue;
            own->stream->stream().start(*own);
            own->stream->stream().pause();  // a terminal could be read, too
        }
        if (in_.stream)
            in_.stream->stream().start(in_);
        else
            input_.spawn(read_file());
        return {};
    }
    // Standard input that is a file: what can be read at once.
    Task<void> read_file() {
        for (;;) {
            auto read_some = [] {
                std::string bytes(service::kSessionFrameMax, '\0');
                const ssize_t count = ::read(STDIN_FILENO, bytes.data(), bytes.size());
                bytes.resize(count > 0 ? static_cast<size_t>(count) : 0);
                return bytes;
            };
            const std::string bytes = co_await offload(session_.loop, std::move(read_some));
            if (bytes.empty()) break;
            send(SessionFrame::kInput, bytes);
            while (remote_->queued_bytes() > kQueueBytesMax) {
                taken_.reset();
                co_await taken_.wait();
            }
        }
        on_input_end();
    }

    void send(SessionFrame type, std::string_view payload = {}) {
        std::string frame;
        service::add_session_frame(frame, type, payload);
        remote_->write(frame);
    }

    // ---- ours
    void on_input(std::string_view bytes) {
        send(SessionFrame::kInput, bytes);
        if (remote_->queued_bytes() > kQueueBytesMax) in_.stream->stream().pause();
    }
    void on_input_end() { send(SessionFrame::kInputEnd); }
    void on_own_error(Own& own) {
        if (&own == &in_) return on_input_end();
        // Whoever read what the program writes is gone (`| head`).
        own.stream->close();
        if (end_.is_complete()) return drained_.set();
        end_.complete(kSignalBase + SIGPIPE);
    }
    void on_own_drained() {
        if (end_.is_complete()) return drained_.set();
        remote_->resume();
    }

    // ---- the instance's
    void on_data(std::string_view bytes) override {
        reader_.add(bytes);
        read_frames();
    }
    void read_frames() {
        SessionFrame type{};
        std::string_view payload;
        while (!end_.is_complete()) {
            const auto next = reader_.next(type, payload);
            if (!next) return end_.complete(fail(next.error()));
            if (!*next) return;
            switch (type) {
                case SessionFrame::kStdout: write(out_, payload); break;
                case SessionFrame::kStderr: write(err_, payload); break;
                case SessionFrame::kExit: {
                    const int code = service::session_number32(payload, 0);
                    const int by = service::session_number32(payload, 1);
                    return end_.complete(by != 0 ? kSignalBase + by : code);
                }
                case SessionFrame::kFailed:
                    return end_.complete(fail(Code::kInternal, "{}", printable(payload, 2000)));
                default: break;
            }
        }
    }
    void write(Own& own, std::string_view bytes) {
        if (!own.stream) return write_file(own.fd, bytes);
        if (!own.stream->is_open()) return;
        own.stream->stream().write(bytes);
        if (own.stream->stream().queued_bytes() > kQueueBytesMax) remote_->pause();
    }
    void write_file(int fd, std::string_view bytes) {
        if (failed_file_) return;
        const auto written = write_all(fd, bytes, "standard output");
        if (!written) failed_file_ = written.error();
    }
    void on_drained() override {
        taken_.set();
        if (in_.stream && in_.stream->is_open()) in_.stream->stream().resume();
    }
    void on_end() override {
        end_.complete(fail(Code::kUnreachable, "the connection into the instance ended"));
    }
    void on_error(const Error& error) override { end_.complete(fail(error)); }

    Session& session_;
    StreamPtr remote_;
    service::SessionReader reader_;
    Own in_{*this, STDIN_FILENO};
    Own out_{*this, STDOUT_FILENO};
    Own err_{*this, STDERR_FILENO};
    Event drained_;  // something of ours
    Event taken_;    // what we sent
    std::optional<Error> failed_file_;
    Completion<Result<int>> end_;
    TaskGroup input_;  // last: it uses the others
};

std::string exec_path(const Session& session, const std::string& instance,
                      const std::vector<std::string>& command, bool has_terminal) {
    std::string path = fmt::format("/v1/spaces/{}/instances/{}/exec?", path_part(session.space),
                                   path_part(instance));
    for (const std::string& word : command) path += fmt::format("argument={}&", path_part(word));
    if (!has_terminal) return path + "terminal=0";
    const service::WindowSize window = window_size();
    const char* kind = std::getenv("TERM");
    return path + fmt::format("terminal=1&rows={}&columns={}&kind={}", window.rows, window.columns,
                              path_part(kind != nullptr ? kind : "xterm"));
}

Task<Result<int>> run(Session& session, Arguments arguments) {
    const bool has_terminal = stdin_is_terminal() && !arguments.has("--no-terminal");
    std::vector<std::string> command = arguments.list("COMMAND");
    if (command.empty()) command = {"/bin/sh"};
    std::string path = exec_path(session, arguments.text("INSTANCE"), command, has_terminal);
    auto joining = session.api.join(std::move(path));
    auto joined = co_await std::move(joining);
    if (!joined) co_return fail(joined.error());
    std::optional<RawTerminal> raw;
    if (has_terminal) {
        auto made = RawTerminal::make();
        if (!made) co_return fail(made.error());
        raw.emplace(std::move(*made));
    }
    ExecFlow flow(session, std::move(joined->stream));
    std::vector<std::unique_ptr<SignalWatcher>> watchers;
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        auto watcher =
            SignalWatcher::watch(session.loop, number, [&flow, number] { flow.stop(number); });
        if (watcher) watchers.push_back(std::move(*watcher));
    }
    if (has_terminal) {
        auto watcher = SignalWatcher::watch(session.loop, SIGWINCH, [&flow] { flow.resize(); });
        if (watcher) watchers.push_back(std::move(*watcher));
    }
    auto running = flow.run(std::move(joined->first_bytes));
    auto ended = co_await std::move(running);
    co_return ended;
}

}  // namespace

Verb exec_verb() {
    return Verb{"",
                "exec",
                "Runs a program within an instance's walls; a shell where none is named",
                {{"INSTANCE", "Its name, as ctl instances lists it."},
                 {"COMMAND", "The program and its arguments, behind --.", false, true}},
                {{"--no-terminal", "-T", "", "Pipes, though standard input is a terminal"}},
                true,
                run};
}

}  // namespace candela::ctl
