#include "credentials.h"

#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>

#include "auth/claims.h"
#include "auth/creds_file.h"
#include "loop/sim_loop.h"
#include "temp_folder.h"

namespace candela::host {
namespace {

// A lighthouse that issues what it is asked for.
struct Issuing : CredentialIssuer {
    virtual ~Issuing() = default;
    test::TempFolder folder;
    SimWorld world{3};
    SimLoop& loop = world.add_loop("host");
    auth::KeyPair account = auth::KeyPair::generate(auth::KeyKind::kAccount);
    std::vector<proto::CredentialRequest> requests;
    Duration lifetime = 1h;
    std::optional<Error> error;
    std::unique_ptr<Credentials> credentials;

    Credentials& make() {
        credentials = std::make_unique<Credentials>(loop, *this, "node-1", Logger());
        return *credentials;
    }
    Task<Result<proto::Credential>> issue(proto::CredentialRequest request) override {
        requests.push_back(request);
        if (error) co_return fail(*error);
        auth::UserClaims claims;
        claims.subject = request.public_key;
        claims.name = request.instance;
        claims.expires_at = unix_seconds(loop.wall() + lifetime);
        proto::Credential credential;
        credential.jwt = auth::encode_user(claims, account, loop.wall()).value();
        credential.expires_at = static_cast<uint64_t>(claims.expires_at) * 1000;
        co_return credential;
    }
    static Task<void> provide_into(Credentials& credentials, std::filesystem::path file,
                                   std::optional<Result<>>& out) {
        CredentialFile where;
        where.path = std::move(file);
        auto result = co_await credentials.provide("hello-1", "default", std::move(where));
        out.emplace(std::move(result));
    }
    Result<> provide() {
        std::optional<Result<>> out;
        TaskGroup tasks;
        tasks.spawn(provide_into(*credentials, file(), out));
        REQUIRE(world.run_until([&] { return out.has_value(); }, 10min));
        return *out;
    }
    std::filesystem::path file() const { return folder / "bus.creds"; }
};

TEST_CASE_METHOD(Issuing, "an_instance_gets_a_private_file_that_any_client_reads") {
    make();
    REQUIRE(provide().has_value());
    REQUIRE(requests.size() == 1);
    CHECK(requests[0].node == "node-1");
    CHECK(requests[0].instance == "hello-1");
    CHECK(requests[0].space == "default");
    const auto creds = auth::load_creds(file());
    REQUIRE(creds.has_value());
    CHECK(creds->key.public_key() == requests[0].public_key);
    struct stat status{};
    REQUIRE(stat(file().c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE_METHOD(Issuing, "a_credential_is_renewed_in_place_before_it_ends") {
    make();
    REQUIRE(provide().has_value());
    const auto first = auth::load_creds(file());
    world.run_for(lifetime / 2 + Credentials::kRenewInterval);
    CHECK(requests.size() == 2);
    const auto second = auth::load_creds(file());
    CHECK(second->key.public_key() == first->key.public_key());
    CHECK(second->jwt != first->jwt);
    credentials->forget("hello-1");
    world.run_for(lifetime * 2);
    CHECK(requests.size() == 2);
}

TEST_CASE_METHOD(Issuing, "what_can_not_be_had_now_comes_later") {
    make();
    error = Error(Code::kUnreachable, "the bus is away");
    CHECK(provide().error().code() == Code::kUnreachable);
    CHECK_FALSE(std::filesystem::exists(file()));
    error.reset();
    world.run_for(Credentials::kRenewInterval * 2);
    CHECK(auth::load_creds(file()).has_value());
}

TEST_CASE_METHOD(Issuing, "a_restarted_host_uses_on_what_is_still_good") {
    make();
    REQUIRE(provide().has_value());
    const auto first = auth::load_creds(file());
    make();
    REQUIRE(provide().has_value());
    CHECK(requests.size() == 1);
    CHECK(auth::load_creds(file())->jwt == first->jwt);
    world.run_for(lifetime);
    make();
    REQUIRE(provide().has_value());
    CHECK(requests.size() >= 2);
}

TEST_CASE_METHOD(Issuing, "a_refusal_is_an_error") {
    make();
    error = Error(Code::kDenied, "no such instance");
    const auto result = provide();
    CHECK(result.error().code() == Code::kDenied);
    CHECK(result.error().message() == "bus credential: no such instance");
}

}  // namespace
}  // namespace candela::host
