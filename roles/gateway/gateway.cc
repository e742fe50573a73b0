#include "gateway.h"

#include <algorithm>
#include <utility>

#include "proto/messages.h"

namespace candela::gateway {
namespace {

// An answer that comes back to the control loop, perhaps after nobody waits for it any more.
struct OpenState {
    std::optional<Result<Address>> result;
    Completion<Done>* waiting = nullptr;
};

class OpenWait {
public:
    explicit OpenWait(std::shared_ptr<OpenState> state) : state_(std::move(state)) {
        state_->waiting = &done;
    }
    OpenWait(const OpenWait&) = delete;
    OpenWait& operator=(const OpenWait&) = delete;
    ~OpenWait() { state_->waiting = nullptr; }

    Completion<Done> done;

private:
    std::shared_ptr<OpenState> state_;
};

}  // namespace

Gateway::Gateway(NodeContext& context, const Config& config)
    : context_(context),
      settings_(read_settings(config)),
      seats_(context.loops.size()),
      alive_(std::make_shared<Gateway*>(this)),
      source_(context, [this](RouteTablePtr table) { on_table(std::move(table)); }) {
    for (size_t i = 0; i < seats_.size(); ++i) seats_[i].loop = context.loops[i];
}

Gateway::~Gateway() {
    *alive_ = nullptr;
    gauges_.clear();
    for (Seat& seat : seats_) {
        if (seat.loop == &context_.loop) {
            seat.worker->reset();
        } else {
            seat.loop->post([worker = seat.worker] { worker->reset(); });
        }
    }
}

Task<Result<>> Gateway::start() {
    source_.load();
    Address address = settings_.listen;
    for (size_t i = 0; i < seats_.size(); ++i) {
        auto bound = co_await open(i, address);
        if (!bound) co_return fail(bound.error());
        address = *bound;  // a port of 0 has become a real one, which the others share
    }
    address_ = address.to_string();
    add_gauge("candela_gateway_connections", "Client connections open.",
              &http::ProxyCounters::connections_open);
    add_gauge("candela_gateway_requests_in_flight", "Requests being answered.",
              &http::ProxyCounters::requests_in_flight);
    add_gauge("candela_gateway_requests_held", "Requests that wait for an instance.",
              &http::ProxyCounters::requests_held);
    add_gauge("candela_gateway_malformed", "Requests refused for their form since the start.",
              &http::ProxyCounters::requests_malformed);
    source_.start();
    beat_ = context_.heartbeats.add(*this);
    context_.log.info("gateway_listening", {{"address", address_}, {"workers", seats_.size()}});
    co_return Result<>();
}

Task<Result<Address>> Gateway::open(size_t index, Address address) {
    auto state = std::make_shared<OpenState>();
    OpenWait wait(state);
    Seat& seat = seats_[index];
    Loop& control = context_.loop;
    Worker::OnReport on_report = [&control, alive = alive_, index](const WorkerReport& report) {
        control.post([alive, index, report] {
            if (*alive != nullptr) (*alive)->on_report(index, report);
        });
    };
    const bool reuse_port = seats_.size() > 1;
    auto work = [state, worker = seat.worker, &context = context_, loop = seat.loop, index, address,
                 settings = settings_, table = table_, reuse_port, &control,
                 on_report = std::move(on_report)]() mutable {
        *worker = std::make_unique<Worker>(context, *loop, index, settings, std::move(on_report));
        if (table != nullptr) (*worker)->apply(table);
        auto bound = (*worker)->listen(address, reuse_port);
        control.post([state, bound = std::move(bound)]() mutable {
            if (state->waiting == nullptr) return;
            state->result.emplace(std::move(bound));
            state->waiting->complete(Done());
        });
    };
    seat.loop->post(std::move(work));
    co_await wait.done;
    co_return std::move(*state->result);
}

void Gateway::on_table(RouteTablePtr table) {
    table_ = std::move(table);
    for (Seat& seat : seats_) {
        seat.loop->post([worker = seat.worker, shared = table_] {
            if (*worker != nullptr) (*worker)->apply(shared);
        });
    }
}

void Gateway::on_report(size_t index, const WorkerReport& report) {
    seats_[index].report = report;
    context_.heartbeats.beat_soon();
}

void Gateway::add_to_heartbeat(proto::NodeHeartbeat& beat) {
    uint64_t version = UINT64_MAX;
    for (const Seat& seat : seats_) {
        version = std::min(version, seat.report.version);
        beat.busy_instances.insert(beat.busy_instances.end(), seat.report.busy.begin(),
                                   seat.report.busy.end());
    }
    beat.routes_version = version;
    std::sort(beat.busy_instances.begin(), beat.busy_instances.end());
    const auto doubled = std::unique(beat.busy_instances.begin(), beat.busy_instances.end());
    beat.busy_instances.erase(doubled, beat.busy_instances.end());
}

Task<Result<>> Gateway::reload(const Config& config) {
    Settings settings = read_settings(config);
    if (settings.listen != settings_.listen) {
        co_return fail(Code::kUnsupported, "[gateway] listen changes with a restart only");
    }
    settings_ = std::move(settings);
    for (Seat& seat : seats_) {
        seat.loop->post([worker = seat.worker, options = settings_.proxy] {
            if (*worker != nullptr) (*worker)->set_options(options);
        });
    }
    co_return Result<>();
}

Task<void> Gateway::drain(MonoTime deadline) {
    for (size_t i = 0; i < seats_.size(); ++i) {
        auto on_empty = [&control = context_.loop, alive = alive_, i] {
            control.post([alive, i] {
                if (*alive == nullptr) return;
                Gateway& self = **alive;
                self.seats_[i].is_drained = true;
                const bool all = std::all_of(self.seats_.begin(), self.seats_.end(),
                                             [](const Seat& seat) { return seat.is_drained; });
                if (all) self.drained_.set();
            });
        };
        auto begin = [worker = seats_[i].worker, on_empty = std::move(on_empty)]() mutable {
            if (*worker != nullptr) {
                (*worker)->drain(std::move(on_empty));
            } else {
                on_empty();
            }
        };
        seats_[i].loop->post(std::move(begin));
    }
    Timer timer(context_.loop.timers(), [this] { drained_.set(); });
    timer.start(deadline - context_.loop.now());
    co_await drained_.wait();
    const bool in_time = std::all_of(seats_.begin(), seats_.end(),
                                     [](const Seat& seat) { return seat.is_drained; });
    if (!in_time) context_.log.warn("drain_cut_short", {{"cause", "connections were still busy"}});
}

RoleStatus Gateway::status() const {
    RoleStatus status;
    if (address_.empty()) {
        status.detail = "opening its listeners";
    } else if (table_ == nullptr) {
        status.detail = "waits for its first routes from the lighthouse";
    } else {
        status.ready = true;
        status.detail = fmt::format("{}, {} services, routes {}", address_, table_->services().size(),
                                    source_.is_live() ? "from the lighthouse" : "as kept on disk");
    }
    return status;
}

void Gateway::add_gauge(const char* name, const char* help,
                        std::atomic<uint64_t> http::ProxyCounters::*counter) {
    gauges_.push_back(context_.metrics.sampled_gauge(name, help, {}, [this, counter] {
        uint64_t sum = 0;
        for (const Seat& seat : seats_) {
            sum += ((*seat.worker)->counters().*counter).load(std::memory_order_relaxed);
        }
        return static_cast<double>(sum);
    }));
}

}  // namespace candela::gateway
