#include "instance.h"

#include <algorithm>
#include <map>

#include "base/text.h"
#include "docker_container.h"
#include "instance_note.h"
#include "network_doors.h"

namespace candela::host {

using proto::LogStream;

namespace {

Duration millis(uint64_t count) {
    return std::chrono::milliseconds(
        static_cast<int64_t>(std::min<uint64_t>(count, 1'000'000'000)));
}

InstanceMachine::Settings settings_of(const proto::InstanceSpec& spec) {
    InstanceMachine::Settings settings;
    settings.is_job = spec.kind == "job";
    settings.has_probe = spec.probe.kind != proto::ProbeKind::kNone;
    settings.probe_interval = std::max(millis(spec.probe.interval_ms), Duration(10ms));
    settings.start_timeout = std::max(millis(spec.probe.start_timeout_ms), Duration(100ms));
    settings.grace = millis(spec.stop_grace_ms);
    return settings;
}

}  // namespace

Instance::Instance(InstanceContext& context, proto::InstanceSpec spec, OnChange on_change)
    : context_(context),
      spec_(std::move(spec)),
      on_change_(std::move(on_change)),
      machine_(settings_of(spec_), context.loop.random()),
      channel_(context.logs.open_channel(
          LogSource(spec_.instance, spec_.space, spec_.service, spec_.instance, spec_.release))),
      output_([this](OutputKind kind, std::string_view line) { on_line(kind, line); }),
      phase_timer_(context.loop.timers(),
                   [this] { perform(machine_.on_timer(InstanceMachine::Timer::kPhase)); }),
      probe_timer_(context.loop.timers(),
                   [this] { perform(machine_.on_timer(InstanceMachine::Timer::kProbe)); }),
      healthy_timer_(context.loop.timers(),
                     [this] { perform(machine_.on_timer(InstanceMachine::Timer::kHealthy)); }),
      prepare_timer_(context.loop.timers(), [this] { on_prepared(); }),
      change_timer_(context.loop.timers(), [this] { on_change_(*this); }) {
    prober_ = std::make_unique<Prober>(context.loop, spec_.probe, [this](ProbeResult r) {
        perform(machine_.on_probe(r.is_well, r.answer, r.has_answered));
    });
    channel_->on_written([this](const OutputMarks& marks) { on_lines_written(marks); });
}

Instance::~Instance() { release_port(); }

void Instance::start() { perform(machine_.start()); }

void Instance::adopt(std::string_view text) {
    const InstanceNote known = parse_instance_note(text);
    running_ = context_.driver.adopt(spec_.instance, *this);
    if (running_ == nullptr) return start();
    port_ = known.port;
    if (port_ != 0) context_.ports.claim(port_);
    started_at_ms_ = known.started_at_ms;
    context_.log.info("instance_adopted", {{"instance", spec_.instance},
                                           {"service", spec_.service},
                                           {"pid", running_->pid()},
                                           {"port", port_}});
    acknowledged_.reset();
    output_.resume(known.restarts, channel_->found_marks());
    perform(machine_.adopt(known.was_ready, known.restarts));
}

void Instance::resume_ended(int exit_code) { perform(machine_.resume_ended(exit_code)); }

void Instance::refuse(std::string cause) { perform(machine_.refuse(std::move(cause))); }

void Instance::stop() { perform(machine_.stop()); }

void Instance::update(const proto::InstanceSpec& spec) {
    spec_.epoch = spec.epoch;
    spec_.draining = spec.draining;
    spec_.desired = spec.desired;
    if (spec.values != spec_.values) {
        spec_.values = spec.values;
        refresh_if_needed();
    }
    if (spec.draining) perform(machine_.set_draining());
    if (spec.desired == proto::Desired::kStop) stop();
}

// Actions may lead to events at once (a spawn that fails): those wait for their turn.
void Instance::perform(InstanceMachine::Actions actions) {
    actions_.insert(actions_.end(), actions.begin(), actions.end());
    if (is_performing_) return;
    is_performing_ = true;
    while (!actions_.empty()) {
        const InstanceMachine::Action action = actions_.front();
        actions_.pop_front();
        perform_one(action);
    }
    is_performing_ = false;
}

Timer& Instance::timer(InstanceMachine::Timer which) {
    switch (which) {
        case InstanceMachine::Timer::kProbe: return probe_timer_;
        case InstanceMachine::Timer::kHealthy: return healthy_timer_;
        default: return phase_timer_;
    }
}

void Instance::perform_one(const InstanceMachine::Action& action) {
    using Do = InstanceMachine::Do;
    switch (action.what) {
        case Do::kPrepare: tasks_.spawn(prepare()); break;
        case Do::kSpawn: spawn(); break;
        case Do::kProbe:
            prober_->start(port_, running_.get(), [this] { return start_request(); });
            break;
        case Do::kTerminate:
            prober_->cancel();
            if (running_ != nullptr) running_->terminate();
            break;
        case Do::kKill:
            prober_->cancel();
            if (running_ != nullptr) running_->kill();
            break;
        case Do::kSetTimer: timer(action.timer).start(action.delay, action.leeway); break;
        case Do::kStopTimer: timer(action.timer).stop(); break;
        case Do::kReport:
            if (running_ != nullptr) running_->set_note(note());
            change_timer_.start(Duration(0));
            break;
        case Do::kCleanUp:
            tasks_.cancel();
            progress_.clear();
            prepare_timer_.stop();
            release_port();
            context_.preparer.clean_up(spec_.instance);
            break;
    }
}

Task<void> Instance::prepare() {
    const auto on_progress = [this](std::string_view text) {
        progress_ = text;
        change_timer_.start(Duration(0));
    };
    auto result = co_await context_.preparer.prepare(spec_, on_progress);
    progress_.clear();
    prepare_result_.emplace(std::move(result));
    // What follows may end the instance, and with it this flow.
    prepare_timer_.start(Duration(0));
}

void Instance::on_prepared() {
    const auto result = std::exchange(prepare_result_, std::nullopt);
    if (!result) return;
    if (!*result) {
        // Of one that was adopted: it runs on, and the next start prepares anew.
        if (running_ != nullptr) return;
        say(fmt::format("can't be prepared: {}", result->error().message()));
        return perform(machine_.on_prepare_failed(result->error()));
    }
    prepared_ = **result;
    send_signals();
    perform(machine_.on_prepared());
    refresh_if_needed();
}

void Instance::refresh_if_needed() {
    if (is_refreshing_ || !prepared_ || prepared_->values == spec_.values || is_over()) return;
    is_refreshing_ = true;
    tasks_.spawn(refresh());
}

Task<void> Instance::refresh() {
    constexpr Duration kPauseMin = 500ms;
    constexpr Duration kPauseMax = 30s;
    Duration pause = kPauseMin;
    while (prepared_->values != spec_.values) {
        auto result = co_await context_.preparer.refresh(spec_, *prepared_);
        if (result) {
            prepared_ = std::move(*result);
            send_signals();
            continue;
        }
        context_.log.warn("values_not_refreshed",
                          {{"instance", spec_.instance}, {"error", result.error()}});
        co_await sleep_for(context_.loop, pause);
        pause = std::min(pause * 2, kPauseMax);
    }
    is_refreshing_ = false;
}

void Instance::send_signals() {
    for (const int number : std::exchange(prepared_->signals, {})) {
        if (running_ == nullptr || running_->pid() == 0) continue;
        const auto sent = running_->signal(number);
        if (sent) {
            say(fmt::format("its files have changed; it was sent signal {}", number));
        } else {
            context_.log.warn("signal_not_sent",
                              {{"instance", spec_.instance}, {"error", sent.error()}});
        }
    }
}

void Instance::release_port() {
    if (port_ != 0) context_.ports.give_back(port_);
    port_ = 0;
}

void Instance::spawn() {
    release_port();
    auto port = context_.ports.take();
    if (!port) return perform(machine_.on_spawn_failed(port.error()));
    port_ = *port;
    acknowledged_ = 0;
    output_.begin(machine_.restarts());
    auto running = context_.driver.start(start_request(), *this);
    if (!running) {
        say(fmt::format("can't be started: {}", running.error().message()));
        return perform(machine_.on_spawn_failed(running.error()));
    }
    running_ = std::move(*running);
}

void Instance::on_started(int pid) {
    started_at_ms_ = static_cast<uint64_t>(unix_millis(context_.loop.wall()));
    context_.log.info(
        "instance_started",
        {{"instance", spec_.instance}, {"service", spec_.service}, {"pid", pid}, {"port", port_}});
    perform(machine_.on_spawned());
}

void Instance::on_start_failed(const Error& error) {
    context_.loop.defer([failed = std::move(running_)]() mutable { failed.reset(); });
    say(fmt::format("can't be started: {}", error.message()));
    perform(machine_.on_spawn_failed(error));
}

std::string Instance::note() const {
    InstanceNote note;
    note.port = port_;
    note.started_at_ms = started_at_ms_;
    note.restarts = machine_.restarts();
    note.was_ready = machine_.state() == proto::InstanceState::kReady ||
                     machine_.state() == proto::InstanceState::kDraining;
    note.space = spec_.space;
    note.service = spec_.service;
    note.release = spec_.release;
    note.kind = spec_.kind;
    note.grace_ms = spec_.stop_grace_ms;
    note.bundle = spec_.bundle;
    return to_text(note);
}

StartRequest Instance::start_request() const {
    StartRequest request;
    request.instance = spec_.instance;
    request.note = note();
    request.grace = millis(spec_.stop_grace_ms);
    request.limits.memory_bytes = spec_.memory_bytes_max;
    request.limits.cpu_percent = spec_.cpu_percent_max;
    request.limits.pids = spec_.pids_max;
    request.limits.scratch_bytes = spec_.scratch_bytes_max;
    request.command = spec_.command;
    request.port = port_;
    request.has_network = !spec_.has_no_network;
    if (!request.has_network) {
        const InnerBus bus = inner_bus(context_.bus_url, port_);
        request.bus_port = bus.port;
        request.bus_name = bus.name;
    }
    if (!spec_.container.image.empty()) request.container = container_wish();
    if (spec_.kind == "static") {
        request.executable = context_.executable;
        request.command = {"candela", "serve-static", spec_.root.empty() ? "." : spec_.root};
    }
    request.environment = environment();
    if (prepared_) {
        request.directory = prepared_->bundle_folder;
        request.readable = {prepared_->bundle_folder, prepared_->credentials_folder};
        if (!prepared_->values_folder.empty()) request.readable.push_back(prepared_->values_folder);
    }
    return request;
}

Result<std::unique_ptr<Running>> Instance::run_session(const service::SessionWish& wish,
                                                       SessionFds fds,
                                                       RunningHandler& handler) const {
    if (pid() == 0) return fail(Code::kNotFound, "{} does not run", spec_.instance);
    StartRequest request = start_request();
    request.command = wish.command;
    request.executable.clear();
    if (!wish.terminal_kind.empty()) request.environment.push_back("TERM=" + wish.terminal_kind);
    return running_->run_session(request, std::move(fds), handler);
}

ContainerWish Instance::container_wish() const {
    ContainerWish wish;
    wish.image = spec_.container.image;
    wish.is_host_network = spec_.container.is_host_network;
    wish.port = static_cast<uint16_t>(spec_.container.port);
    wish.user = spec_.container.user;
    wish.is_writable = spec_.container.is_writable;
    if (prepared_) {
        wish.bundle_folder = prepared_->bundle_folder;
        wish.credentials_folder = prepared_->credentials_folder;
        wish.values_folder = prepared_->values_folder;
    }
    wish.labels = {{"candela.node", context_.node},
                   {"candela.space", spec_.space},
                   {"candela.service", spec_.service},
                   {"candela.release", std::to_string(spec_.release)}};
    return wish;
}

// What is of the machine is another in a container, which has its own.
std::map<std::string, std::string, std::less<>> Instance::place_variables() const {
    std::map<std::string, std::string, std::less<>> variables;
    const proto::ContainerSpec& container = spec_.container;
    if (container.image.empty()) {
        variables = {{"PATH", context_.path}, {"LANG", "C.UTF-8"}};
        if (!prepared_) return variables;
        variables["HOME"] = prepared_->home_folder;
        variables["TMPDIR"] = prepared_->temporary_folder;
    } else {
        variables["HOME"] = kContainerTemporary;
        variables["TMPDIR"] = kContainerTemporary;
    }
    return variables;
}

std::vector<std::string> Instance::environment() const {
    auto variables = place_variables();
    for (const proto::EnvironmentVariable& variable : spec_.env)
        variables[variable.name] = variable.value;
    // Ours come last: a service can't pretend to be another.
    const proto::ContainerSpec& container = spec_.container;
    const bool has_own_network = !container.image.empty() && !container.is_host_network;
    if (prepared_) {
        for (const std::string& variable : prepared_->environment) {
            const auto parts = split_once(variable, '=');
            if (parts) variables[std::string(parts->first)] = parts->second;
        }
        const bool in_container = !container.image.empty();
        variables["CANDELA_BUS_CREDS"] =
            in_container ? fmt::format("{}/{}", ContainerWish::kCredentialsFolder, kCredentialsFile)
                         : prepared_->credentials_file;
        if (!prepared_->values_folder.empty()) {
            variables["CANDELA_VALUES"] =
                in_container ? ContainerWish::kValuesFolder : prepared_->values_folder;
        }
    }
    variables["CANDELA_BUS_URL"] =
        spec_.has_no_network ? inner_bus(context_.bus_url, port_).url : context_.bus_url;
    variables["CANDELA_INSTANCE"] = spec_.instance;
    variables["CANDELA_NODE"] = context_.node;
    variables["CANDELA_RELEASE"] = std::to_string(spec_.release);
    variables["CANDELA_RUN_ID"] = context_.run_id;
    variables["CANDELA_SERVICE"] = spec_.service;
    variables["CANDELA_SPACE"] = spec_.space;
    // Its own loopback nobody else comes to.
    variables["HOST"] = has_own_network ? "0.0.0.0" : "127.0.0.1";
    const bool has_fixed_port = has_own_network && container.port != 0;
    variables["PORT"] = std::to_string(has_fixed_port ? container.port : port_);
    std::vector<std::string> out;
    for (const auto& [name, value] : variables) out.push_back(fmt::format("{}={}", name, value));
    return out;
}

void Instance::on_output(OutputKind kind, std::string_view bytes) { output_.feed(kind, bytes, 0); }

bool Instance::on_output_at(OutputKind kind, std::string_view bytes, uint64_t position) {
    output_.feed(kind, bytes, position);
    channel_->set_marks(output_.marks());
    // Of a keeper that ran before us, what comes first is the oldest that it has.
    if (!acknowledged_) acknowledged_ = position - std::min<uint64_t>(position, bytes.size());
    if (position < *acknowledged_ + OutputLines::kUnsafeBytesMax) return false;
    acknowledged_ = position;
    return true;
}

void Instance::on_lines_written(const OutputMarks& marks) {
    if (running_ == nullptr || marks.run != output_.marks().run) return;
    if (marks.safe <= acknowledged_.value_or(0)) return;
    acknowledged_ = marks.safe;
    running_->acknowledge(marks.safe);
}

void Instance::on_output_lost(uint64_t bytes) {
    say(fmt::format("{} bytes of output came while nobody could take them, and were dropped",
                    bytes));
}

void Instance::on_exit(const ExitStatus& status) {
    output_.finish();
    const std::string detail = std::exchange(end_detail_, std::string());
    const std::string said =
        detail.empty() ? status.to_string() : fmt::format("{} ({})", status.to_string(), detail);
    say(fmt::format("ended with {}", said));
    context_.log.info("instance_ended",
                      {{"instance", spec_.instance}, {"service", spec_.service}, {"status", said}});
    // We are within its callback: it goes when that has returned.
    context_.loop.defer([ended = std::move(running_)]() mutable { ended.reset(); });
    perform(machine_.on_exit(status, detail));
}

void Instance::on_line(OutputKind kind, std::string_view line) {
    channel_->set_marks(output_.marks());
    channel_->add(kind == OutputKind::kStdout ? LogStream::kStdout : LogStream::kStderr, line);
    if (tail_.size() == kTailLines) tail_.pop_front();
    tail_.emplace_back(line.substr(0, kTailLineMax));
}

void Instance::say(std::string_view text) {
    channel_->add(LogStream::kHost, text, LineLevel::kUnknown, "");
}

proto::InstanceStatus Instance::status() const {
    proto::InstanceStatus status;
    status.instance = spec_.instance;
    status.state = machine_.state();
    status.port = running_ != nullptr ? port_ : 0;
    status.pid = static_cast<uint32_t>(pid());
    status.restarts = machine_.restarts();
    status.last_exit = machine_.last_exit();
    const std::string& cause = progress_.empty() ? machine_.cause() : progress_;
    status.cause = cause.substr(0, proto::kTextBytesMax / 4);
    status.probe_answer = machine_.probe_answer().substr(0, proto::kNameBytesMax);
    status.exit_code = machine_.exit_code();
    status.started_at = started_at_ms_;
    status.epoch = spec_.epoch;
    if (running_ != nullptr) status.memory_bytes = running_->memory_bytes().value_or(0);
    // The lines that tell why: not of those that are well.
    const bool is_troubled =
        status.state == proto::InstanceState::kFailed ||
        (status.state == proto::InstanceState::kStarting && status.restarts > 0);
    if (is_troubled) status.log_tail.assign(tail_.begin(), tail_.end());
    return status;
}

}  // namespace candela::host
