// `candela ctl port-forward INSTANCE [LOCAL]`: a port of this machine leads to the instance's own,
// wherever it runs, until Ctrl-C. Each connection is one of the API's, and is audited.

#include <list>

#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/verb.h"
#include "loop/flow.h"
#include "loop/relay.h"

namespace candela::ctl {

namespace {

constexpr size_t kConnectionsMax = 64;  // at once; more are closed

Task<void> carry(Session& session, StreamPtr local, std::string path) {
    auto joining = session.api.join(std::move(path));
    auto joined = co_await std::move(joining);
    if (!joined) {
        const std::string message = joined.error().message();
        session.terminal.note(fmt::format("refused: {}", message.substr(0, message.find('\n'))));
        co_return;
    }
    Relay relay(session.loop, std::move(joined->stream), std::move(local),
                std::move(joined->first_bytes));
    // However it ends: the program on this side has seen it.
    static_cast<void>(co_await relay.wait());
}

Task<Result<int>> run(Session& session, Arguments arguments) {
    const std::string instance = arguments.text("INSTANCE");
    auto port = arguments.number("LOCAL", 0, 0, 65'535);
    if (!port) co_return fail(port.error());
    const std::string path = fmt::format("/v1/spaces/{}/instances/{}/forward",
                                         path_part(session.space), path_part(instance));
    // Before anybody connects: whether it is there, takes connections, and lets us.
    {
        auto joining = session.api.join(path);
        auto first = co_await std::move(joining);
        if (!first) co_return fail(first.error());
    }
    TaskGroup connections;
    auto accept = [&session, &connections, path](StreamPtr stream) {
        if (connections.size() >= kConnectionsMax) return;  // closes it
        connections.spawn(carry(session, std::move(stream), path));
    };
    ListenOptions options;
    auto listener = session.loop.listen(Address::tcp("127.0.0.1", static_cast<uint16_t>(*port)),
                                        options, std::move(accept));
    if (!listener) co_return fail(listener.error());
    session.terminal.out(
        fmt::format("{} is at {}\n", instance, (*listener)->address().to_string()));
    session.terminal.note("Ctrl-C ends it");
    Event never;
    co_await never.wait();
    co_return kOk;
}

}  // namespace

Verb port_forward_verb() {
    return Verb{"",
                "port-forward",
                "A port of this machine that leads to an instance's",
                {{"INSTANCE", "Its name, as ctl instances lists it."},
                 {"LOCAL", "The port on 127.0.0.1; a free one.", false}},
                {},
                true,
                run};
}

}  // namespace candela::ctl
