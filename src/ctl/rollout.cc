#include "ctl/rollout.h"

#include <map>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/show.h"
#include "ctl/table.h"
#include "ctl/verb.h"
#include "loop/flow.h"

namespace candela::ctl {

namespace {

constexpr Duration kPollInterval = 150ms;

// "1 ready, 1 starting of release 3; 2 ready of release 2".
std::string describe(const Json& instances, uint64_t number) {
    std::map<uint64_t, std::map<std::string, int>, std::greater<>> by_release;
    std::string doing;  // what one of the new ones is at
    for (const Json& item : instances) {
        const InstanceView view = instance_view(item);
        if (view.state != "exited") ++by_release[view.release][view.state];
        if (view.release == number && view.state == "pending") doing = view.cause;
    }
    if (!by_release.contains(number)) by_release[number];
    std::string out;
    for (const auto& [release, states] : by_release) {
        std::string counts;
        for (const auto& [state, count] : states) {
            counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", count, state);
        }
        if (counts.empty()) counts = "nothing yet";
        if (release == number && !doing.empty())
            counts += fmt::format(" ({})", printable(doing, 200));
        out += fmt::format("{}release {}: {}", out.empty() ? "" : "; ", release, counts);
    }
    return out;
}

class Progress {
public:
    Progress(Session& session, std::string service)
        : session_(session), service_(std::move(service)), began_(session.loop.now()) {}

    void show(const std::string& what) {
        if (session_.terminal.is_live()) {
            const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(took()).count();
            session_.terminal.live(fmt::format("{}  {}  {}s", service_, what, seconds));
        } else if (what != last_) {
            session_.terminal.note(fmt::format("{}: {}", service_, what));
        }
        last_ = what;
    }
    Duration took() const { return session_.loop.now() - began_; }

private:
    Session& session_;
    const std::string service_;
    const MonoTime began_;
    std::string last_;
};

int conclude(Session& session, const std::string& service, const Json& json, Duration took) {
    const ReleaseView release = release_view(json);
    Terminal& terminal = session.terminal;
    terminal.end_live();
    if (session.json) terminal.out_json(json);
    const auto seconds = std::chrono::duration<double>(took).count();
    if (release.state == "done") {
        const std::string text =
            fmt::format("{} release {} is serving ({:.1f}s)", service, release.number, seconds);
        if (!session.json) terminal.out(terminal.paint(Style::kGreen, text) + "\n");
        return kOk;
    }
    if (release.state == "superseded") {
        terminal.note(
            fmt::format("{} release {} was superseded by a newer one", service, release.number));
        return kConflict;
    }
    const bool is_back = release.state == "rolled_back";
    terminal.note(terminal.paint_note(
        Style::kRed, fmt::format("{} release {} {}", service, release.number,
                                 is_back ? "was rolled back: the release before serves on"
                                         : "failed, and there is no release to go back to")));
    explain_failure(session, service, release);
    return kRolledBack;
}

// It goes on when somebody says so: there is nothing to wait for.
int wait_for_person(Session& session, const std::string& service, const Json& json) {
    const ReleaseView release = release_view(json);
    session.terminal.end_live();
    if (session.json) {
        session.terminal.out_json(json);
    } else {
        session.terminal.out(fmt::format("{} release {} {}\n", service, release.number,
                                         release.paused ? "is paused" : "is well, and waits"));
    }
    session.terminal.note(fmt::format("try: candela ctl {} {}, or candela ctl rollback {}",
                                      release.paused ? "resume" : "promote", service, service));
    return kOk;
}

}  // namespace

Task<Result<int>> follow_rollout(Session& session, std::string service, uint64_t number,
                                 Duration timeout) {
    Progress progress(session, service);
    const std::string release_path =
        fmt::format("{}/releases/{}", service_path(session.space, service), number);
    const std::string instances_path = fmt::format("/v1/spaces/{}/instances?service={}",
                                                   path_part(session.space), path_part(service));
    std::string waiting;
    for (;;) {
        auto release = co_await session.api.get(release_path);
        if (!release) co_return fail(release.error());
        if (release_view(*release).is_final()) {
            co_return conclude(session, service, *release, progress.took());
        }
        if (release_view(*release).waits_for_promotion || release_view(*release).paused) {
            co_return wait_for_person(session, service, *release);
        }
        auto instances = co_await session.api.get(instances_path);
        if (!instances) co_return fail(instances.error());
        waiting = release_view(*release).waiting;
        std::string what = describe(list_of(*instances, "instances"), number);
        if (!waiting.empty()) what += fmt::format(" ({})", printable(waiting, 200));
        progress.show(what);
        if (progress.took() >= timeout) break;
        co_await sleep_for(session.loop, kPollInterval);
    }
    session.terminal.end_live();
    session.terminal.note(
        fmt::format("{} release {} is still rolling after {}; it goes on by itself", service,
                    number, format_duration(timeout)));
    if (!waiting.empty())
        session.terminal.note(fmt::format("  waiting  {}", printable(waiting, 2000)));
    session.terminal.note(fmt::format("try: candela ctl releases {}", service));
    co_return kStillGoing;
}

}  // namespace candela::ctl
