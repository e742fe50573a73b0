#include "node/join.h"

#include <sys/stat.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/text.h"
#include "loop/file.h"
#include "node/api_error.h"
#include "node/profile.h"

namespace candela {

namespace {

constexpr size_t kAnswerBytesMax = 4 << 20;
constexpr size_t kAuthorityBytesMax = 1 << 20;

// The API of a lighthouse that is known by its authority.
class LighthouseApi {
public:
    LighthouseApi(Loop& loop, http::Url url, std::shared_ptr<tls::ClientContext> tls)
        : url_(std::move(url)), tls_(std::move(tls)), client_(loop) {}

    Task<Result<Json>> post(std::string path, Json body) {
        http::ClientRequest request;
        request.address = Address::tcp(url_.host, url_.port);
        request.method = "POST";
        request.target = std::move(path);
        request.headers.add("Content-Type", "application/json");
        request.headers.add("User-Agent", "candela/" CANDELA_VERSION);
        request.body = dump_json(body);
        request.tls = tls_;
        auto response = co_await client_.send(std::move(request));
        if (!response) co_return fail(response.error().in(url_.text));
        auto text = co_await response->read_all(kAnswerBytesMax);
        if (!text) co_return fail(text.error().in(url_.text));
        auto json = parse_json(*text);
        if (!json || !json->is_object()) {
            co_return fail(Code::kCorrupt, "{} does not answer as a lighthouse does", url_.text);
        }
        if (response->status() < 400) co_return json;
        co_return fail(api_error(response->status(), *text));
    }

private:
    const http::Url url_;
    std::shared_ptr<tls::ClientContext> tls_;
    http::Client client_;
};

Result<http::Url> lighthouse_url(const std::string& text) {
    CANDELA_TRY_ASSIGN(http::Url url, http::parse_url(text));
    if (!url.is_encrypted) return fail(Code::kInvalid, "{} is not encrypted", text);
    return url;
}

struct Renewing {
    Membership membership;
    NodeSecrets secrets;
    std::map<std::string, std::string> jwts;  // by role: the old ones
    std::string authority_pem;
};

// The users' keys stay, the certificate gets a new one.
Result<std::shared_ptr<Renewing>> read_for_renewal(const MembershipFiles& files) {
    auto out = std::make_shared<Renewing>();
    CANDELA_TRY_ASSIGN(out->membership, load_membership(files));
    CANDELA_TRY_ASSIGN(out->secrets, NodeSecrets::make({}));
    CANDELA_TRY_ASSIGN(out->authority_pem, read_file(files.authority, kAuthorityBytesMax));
    for (const std::string& role : out->membership.roles) {
        CANDELA_TRY_ASSIGN(auth::Credentials creds, auth::load_creds(files.creds(role)));
        out->jwts.emplace(role, std::move(creds.jwt));
        out->secrets.users.emplace(role, std::move(creds.key));
    }
    return out;
}

Json proof_of(const Renewing& renewing, const std::string& nonce) {
    Json credentials = Json::array();
    for (const auto& [role, key] : renewing.secrets.users) {
        const crypto::Signature signature = key.sign(nonce);
        credentials.push_back({{"role", role},
                               {"jwt", renewing.jwts.at(role)},
                               {"signature", base64url_encode(signature)}});
    }
    return Json{{"nonce", nonce},
                {"credentials", std::move(credentials)},
                {"tls_key", renewing.secrets.tls_public_pem}};
}

Task<Result<>> keep_on_pool(Loop& loop, MembershipFiles files,
                            std::shared_ptr<const Membership> membership,
                            std::shared_ptr<const NodeSecrets> secrets, Json admission) {
    auto work = [files, membership, secrets, admission] {
        return keep_admission(files, *membership, *secrets, admission);
    };
    auto kept = co_await offload(loop, std::move(work));
    co_return kept;
}

}  // namespace

Task<Result<JoinResult>> join_cloud(Loop& loop, auth::JoinToken token, std::string node,
                                    std::filesystem::path data_dir) {
    const MembershipFiles files(data_dir);
    auto look = [files] { return load_membership(files); };
    auto before = co_await offload(loop, std::move(look));
    if (before) {
        co_return fail(Code::kConflict,
                       "{} has the node {} already; choose another --data-dir, or remove {} to "
                       "join anew",
                       data_dir.string(), before->node, files.membership.string());
    }
    if (before.error().code() != Code::kNotFound) co_return fail(before.error());
    auto url = lighthouse_url(token.url);
    if (!url) co_return fail(url.error().in("join token"));
    tls::ClientOptions trust;
    trust.pinned_authority = token.authority_fingerprint;
    auto context = tls::ClientContext::create(trust);
    if (!context) co_return fail(context.error().in("join token"));
    LighthouseApi api(loop, std::move(*url), std::move(*context));

    auto made = NodeSecrets::make(token.roles);
    if (!made) co_return fail(made.error());
    const auto secrets = std::make_shared<const NodeSecrets>(std::move(*made));
    Json keys = Json::object();
    for (const auto& [role, key] : secrets->users) keys[role] = key.public_key();
    Json request = {{"secret", token.secret.reveal()},
                    {"node", node},
                    {"host_name", host_name()},
                    {"keys", std::move(keys)},
                    {"tls_key", secrets->tls_public_pem}};
    auto admission = co_await api.post("/v1/join", std::move(request));
    if (!admission) co_return fail(admission.error());
    JoinResult result;
    result.membership.url = token.url;
    result.membership.node = json_string_or(*admission, "node");
    result.membership.roles = token.roles;
    if (const auto bus = admission->find("bus"); bus != admission->end() && bus->is_object()) {
        result.bus_url = json_string_or(*bus, "url");
        result.trusts_authority = json_bool_or(*bus, "ca", false);
    }
    const auto membership = std::make_shared<const Membership>(result.membership);
    auto kept = co_await keep_on_pool(loop, files, membership, secrets, std::move(*admission));
    if (!kept) co_return fail(kept.error());
    co_return result;
}

Task<Result<>> renew_membership(Loop& loop, std::filesystem::path data_dir) {
    const MembershipFiles files(data_dir);
    auto read = [files] { return read_for_renewal(files); };
    auto renewing = co_await offload(loop, std::move(read));
    if (!renewing) co_return fail(renewing.error());
    const std::shared_ptr<Renewing> held = *renewing;
    CO_TRY_ASSIGN(http::Url url, lighthouse_url(held->membership.url));
    tls::ClientOptions trust;
    trust.ca_pem = held->authority_pem;
    CO_TRY_ASSIGN(std::shared_ptr<tls::ClientContext> context, tls::ClientContext::create(trust));
    LighthouseApi api(loop, std::move(url), std::move(context));

    Json empty = Json::object();
    auto challenge = co_await api.post("/v1/auth/challenge", std::move(empty));
    if (!challenge) co_return fail(challenge.error());
    Json proof = proof_of(*held, json_string_or(*challenge, "nonce"));
    std::string path = fmt::format("/v1/nodes/{}/renew", held->membership.node);
    auto admission = co_await api.post(std::move(path), std::move(proof));
    if (!admission) co_return fail(admission.error());
    std::shared_ptr<const Membership> membership(held, &held->membership);
    std::shared_ptr<const NodeSecrets> secrets(held, &held->secrets);
    auto kept = co_await keep_on_pool(loop, files, std::move(membership), std::move(secrets),
                                      std::move(*admission));
    co_return kept;
}

// ---- MembershipKeeper

namespace {

std::string stamp_of(const std::filesystem::path& file) {
    struct stat found{};
    if (::stat(file.c_str(), &found) != 0) return "";
    return fmt::format("{}:{}.{}", found.st_ino, found.st_mtim.tv_sec, found.st_mtim.tv_nsec);
}

}  // namespace

MembershipKeeper::MembershipKeeper(Loop& loop, std::filesystem::path data_dir, Logger log,
                                   std::function<void()> on_renewed)
    : loop_(loop),
      data_dir_(std::move(data_dir)),
      log_(std::move(log)),
      on_renewed_(std::move(on_renewed)),
      stamp_(stamp_of(MembershipFiles(data_dir_).certificate)) {}

void MembershipKeeper::start() { tasks_.spawn(keep()); }

Task<Result<RenewalTimes>> MembershipKeeper::times() {
    auto work = [files = MembershipFiles(data_dir_)]() -> Result<RenewalTimes> {
        CANDELA_TRY_ASSIGN(const Membership membership, load_membership(files));
        return renewal_times(files, membership);
    };
    auto times = co_await offload(loop_, std::move(work));
    co_return times;
}

Task<void> MembershipKeeper::look() {
    auto work = [file = MembershipFiles(data_dir_).certificate] { return stamp_of(file); };
    std::string stamp = co_await offload(loop_, std::move(work));
    if (stamp == stamp_) co_return;
    stamp_ = std::move(stamp);
    on_renewed_();
}

Task<Result<>> MembershipKeeper::renew(const Result<RenewalTimes>& due) {
    auto renewed = co_await renew_membership(loop_, data_dir_);
    if (renewed) {
        log_.info("membership_renewed");
    } else {
        log_.warn("membership_not_renewed", {{"error", renewed.error()},
                                             {"ends", due ? format_rfc3339(due->end) : "unknown"}});
    }
    co_return renewed;
}

Task<void> MembershipKeeper::keep() {
    Duration pause = kPauseMin;
    for (;;) {
        co_await look();
        const auto due = co_await times();
        const bool has_joined = due || due.error().code() != Code::kNotFound;
        // What can't be read is asked for anew, too.
        const Duration left = due ? due->due - loop_.wall() : Duration::zero();
        if (!has_joined || left > Duration::zero()) {
            // In pieces: the clock may be set meanwhile, and the file may change.
            const Duration nap = has_joined ? std::min(left, kPauseMax) : kPauseMax;
            co_await sleep_for(loop_, nap);
            continue;
        }
        const auto renewed = co_await renew(due);
        if (!renewed) co_await sleep_for(loop_, pause);
        pause = renewed ? kPauseMin : std::min(pause * 2, kPauseMax);
    }
}

}  // namespace candela
