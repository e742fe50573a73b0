#include "bus_side.h"

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"

namespace candela::lighthouse {

namespace {

constexpr std::string_view kClaimsUpdate = "$SYS.REQ.CLAIMS.UPDATE";
constexpr Duration kPushTimeout = 5s;
constexpr Duration kPushPause = 1s;

// "candela.nodes.<node>.heartbeat": what permissions tie to a node's credential.
std::string_view token(std::string_view subject, size_t index) {
    const auto tokens = split(subject, '.');
    return index < tokens.size() ? tokens[index] : std::string_view();
}

}  // namespace

BusSide::BusSide(State& state, Accounts& accounts, Credentials& credentials, BundleStore& bundles,
                 LogStore& logs, CertificateBook& certificates, ValueDelivery& values,
                 std::unique_ptr<bus::Client> client, std::unique_ptr<bus::Client> system,
                 Logger log)
    : state_(state),
      accounts_(accounts),
      credentials_(credentials),
      bundles_(bundles),
      logs_(logs),
      certificates_(certificates),
      values_(values),
      log_(std::move(log)),
      client_(std::move(client)),
      system_(std::move(system)) {}

Result<> BusSide::start() {
    using Take = void (BusSide::*)(const bus::MessageView&);
    const std::pair<std::string_view, Take> table[] = {
        {"candela.nodes.*.heartbeat", &BusSide::on_heartbeat},
        {proto::kAssignmentsSubject, &BusSide::on_assignments},
        {proto::kRoutesSubject, &BusSide::on_routes},
        {proto::kCertificatesSubject, &BusSide::on_certificates},
        {proto::kBundleSubject, &BusSide::on_bundle},
        {proto::kCredentialSubject, &BusSide::on_credential},
        {proto::kValuesSubject, &BusSide::on_values},
        {"candela.logs.>", &BusSide::on_logs},
    };
    for (const auto& [subject, take] : table) {
        CANDELA_TRY_ASSIGN(
            auto subscription,
            client_->subscribe(subject, [this, take](const bus::MessageView& message) {
                (this->*take)(message);
            }));
        subscriptions_.push_back(std::move(subscription));
    }
    client_->on_state([this](bus::ClientState state) {
        state_.listening(state == bus::ClientState::kConnected);
    });
    // A bus that was started anew knows only what it had at its start.
    system_->on_state([this](bus::ClientState state) {
        if (state == bus::ClientState::kConnected) push_all();
    });
    if (system_->is_connected()) push_all();
    state_.listening(client_->is_connected());

    logs_.on_ack = [this](const std::string& reply, const proto::LogAck& ack) {
        if (!reply.empty()) publish(reply, proto::encode(ack));
    };
    state_.hooks.routes_changed = [this](uint64_t version) {
        publish(proto::kRoutesNudgeSubject, proto::encode(proto::Nudge(version)));
    };
    certificates_.on_changed = [this](uint64_t version) {
        publish(proto::kCertificatesNudgeSubject, proto::encode(proto::Nudge(version)));
    };
    state_.hooks.assignments_changed = [this](const std::string& node, uint64_t version) {
        publish(proto::nudge_subject(node), proto::encode(proto::Nudge(version)));
    };
    accounts_.on_changed = [this](const auth::Account& account) {
        to_push_[account.name()] = account.jwt;
        has_push_.set();
    };
    tasks_.spawn(push_forever());
    return {};
}

Task<Result<StreamPtr>> BusSide::open_tunnel(std::string subject, std::string target,
                                             Duration timeout) {
    auto opening = bus::connect_tunnel(*client_, std::move(subject), std::move(target), timeout);
    auto stream = co_await std::move(opening);
    co_return stream;
}

void BusSide::publish(std::string_view subject, std::string_view payload) {
    const auto sent = client_->publish(subject, payload);
    // Everybody pulls every ten seconds besides, and asks again for what was not answered.
    if (!sent) log_.warn("not_published", {{"subject", subject}, {"error", sent.error()}});
}

// ---- what comes in

void BusSide::on_heartbeat(const bus::MessageView& message) {
    const auto beat = proto::decode_node_heartbeat(message.payload);
    if (!beat) return log_.warn("heartbeat_refused", {{"error", beat.error()}});
    if (beat->node.empty() || token(message.subject, 2) != beat->node) {
        return log_.warn("heartbeat_refused", {{"subject", message.subject}, {"node", beat->node}});
    }
    state_.hear(*beat);
}

void BusSide::on_assignments(const bus::MessageView& message) {
    if (message.reply.empty()) return;
    proto::Assignments reply;
    const auto pull = proto::decode_assignments_pull(message.payload);
    if (pull) {
        reply = state_.assignments_for(*pull);
    } else {
        reply.failure = proto::Failure(pull.error());
    }
    publish(message.reply, proto::encode(reply));
}

void BusSide::on_routes(const bus::MessageView& message) {
    if (message.reply.empty()) return;
    proto::RouteTable reply;
    const auto pull = proto::decode_routes_pull(message.payload);
    if (pull) {
        reply = state_.routes_for(*pull);
    } else {
        reply.failure = proto::Failure(pull.error());
    }
    std::string bytes = proto::encode(reply);
    if (bytes.size() > client_->payload_max()) {
        log_.error("route_table_too_large", {{"bytes", bytes.size()}});
        proto::RouteTable refused;
        refused.failure = proto::Failure(
            Error(Code::kExhausted, fmt::format("the route table has {} bytes", bytes.size())));
        bytes = proto::encode(refused);
    }
    publish(message.reply, bytes);
}

void BusSide::on_certificates(const bus::MessageView& message) {
    if (message.reply.empty()) return;
    const auto pull = proto::decode_certificates_pull(message.payload);
    auto page =
        pull ? certificates_.page_for(*pull) : Result<proto::CertificateTable>(fail(pull.error()));
    if (!page) {
        log_.warn("certificates_refused", {{"error", page.error()}});
        proto::CertificateTable refused;
        refused.failure = proto::Failure(page.error());
        return publish(message.reply, proto::encode(refused));
    }
    publish(message.reply, proto::encode(*page));
}

void BusSide::on_bundle(const bus::MessageView& message) {
    if (message.reply.empty()) return;
    auto read = proto::decode_bundle_read(message.payload);
    if (!read || requests_.size() >= kRequestsMax) {
        proto::BundleChunk refused;
        refused.failure = proto::Failure(
            read ? Error(Code::kExhausted, "too many requests; ask again") : read.error());
        return publish(message.reply, proto::encode(refused));
    }
    requests_.spawn(answer_bundle(std::move(*read), std::string(message.reply)));
}

Task<void> BusSide::answer_bundle(proto::BundleRead read, std::string reply) {
    proto::BundleChunk chunk;
    chunk.offset = read.offset;
    auto size = co_await bundles_.size_of(read.digest);
    if (!size) {
        chunk.failure = proto::Failure(size.error());
    } else {
        chunk.total_bytes = *size;
        const uint32_t length = std::min(read.length, proto::kBundleReadBytesMax);
        auto data = co_await bundles_.read(read.digest, read.offset, length);
        if (data) {
            chunk.data = std::move(*data);
        } else {
            chunk.failure = proto::Failure(data.error());
        }
    }
    publish(reply, proto::encode(chunk));
}

void BusSide::on_credential(const bus::MessageView& message) {
    if (message.reply.empty()) return;
    auto request = proto::decode_credential_request(message.payload);
    if (!request || requests_.size() >= kRequestsMax) {
        proto::Credential refused;
        refused.failure = proto::Failure(
            request ? Error(Code::kExhausted, "too many requests; ask again") : request.error());
        return publish(message.reply, proto::encode(refused));
    }
    requests_.spawn(answer_credential(std::move(*request), std::string(message.reply)));
}

Task<void> BusSide::answer_credential(proto::CredentialRequest request, std::string reply) {
    const auto credential = co_await credentials_.answer(std::move(request));
    if (credential.failure) {
        log_.warn("credential_refused", {{"reason", credential.failure.message}});
    }
    publish(reply, proto::encode(credential));
}

void BusSide::on_values(const bus::MessageView& message) {
    if (message.reply.empty()) return;
    auto pull = proto::decode_values_pull(message.payload);
    if (!pull || requests_.size() >= kRequestsMax) {
        proto::ValueTable refused;
        refused.failure = proto::Failure(
            pull ? Error(Code::kExhausted, "too many requests; ask again") : pull.error());
        return publish(message.reply, proto::encode(refused));
    }
    requests_.spawn(answer_values(std::move(*pull), std::string(message.reply)));
}

Task<void> BusSide::answer_values(proto::ValuesPull pull, std::string reply) {
    const std::string instance = pull.instance;
    const auto table = co_await values_.answer(std::move(pull));
    if (table.failure) {
        log_.warn("values_refused", {{"instance", instance}, {"reason", table.failure.message}});
    }
    publish(reply, proto::encode(table));
}

void BusSide::on_logs(const bus::MessageView& message) {
    auto batch = proto::decode_log_batch(message.payload);
    if (!batch) return log_.warn("logs_refused", {{"error", batch.error()}});
    const auto instance = state_.wanted().instances.find(batch->instance);
    // Lines may come after their instance is forgotten; their service must be one, for its files'
    // sake.
    const bool is_known =
        state_.wanted().services.contains(ServiceKey(batch->space, batch->service));
    const bool is_anothers =
        instance != state_.wanted().instances.end() && instance->second.node != batch->node;
    if (is_known && !is_anothers) return logs_.append(std::move(*batch), message.reply);
    // Nobody wants them: their host need not keep them.
    if (batch->source.empty() || message.reply.empty() || batch->entries.empty()) return;
    proto::LogAck ack;
    ack.source = batch->source;
    ack.position = batch->first + batch->entries.size() - 1;
    publish(message.reply, proto::encode(ack));
}

// ---- accounts

void BusSide::push_all() {
    for (const std::string& name : accounts_.names()) {
        // The system account comes with the bus's own configuration.
        if (name != auth::kSystemAccount) to_push_[name] = accounts_.find(name)->jwt;
    }
    has_push_.set();
}

Task<void> BusSide::push_forever() {
    for (;;) {
        co_await has_push_.wait();
        while (!to_push_.empty()) {
            const std::string name = to_push_.begin()->first;
            const std::string jwt = to_push_.begin()->second;
            const auto pushed = co_await push(jwt);
            if (!pushed) {
                log_.warn("account_not_pushed", {{"account", name}, {"error", pushed.error()}});
                co_await sleep_for(state_.loop(), kPushPause);
                continue;
            }
            // It may have changed again meanwhile.
            const auto place = to_push_.find(name);
            if (place != to_push_.end() && place->second == jwt) to_push_.erase(place);
        }
        has_push_.reset();
        pushed_.notify();
    }
}

Task<Result<>> BusSide::push(std::string jwt) {
    auto reply =
        co_await system_->request(std::string(kClaimsUpdate), std::move(jwt), kPushTimeout);
    if (!reply) co_return fail(reply.error());
    const auto json = parse_json(reply->payload);
    if (!json) co_return fail(json.error().in("the bus's answer"));
    if (json->contains("error")) {
        co_return fail(Code::kDenied, "{}",
                       json_string_or((*json)["error"], "description", "refused"));
    }
    co_return Result<>();
}

Task<Result<>> BusSide::all_pushed() {
    while (!to_push_.empty()) co_await pushed_.wait();
    co_return Result<>();
}

Task<void> BusSide::wait_pushed(Duration timeout) {
    auto all = all_pushed();
    const auto in_time = co_await with_timeout(state_.loop(), timeout, "the bus", std::move(all));
    if (!in_time) log_.warn("accounts_wait_for_the_bus", {{"accounts", to_push_.size()}});
}

}  // namespace candela::lighthouse
