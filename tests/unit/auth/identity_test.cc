#include "auth/identity.h"

#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <fstream>

#include "auth/creds_file.h"
#include "auth/permissions.h"

using namespace candela;
using namespace candela::auth;

namespace {

const WallTime kNow = from_unix_millis(1'700'000'000'000);

class TempFolder {
public:
    TempFolder() {
        char name[] = "/tmp/candela-auth-XXXXXX";
        path_ = ::mkdtemp(name);
    }
    ~TempFolder() { std::filesystem::remove_all(path_); }
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

std::string slurp(const std::filesystem::path& path) {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
}

void spill(const std::filesystem::path& path, std::string_view text) {
    std::ofstream(path, std::ios::trunc) << text;
}

}  // namespace

TEST_CASE("init_makes_every_file_of_an_identity_private") {
    const TempFolder temp;
    REQUIRE(init_identity(temp.path() / "data", kNow));
    const std::filesystem::path folder = temp.path() / "data" / "identity";
    for (const char* name :
         {"operator.seed", "operator.jwt", "accounts/SYS.jwt", "accounts/SYS.seed",
          "accounts/CANDELA.jwt", "accounts/CANDELA.seed", "accounts/default.jwt",
          "accounts/default.seed", "creds/bus.creds", "creds/lighthouse.creds",
          "creds/lighthouse-sys.creds", "creds/host.creds", "creds/gateway.creds",
          "creds/loadbalancer.creds", "creds/admin.creds"}) {
        INFO(name);
        struct stat status{};
        REQUIRE(::stat((folder / name).c_str(), &status) == 0);
        CHECK((status.st_mode & 0777) == 0600);
    }
    struct stat status{};
    REQUIRE(::stat(folder.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0700);
}

TEST_CASE("init_again_changes_nothing") {
    const TempFolder temp;
    REQUIRE(init_identity(temp.path(), kNow));
    const std::string operator_jwt = slurp(temp.path() / "identity/operator.jwt");
    const std::string creds = slurp(temp.path() / "identity/creds/host.creds");
    REQUIRE(init_identity(temp.path(), kNow + 1h));
    CHECK(slurp(temp.path() / "identity/operator.jwt") == operator_jwt);
    CHECK(slurp(temp.path() / "identity/creds/host.creds") == creds);
}

TEST_CASE("init_gives_the_credentials_of_an_older_candela_what_they_lack") {
    const TempFolder temp;
    const auto identity = init_identity(temp.path(), kNow);
    REQUIRE(identity);
    const std::filesystem::path file = temp.path() / "identity/creds/host.creds";
    const auto made = load_creds(file);
    REQUIRE(made);
    UserRequest old;
    old.public_key = made->key.public_key();
    old.name = "host";
    old.tags = {"node:host"};
    old.permissions = *role_permissions("host", old.public_key);
    std::erase(old.permissions.publish.allow, "candela.logs.>");
    const auto jwt = mint_user(*identity->find_account(kPlatformAccount), old, kNow);
    REQUIRE(jwt);
    spill(file, format_creds(*jwt, made->key).reveal());
    const std::string other = slurp(temp.path() / "identity/creds/gateway.creds");

    REQUIRE(init_identity(temp.path(), kNow + 1h));
    const auto renewed = load_creds(file);
    REQUIRE(renewed);
    // The same key: what the bus and others know of it stays true.
    CHECK(renewed->key.public_key() == made->key.public_key());
    const auto claims = decode_user(renewed->jwt);
    REQUIRE(claims);
    CHECK(claims->permissions == *role_permissions("host", old.public_key));
    CHECK(claims->tags == old.tags);
    CHECK(slurp(temp.path() / "identity/creds/gateway.creds") == other);
}

TEST_CASE("init_completes_what_a_crash_left") {
    const TempFolder temp;
    REQUIRE(init_identity(temp.path(), kNow));
    const std::filesystem::path folder = temp.path() / "identity";
    std::filesystem::remove(folder / "operator.jwt");
    std::filesystem::remove(folder / "accounts/default.jwt");
    std::filesystem::remove(folder / "creds/host.creds");
    REQUIRE(init_identity(temp.path(), kNow));
    const Result<Identity> identity = load_identity(temp.path());
    REQUIRE(identity);
    CHECK(identity->accounts.size() == 3);
    CHECK(load_creds(folder / "creds/host.creds"));
    CHECK(identity->operator_claims.system_account ==
          identity->find_account(kSystemAccount)->public_key());
}

TEST_CASE("role_credentials_chain_to_the_operator") {
    const TempFolder temp;
    const Result<Identity> identity = init_identity(temp.path(), kNow);
    REQUIRE(identity);
    const auto creds = load_creds(temp.path() / "identity/creds/gateway.creds");
    REQUIRE(creds);
    const Result<UserClaims> user = decode_user(creds->jwt);
    REQUIRE(user);
    const Account* account = identity->find_account_by_key(user->account());
    REQUIRE(account != nullptr);
    CHECK(account->name() == kPlatformAccount);
    CHECK(account->claims.find_signing_key(user->issuer) != nullptr);
    CHECK(identity->operator_claims.may_sign_accounts(account->claims.issuer));
    CHECK(user->limits == UserLimits{});
}

TEST_CASE("damaged_identities_name_the_file") {
    const TempFolder temp;
    REQUIRE(init_identity(temp.path(), kNow));
    const std::filesystem::path folder = temp.path() / "identity";
    SECTION("no identity") {
        CHECK(load_identity(temp.path() / "x").error().code() == Code::kNotFound);
    }
    SECTION("a jwt of another cloud's account") {
        const TempFolder other;
        REQUIRE(init_identity(other.path(), kNow));
        for (const char* name : {"default.jwt", "default.seed"}) {
            std::filesystem::copy_file(other.path() / "identity/accounts" / name,
                                       folder / "accounts" / name,
                                       std::filesystem::copy_options::overwrite_existing);
        }
        const Result<Identity> refused = load_identity(temp.path());
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code() == Code::kCorrupt);
        CHECK(refused.error().message().find("default.jwt") != std::string::npos);
    }
    SECTION("rubbish") {
        spill(folder / "operator.seed", "rubbish");
        CHECK(load_identity(temp.path()).error().code() == Code::kCorrupt);
        CHECK(init_identity(temp.path(), kNow).error().code() == Code::kCorrupt);
        CHECK(slurp(folder / "operator.seed") == "rubbish");
    }
}

TEST_CASE("roles_may_do_what_they_need_and_no_more") {
    const std::string me = KeyPair::generate(KeyKind::kUser).public_key();
    const PermissionSet host(*role_permissions("host", me, "h1"));
    CHECK(host.may_publish("candela.nodes.h1.heartbeat"));
    CHECK_FALSE(host.may_publish("candela.nodes.h2.heartbeat"));
    CHECK_FALSE(host.may_publish("candela.nodes.h1.nudge"));
    CHECK(host.may_publish("candela.logs.default.hello.hello-1"));
    CHECK(host.may_subscribe("candela.tunnel.h1"));
    CHECK_FALSE(host.may_subscribe("candela.tunnel.h2"));
    CHECK_FALSE(host.may_subscribe("candela.lighthouse.credential"));
    CHECK(host.may_subscribe("_INBOX." + me + ".>"));
    CHECK_FALSE(host.may_subscribe("_INBOX.>"));
    const PermissionSet gateway(*role_permissions("gateway", me));
    CHECK(gateway.may_publish("candela.tunnel.h1"));
    CHECK(gateway.may_publish("candela.logs.default.hello.gateway"));
    CHECK_FALSE(gateway.may_publish("candela.lighthouse.assignments"));
    CHECK(gateway.may_publish("candela.lighthouse.certificates"));
    CHECK(gateway.may_subscribe("candela.certificates.nudge"));
    CHECK_FALSE(host.may_publish("candela.lighthouse.certificates"));
    const PermissionSet lighthouse(*role_permissions("lighthouse", me));
    CHECK(lighthouse.may_subscribe("candela.lighthouse.*"));
    CHECK(lighthouse.may_publish("candela.nodes.h1.nudge"));
    const PermissionSet admin(*role_permissions("admin", me));
    CHECK_FALSE(admin.may_publish("candela.routes.nudge"));
    CHECK_FALSE(role_permissions("nobody", me));
}

TEST_CASE("accounts_are_made_saved_and_removed") {
    const TempFolder temp;
    const Result<Identity> identity = init_identity(temp.path(), kNow);
    Account shop = *make_account(identity->operator_key, "shop", kNow);
    REQUIRE(save_account(temp.path(), shop));
    CHECK(load_identity(temp.path())->find_account("shop")->public_key() == shop.public_key());
    REQUIRE(remove_account(temp.path(), "shop"));
    CHECK(load_identity(temp.path())->find_account("shop") == nullptr);
    CHECK_FALSE(make_account(identity->operator_key, "../etc", kNow));
    CHECK_FALSE(make_account(identity->operator_key, "", kNow));
}

TEST_CASE("a_revoked_user_may_be_admitted_again_with_a_newer_credential") {
    const TempFolder temp;
    const Result<Identity> identity = init_identity(temp.path(), kNow);
    Account shop = *make_account(identity->operator_key, "shop", kNow);
    const KeyPair user = KeyPair::generate(KeyKind::kUser);
    REQUIRE(revoke_user(shop, user.public_key(), identity->operator_key, kNow));
    const Result<AccountClaims> claims = decode_account(shop.jwt);
    CHECK(claims->is_revoked(user.public_key(), unix_seconds(kNow)));
    CHECK_FALSE(claims->is_revoked(user.public_key(), unix_seconds(kNow) + 1));
    CHECK_FALSE(revoke_user(shop, "*", identity->operator_key, kNow));
}
