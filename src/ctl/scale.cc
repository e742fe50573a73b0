// `candela ctl scale SERVICE N`, `stop SERVICE` (to zero) and `delete SERVICE`.

#include <set>

#include <nlohmann/json.hpp>

#include "ctl/api_model.h"
#include "ctl/show.h"
#include "ctl/verb.h"
#include "loop/flow.h"
#include "service/manifest.h"

namespace candela::ctl {

namespace {

constexpr Duration kTimeoutDefault = 2min;
constexpr Duration kPollInterval = 150ms;
// In the middle of an update more may be ready than were asked for (a canary has one at least):
// then as soon as nothing changes any more for so many looks.
constexpr int kLooksWithoutChange = 5;

// Waits until as many instances are ready as were asked for, and no more are left.
Task<Result<int>> wait_for_count(Session& session, std::string service, uint64_t wanted,
                                 Duration timeout) {
    const MonoTime end = session.loop.now() + timeout;
    const std::string path = fmt::format("/v1/spaces/{}/instances?service={}",
                                         path_part(session.space), path_part(service));
    uint64_t ready_before = 0;
    int looks = 0;
    while (session.loop.now() < end) {
        auto answer = co_await session.api.get(path);
        if (!answer) co_return fail(answer.error());
        uint64_t ready = 0;
        uint64_t others = 0;
        std::set<uint64_t> releases;
        for (const Json& item : list_of(*answer, "instances")) {
            const InstanceView view = instance_view(item);
            if (view.state == "ready") {
                ++ready;
                releases.insert(view.release);
            } else if (view.state != "exited" && view.state != "failed") {
                ++others;
            }
        }
        const bool is_update = releases.size() > 1 && wanted > 0 && ready > wanted;
        looks = is_update && others == 0 && ready == ready_before ? looks + 1 : 0;
        ready_before = ready;
        if ((ready == wanted && others == 0) || looks == kLooksWithoutChange) {
            session.terminal.end_live();
            co_return kOk;
        }
        session.terminal.live(
            fmt::format("{}  {} of {} ready, {} on their way", service, ready, wanted, others));
        co_await sleep_for(session.loop, kPollInterval);
    }
    session.terminal.end_live();
    session.terminal.note(fmt::format("{}: not there after {}; it goes on by itself", service,
                                      format_duration(timeout)));
    session.terminal.note(fmt::format("try: candela ctl instances {}", service));
    co_return kStillGoing;
}

Task<Result<int>> scale_to(Session& session, Arguments arguments, uint64_t count) {
    auto timeout = arguments.duration("--timeout", kTimeoutDefault);
    if (!timeout) co_return fail(timeout.error());
    const std::string service = arguments.text("SERVICE");
    Json wanted = {{"instances", count}};
    auto answer = co_await session.api.post(service_path(session.space, service) + "/scale",
                                            std::move(wanted));
    if (!answer) co_return fail(answer.error());
    int code = kOk;
    if (!arguments.has("--detach")) {
        auto waited = co_await wait_for_count(session, service, count, *timeout);
        if (!waited) co_return fail(waited.error());
        code = *waited;
    }
    if (session.json) {
        session.terminal.out_json(*answer);
    } else if (code == kOk) {
        session.terminal.out(
            fmt::format("{}: {} instance{}\n", service, count, count == 1 ? "" : "s"));
    }
    co_return code;
}

Task<Result<int>> run_scale(Session& session, Arguments arguments) {
    auto count = arguments.number("INSTANCES", 1, 0, service::kInstancesMax);
    if (!count) co_return fail(count.error());
    auto scaled = co_await scale_to(session, std::move(arguments), *count);
    co_return scaled;
}

Task<Result<int>> run_stop(Session& session, Arguments arguments) {
    auto scaled = co_await scale_to(session, std::move(arguments), 0);
    co_return scaled;
}

Task<Result<int>> run_delete(Session& session, Arguments arguments) {
    const std::string service = arguments.text("SERVICE");
    auto answer = co_await session.api.remove(service_path(session.space, service));
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        const Json done = {{"space", session.space}, {"service", service}, {"deleted", true}};
        session.terminal.out_json(done);
    } else {
        session.terminal.note(
            fmt::format("{} is being deleted: its instances drain and stop", service));
    }
    co_return kOk;
}

std::vector<VerbOption> wait_options() {
    return {{"--timeout", "", "TIME", "How long to wait (2m)"},
            {"--detach", "", "", "Do not wait"}};
}

}  // namespace

Verb scale_verb() {
    return Verb{"",
                "scale",
                "Sets how many instances a service has",
                {{"SERVICE", "Its name."}, {"INSTANCES", "How many; 0 stops it."}},
                wait_options(),
                true,
                run_scale};
}
Verb stop_verb() {
    return Verb{"",
                "stop",
                "Stops a service's instances; scale starts them again",
                {{"SERVICE", "Its name."}},
                wait_options(),
                true,
                run_stop};
}
Verb delete_verb() {
    return Verb{
        "",   "delete",  "Deletes a service with its releases", {{"SERVICE", "Its name."}}, {},
        true, run_delete};
}

}  // namespace candela::ctl
