#include "sessions.h"

#include <utility>

#include "base/text.h"
#include "loop/move_stream.h"
#include "session_ends.h"

namespace candela::host {

using service::SessionFrame;

class Sessions::Session final : private StreamHandler, private RunningHandler {
public:
    Session(Sessions& sessions, StreamPtr person)
        : sessions_(sessions),
          person_(std::move(person)),
          out_(*this, SessionFrame::kStdout),
          err_(*this, SessionFrame::kStderr),
          in_(*this),
          later_(sessions.loop_.timers(), [this] { sessions_.end(*this); }) {}

    void begin(const std::string& target) {
        if (sessions_.size() > kSessionsMax) {
            person_->start(*this);
            return give_up(Error(Code::kExhausted,
                                 fmt::format("{} sessions are open on this host", kSessionsMax)));
        }
        // First where what the person writes goes to: it may have come already.
        const auto begun = run(target);
        person_->start(*this);
        if (!begun) give_up(begun.error());
    }

private:
    // What the program writes, on its way to the person.
    struct Output final : StreamHandler {
        Output(Session& s, SessionFrame f) : session(s), frame(f) {}
        void on_data(std::string_view bytes) override { session.send(frame, bytes); }
        // Of a terminal, which is one stream in both directions: its input was taken.
        void on_drained() override { session.person_->resume(); }
        void on_end() override { ended(); }
        // EIO is how a terminal ends when nobody has its other side any more.
        void on_error(const Error&) override { ended(); }
        void ended() {
            is_open = false;
            session.conclude();
        }

        Session& session;
        SessionFrame frame;
        StreamPtr stream;
        bool is_open = false;
    };
    // What the person writes, on its way to the program.
    struct Input final : StreamHandler {
        explicit Input(Session& s) : session(s) {}
        void on_data(std::string_view) override {}
        void on_end() override {}
        // The program reads no more: what comes for it is dropped.
        void on_error(const Error&) override { is_open = false; }
        void on_drained() override {
            if (is_ending) return session.close_input();
            session.person_->resume();
        }

        Session& session;
        StreamPtr stream;
        bool is_open = false;
        bool is_ending = false;
    };

    Result<> run(const std::string& target) {
        CANDELA_TRY_ASSIGN(const service::SessionWish wish, service::parse_session_wish(target));
        const Instance* const instance = sessions_.find_(wish.instance);
        if (instance == nullptr)
            return fail(Code::kNotFound, "{} is not on this host", printable(wish.instance));
        CANDELA_TRY_ASSIGN(SessionEnds ends,
                           wish.has_terminal ? make_terminal(wish.window) : make_pipes());
        is_terminal_ = ends.is_terminal;
        CANDELA_TRY(take(std::move(ends)));
        RunningHandler& self = *this;
        CANDELA_TRY_ASSIGN(running_, instance->run_session(wish, std::move(program_), self));
        return {};
    }

    Result<> take(SessionEnds ends) {
        program_ = std::move(ends.program);
        Loop& loop = sessions_.loop_;
        if (is_terminal_) {
            CANDELA_TRY_ASSIGN(terminal_, copy(ends.input));
            // One stream in both directions.
            CANDELA_TRY_ASSIGN(out_.stream, adopt_unix_socket(loop, std::move(ends.input)));
            out_.is_open = true;
            out_.stream->start(out_);
            return {};
        }
        CANDELA_TRY_ASSIGN(in_.stream, adopt_unix_socket(loop, std::move(ends.input)));
        CANDELA_TRY_ASSIGN(out_.stream, adopt_unix_socket(loop, std::move(ends.output)));
        CANDELA_TRY_ASSIGN(err_.stream, adopt_unix_socket(loop, std::move(ends.errors)));
        in_.is_open = out_.is_open = err_.is_open = true;
        // Reading one's own end for writing fails at once: only its queue is of interest.
        in_.stream->start(in_);
        in_.stream->pause();
        out_.stream->start(out_);
        err_.stream->start(err_);
        return {};
    }

    static Result<Fd> copy(const Fd& fd) {
        Fd made(dup(fd.get()));
        if (made.get() < 0) return fail_errno("copying a terminal", errno);
        return made;
    }

    void send(SessionFrame type, std::string_view payload = {}) {
        frame_.clear();
        service::add_session_frame(frame_, type, payload);
        person_->write(frame_);
        if (person_->queued_bytes() <= kQueueBytesMax) return;
        for (Output* output : {&out_, &err_}) {
            if (output->stream) output->stream->pause();
        }
    }

    // ---- the person

    void on_data(std::string_view bytes) override {
        reader_.add(bytes);
        SessionFrame type{};
        std::string_view payload;
        for (;;) {
            const auto next = reader_.next(type, payload);
            if (!next) return give_up(next.error());
            if (!*next) return;
            on_frame(type, payload);
        }
    }
    void on_frame(SessionFrame type, std::string_view payload) {
        switch (type) {
            case SessionFrame::kInput: return write_input(payload);
            case SessionFrame::kInputEnd:
                in_.is_ending = true;
                if (in_.stream && in_.stream->queued_bytes() == 0) close_input();
                return;
            case SessionFrame::kResize:
                if (is_terminal_) resize(payload);
                return;
            default: return;
        }
    }
    void resize(std::string_view payload) {
        service::WindowSize window;
        window.rows = service::session_number16(payload, 0);
        window.columns = service::session_number16(payload, 1);
        // A terminal that is gone needs no size.
        static_cast<void>(set_window(terminal_.get(), window));
        if (running_) running_->set_window(window.rows, window.columns);
    }
    void write_input(std::string_view bytes) {
        const bool is_open = is_terminal_ ? out_.is_open : in_.is_open && !in_.is_ending;
        if (!is_open) return;
        Stream& stream = is_terminal_ ? *out_.stream : *in_.stream;
        stream.write(bytes);
        if (stream.queued_bytes() <= kQueueBytesMax) return;
        person_->pause();
    }
    void close_input() {
        in_.is_open = false;
        // From a timer of the loop's: we may be within its callback.
        sessions_.loop_.defer([closing = std::move(in_.stream)]() mutable { closing.reset(); });
    }
    void on_drained() override {
        if (is_concluded_) return;
        for (Output* output : {&out_, &err_}) {
            if (output->is_open) output->stream->resume();
        }
    }
    void on_end() override { later_.start(Duration(0)); }
    void on_error(const Error&) override { later_.start(Duration(0)); }

    // ---- the program

    void on_started(int pid) override {
        sessions_.log_.info("session_started", {{"pid", pid}});
        send(SessionFrame::kStarted);
    }
    void on_start_failed(const Error& error) override {
        sessions_.loop_.defer([failed = std::move(running_)]() mutable { failed.reset(); });
        give_up(error);
    }
    void on_output(OutputKind, std::string_view) override {}
    void on_output_lost(uint64_t) override {}
    void on_exit(const ExitStatus& status) override {
        status_ = status;
        sessions_.loop_.defer([ended = std::move(running_)]() mutable { ended.reset(); });
        conclude();
    }

    // Once it has ended and all that it wrote is on its way.
    void conclude() {
        if (!status_ || out_.is_open || err_.is_open || is_concluded_) return;
        send(SessionFrame::kExit, service::session_numbers32(status_->code, status_->signal));
        finish();
    }
    void give_up(const Error& error) {
        if (is_concluded_) return;
        send(SessionFrame::kFailed, error.message());
        finish();
    }
    // The person ends its side when it has read all; where it does not, the tunnel breaks.
    void finish() {
        is_concluded_ = true;
        person_->resume();
        person_->end();
    }

    friend class Sessions;

    Sessions& sessions_;
    StreamPtr person_;
    service::SessionReader reader_;
    std::string frame_;
    SessionFds program_;
    Output out_;
    Output err_;
    Input in_;
    Timer later_;
    Fd terminal_{-1};
    std::optional<ExitStatus> status_;
    bool is_terminal_ = false;
    bool is_concluded_ = false;
    std::unique_ptr<Running> running_;  // last: it calls us no more once it is gone
};

Sessions::Sessions(Loop& loop, FindInstance find, OnBuild on_build, Logger log)
    : loop_(loop), find_(std::move(find)), on_build_(std::move(on_build)), log_(std::move(log)) {}

Sessions::~Sessions() = default;

Result<> Sessions::start(bus::Client& client, std::string_view node) {
    bus::TunnelOptions options;
    options.streams_max = kSessionsMax + kRefusalsMax;
    CANDELA_TRY_ASSIGN(listener_, bus::TunnelListener::create(
                                      client, fmt::format("candela.exec.{}", node),
                                      [this](StreamPtr stream, std::string target) {
                                          accept(std::move(stream), target);
                                      },
                                      log_, options));
    return {};
}

void Sessions::accept(StreamPtr stream, const std::string& target) {
    if (const auto build = service::parse_build_target(target))
        return on_build_(std::move(stream), *build);
    sessions_.push_back(std::make_unique<Session>(*this, std::move(stream)));
    sessions_.back()->begin(target);
}

void Sessions::end(Session& session) {
    std::erase_if(sessions_, [&](const auto& each) { return each.get() == &session; });
}

}  // namespace candela::host
