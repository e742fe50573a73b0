#include "acme_order.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "acme_jws.h"
#include "base/encoding.h"
#include "base/text.h"
#include "tls/acme_certificates.h"

namespace candela::lighthouse {

namespace {

// Keeps an answer on the board for as long as the flow that waits for it lives.
struct Shown {
    ChallengeBoard& board;
    std::string token;
    Shown(ChallengeBoard& b, std::string t) : board(b), token(std::move(t)) {}
    Shown(const Shown&) = delete;
    Shown& operator=(const Shown&) = delete;
    ~Shown() { board.hide(token); }
};

// "unauthorized: …", of the "error" in an order or a challenge.
std::string error_in(const Json& json) {
    const auto error = json.find("error");
    if (error == json.end() || !error->is_object()) return "";
    std::string type = json_string_or(*error, "type");
    const size_t colon = type.rfind(':');
    if (colon != std::string::npos) type.erase(0, colon + 1);
    return printable(fmt::format("{}: {}", type, json_string_or(*error, "detail")), 600);
}

// Between two looks at what the server has still to do: longer each time, as it wishes.
class Pace {
public:
    explicit Pace(Loop& loop) : deadline_(loop.now() + AcmeOrder::kPollDeadline) {}
    bool is_over(MonoTime now) const { return now >= deadline_; }
    Duration next(std::optional<Duration> wished) {
        const Duration pause =
            std::clamp(wished.value_or(pause_), AcmeOrder::kPollMin, AcmeOrder::kPollMax);
        pause_ = std::min(pause_ * 2, AcmeOrder::kPollMax);
        return pause;
    }

private:
    MonoTime deadline_;
    Duration pause_ = AcmeOrder::kPollMin;
};

}  // namespace

AcmeOrder::AcmeOrder(Loop& loop, AcmeClient& client, ChallengeBoard& board, std::string kind,
                     Save save)
    : loop_(loop), client_(client), board_(board), kind_(std::move(kind)), save_(std::move(save)) {}

Task<Result<tls::KeyPair>> AcmeOrder::run(OrderProgress& progress) {
    auto order = co_await begin(progress);
    if (!order) co_return fail(order.error());
    if (order->status == "pending") {
        for (const std::string& url : order->authorizations) {
            auto authorized = co_await authorize(url, progress.host);
            if (!authorized) {
                // A failed authorization ends its order (RFC 8555 §7.1.6).
                if (authorized.error().code() == Code::kInvalid) progress.order_url.clear();
                co_return fail(authorized.error());
            }
        }
        order = co_await poll(progress, "pending");
        if (!order) co_return fail(order.error());
    }
    if (order->status == "ready") {
        CO_TRY_ASSIGN(const std::string request,
                      tls::make_signing_request({progress.host}, progress.key_pem));
        Json wanted = Json::object();
        wanted["csr"] = base64url_encode(as_bytes(request));
        std::string payload = dump_json(wanted);
        std::string url = order->finalize;
        auto reply = co_await client_.post(std::move(url), std::move(payload));
        if (!reply) co_return fail(reply.error().in("finalizing the order"));
        order = co_await poll(progress, "ready");
        if (!order) co_return fail(order.error());
    }
    if (order->status == "processing") {
        order = co_await poll(progress, "processing");
        if (!order) co_return fail(order.error());
    }
    if (order->status != "valid") {
        progress.order_url.clear();
        const std::string why = order->error.empty() ? order->status : order->error;
        co_return fail(Code::kInvalid, "the order failed: {}", printable(why, 600));
    }
    std::string url = order->certificate;
    auto pair = co_await download(std::move(url), progress);
    // Good or not, it has brought what it can.
    if (pair || pair.error().code() == Code::kInvalid) progress.order_url.clear();
    co_return pair;
}

// ---- orders

Result<AcmeOrder::Order> AcmeOrder::read_order(const AcmeReply& reply) const {
    const auto json = parse_json(reply.body);
    if (!json || !json->is_object()) return fail(Code::kInvalid, "an order that is not JSON");
    Order order;
    CANDELA_TRY_ASSIGN(order.status, json_string(*json, "status"));
    CANDELA_TRY_ASSIGN(order.finalize, json_string(*json, "finalize"));
    order.certificate = json_string_or(*json, "certificate");
    order.error = error_in(*json);
    order.retry_after = reply.retry_after;
    const auto list = json->find("authorizations");
    if (list == json->end() || !list->is_array() || list->size() > kAuthorizationsMax) {
        return fail(Code::kInvalid, "an order for one name with a strange list of authorizations");
    }
    for (const Json& item : *list) {
        if (!item.is_string()) return fail(Code::kInvalid, "an authorization without an address");
        order.authorizations.push_back(item.get<std::string>());
    }
    return order;
}

Task<Result<AcmeOrder::Order>> AcmeOrder::fetch(std::string url) {
    auto reply = co_await client_.post(std::move(url), "");
    if (!reply) co_return fail(reply.error());
    co_return read_order(*reply);
}

Task<Result<AcmeOrder::Order>> AcmeOrder::begin(OrderProgress& progress) {
    if (!progress.order_url.empty()) {
        auto order = co_await fetch(progress.order_url);
        if (order && order->status != "invalid") co_return order;
        if (!order && order.error().code() != Code::kInvalid) co_return fail(order.error());
        progress.order_url.clear();  // the server has forgotten it, or it has failed
    }
    CO_TRY_ASSIGN(tls::SigningRequest request, tls::make_signing_request({progress.host}));
    Json identifier = Json::object();
    identifier["type"] = "dns";
    identifier["value"] = progress.host;
    Json wanted = Json::object();
    wanted["identifiers"] = Json::array({identifier});
    std::string payload = dump_json(wanted);
    std::string url = client_.new_order_url();
    auto reply = co_await client_.post(std::move(url), std::move(payload));
    if (!reply) co_return fail(reply.error().in("a new order"));
    auto order = read_order(*reply);
    if (!order) co_return fail(order.error());
    if (reply->location.empty()) co_return fail(Code::kInvalid, "the new order has no address");
    progress.order_url = reply->location;
    progress.key_pem = std::move(request.key_pem);
    auto saved = co_await save_(progress);
    if (!saved) co_return fail(saved.error());
    co_return order;
}

// Until the order is no longer what it was.
Task<Result<AcmeOrder::Order>> AcmeOrder::poll(OrderProgress& progress, std::string while_status) {
    Pace pace(loop_);
    for (;;) {
        auto order = co_await fetch(progress.order_url);
        if (!order || order->status != while_status) co_return order;
        if (pace.is_over(loop_.now())) {
            co_return fail(Code::kConflict, "the order is still {} after {}", while_status,
                           format_duration(kPollDeadline));
        }
        co_await sleep_for(loop_, pace.next(order->retry_after));
    }
}

// ---- authorizations

Task<Result<>> AcmeOrder::authorize(std::string url, std::string host) {
    auto reply = co_await client_.post(url, "");
    if (!reply) co_return fail(reply.error().in("an authorization"));
    const auto json = parse_json(reply->body);
    if (!json || !json->is_object()) {
        co_return fail(Code::kInvalid, "an authorization that is not JSON");
    }
    const std::string status = json_string_or(*json, "status");
    if (status == "valid") co_return Result<>();
    if (status != "pending") {
        co_return fail(Code::kInvalid, "the authorization is {}", printable(status, 40));
    }
    const auto identifier = json->find("identifier");
    if (identifier == json->end() || json_string_or(*identifier, "value") != host) {
        co_return fail(Code::kInvalid, "an authorization for another name than {}", host);
    }
    const auto challenges = json->find("challenges");
    const Json* chosen = nullptr;
    if (challenges != json->end() && challenges->is_array()) {
        for (const Json& challenge : *challenges) {
            const std::string type = json_string_or(challenge, "type");
            if (type == kind_) chosen = &challenge;
            const bool is_possible = type == "http-01" || type == "tls-alpn-01";
            if (chosen == nullptr && is_possible) chosen = &challenge;
        }
    }
    if (chosen == nullptr) {
        co_return fail(Code::kInvalid, "the server offers neither http-01 nor tls-alpn-01 for {}",
                       host);
    }
    Json copy = *chosen;
    auto proved = co_await prove(std::move(copy), std::move(url), std::move(host));
    co_return proved;
}

Task<Result<>> AcmeOrder::prove(Json challenge, std::string authorization_url, std::string host) {
    CO_TRY_ASSIGN(const std::string token, json_string(challenge, "token"));
    CO_TRY_ASSIGN(std::string challenge_url, json_string(challenge, "url"));
    // It becomes a part of a path and of a message to gateways.
    if (!is_base64url(token, kTokenBytesMax)) {
        co_return fail(Code::kInvalid, "a challenge's token has other characters than it may have");
    }
    proto::Challenge answer;
    answer.host = host;
    answer.token = token;
    answer.key_authorization = token + "." + thumbprint_of(client_.key());
    const Shown shown(board_, token);
    CO_TRY(co_await board_.show(std::move(answer)));
    // Before a restart it may have been told already (RFC 8555 §7.1.6).
    if (json_string_or(challenge, "status") != "processing") {
        auto triggered = co_await client_.post(std::move(challenge_url), "{}");
        if (!triggered) co_return fail(triggered.error().in("a challenge"));
    }
    Pace pace(loop_);
    for (;;) {
        auto reply = co_await client_.post(authorization_url, "");
        if (!reply) co_return fail(reply.error().in("an authorization"));
        const auto json = parse_json(reply->body);
        const std::string status = json ? json_string_or(*json, "status") : "";
        if (status == "valid") co_return Result<>();
        if (status != "pending" && status != "processing") {
            std::string why;
            const auto challenges = json ? json->find("challenges") : Json::const_iterator();
            if (json && challenges != json->end() && challenges->is_array()) {
                for (const Json& item : *challenges) {
                    if (why.empty()) why = error_in(item);
                }
            }
            co_return fail(Code::kInvalid, "{} by {}: {}", host, json_string_or(challenge, "type"),
                           why.empty() ? "the authorization is " + printable(status, 40) : why);
        }
        if (pace.is_over(loop_.now())) {
            co_return fail(Code::kConflict, "{} was not validated within {}", host,
                           format_duration(kPollDeadline));
        }
        co_await sleep_for(loop_, pace.next(reply->retry_after));
    }
}

// ---- the certificate

Task<Result<tls::KeyPair>> AcmeOrder::download(std::string url, const OrderProgress& progress) {
    if (url.empty()) co_return fail(Code::kInvalid, "the order is valid but has no certificate");
    auto reply = co_await client_.post(std::move(url), "", "application/pem-certificate-chain");
    if (!reply) co_return fail(reply.error().in("the certificate"));
    tls::KeyPair pair;
    pair.certificate_pem = std::move(reply->body);
    pair.key_pem = progress.key_pem.clone();
    const auto info = tls::check_key_pair(pair, loop_.wall());
    if (!info) {
        co_return fail(Code::kInvalid, "the server's certificate: {}", info.error().message());
    }
    if (!tls::covers(*info, progress.host)) {
        co_return fail(Code::kInvalid, "the server's certificate is for {}, not for {}",
                       join(info->names, ", "), progress.host);
    }
    co_return pair;
}

}  // namespace candela::lighthouse
