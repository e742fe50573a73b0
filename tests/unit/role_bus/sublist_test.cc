#include "sublist.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>

#include "auth/permissions.h"
#include "base/random.h"

using namespace candela;
using namespace candela::bus_role;

namespace {

std::unique_ptr<Subscription> make(std::string subject, std::string queue = {}) {
    auto subscription = std::make_unique<Subscription>();
    subscription->subject = std::move(subject);
    subscription->queue = std::move(queue);
    return subscription;
}

std::vector<const Subscription*> sorted(const Matches& matches) {
    std::vector<const Subscription*> out(matches.plain.begin(), matches.plain.end());
    for (const auto& group : matches.queues) out.insert(out.end(), group.begin(), group.end());
    std::sort(out.begin(), out.end());
    return out;
}

}  // namespace

TEST_CASE("a_sublist_agrees_with_matching_one_by_one") {
    const uint64_t seed = 7;
    INFO("seed " << seed);
    SeededRandom random(seed);
    const auto token = [&](bool may_be_wild) {
        static const char* const tokens[] = {"a", "b", "c", "*", "*"};
        return std::string(tokens[random.below(may_be_wild ? 5 : 3)]);
    };
    const auto subject = [&](bool may_be_wild) {
        std::string out = token(may_be_wild);
        for (uint64_t i = random.below(3); i > 0; --i) out += "." + token(may_be_wild);
        if (may_be_wild && random.below(4) == 0) out += ".>";
        return out;
    };
    Sublist sublist;
    std::vector<std::unique_ptr<Subscription>> held;
    for (int round = 0; round < 3000; ++round) {
        if (held.size() < 40 || random.below(2) == 0) {
            held.push_back(make(subject(true), random.below(3) == 0 ? "q" : ""));
            sublist.insert(*held.back());
        } else {
            const size_t victim = random.below(held.size());
            sublist.remove(*held[victim]);
            held.erase(held.begin() + static_cast<ptrdiff_t>(victim));
        }
        const std::string wanted = subject(false);
        std::vector<const Subscription*> expected;
        for (const auto& subscription : held) {
            if (auth::subject_matches(subscription->subject, wanted)) {
                expected.push_back(subscription.get());
            }
        }
        std::sort(expected.begin(), expected.end());
        for (int again = 0; again < 3; ++again) REQUIRE(sorted(sublist.match(wanted)) == expected);
        if (round % 50 == 0) sublist.sweep();
    }
    for (const auto& subscription : held) sublist.remove(*subscription);
    CHECK(sublist.size() == 0);
}

TEST_CASE("groups_of_one_name_are_one_group") {
    Sublist sublist;
    const auto a = make("x.*", "q"), b = make("x.y", "q"), c = make("x.y", "other");
    for (const auto* each : {&a, &b, &c}) sublist.insert(**each);
    const Matches& matches = sublist.match("x.y");
    CHECK(matches.queues.size() == 2);
    for (const auto* each : {&a, &b, &c}) sublist.remove(**each);
}

TEST_CASE("only_subjects_used_again_are_cached_and_changes_are_seen") {
    Sublist sublist;
    const auto a = make("x");
    sublist.insert(*a);
    sublist.match("x");
    CHECK_FALSE(sublist.last_was_cached());
    const Matches& kept = sublist.match("x");
    CHECK(sublist.last_was_cached());
    CHECK(sublist.is_current(kept));
    const uint64_t before = sublist.generation();
    const auto b = make(">");
    sublist.insert(*b);
    CHECK_FALSE(sublist.is_current(kept));
    CHECK(sublist.match("x").plain.size() == 2);
    CHECK(sublist.has_outdated());
    CHECK(sublist.generation() == before);
    CHECK_FALSE(sublist.is_current(kept));
    sublist.sweep();
    CHECK(sublist.generation() != before);
    sublist.remove(*a);
    CHECK(sublist.match("x").plain.size() == 1);
    sublist.remove(*b);
    CHECK(sublist.match("x").empty());
}

TEST_CASE("a_subscription_outdates_no_more_than_it_may_change") {
    Sublist sublist;
    // The subjects' tokens may share a bucket by chance; never all of them.
    const auto is_kept = [&](const std::string& pattern, std::string_view subject) {
        const auto subscription = make(pattern);
        sublist.match(subject);
        const Matches& kept = sublist.match(subject);
        REQUIRE(sublist.last_was_cached());
        sublist.insert(*subscription);
        const bool is_current = sublist.is_current(kept);
        sublist.remove(*subscription);
        return is_current;
    };
    size_t kept = 0;
    for (int i = 0; i < 20; ++i) {
        const std::string id = std::to_string(i);
        kept += is_kept("_INBOX." + id + ".*", "orders.new") ? 1 : 0;
        kept += is_kept("orders." + id + ".>", "orders.new") ? 1 : 0;
        kept += is_kept("other" + id + ".*.x", "orders.new") ? 1 : 0;
        CHECK(is_kept("orders.new" + id, "orders.new"));
        CHECK(is_kept("orders", "orders.new"));
        CHECK_FALSE(is_kept("orders.new", "orders.new"));
        CHECK_FALSE(is_kept("orders.*", "orders.new"));
        CHECK_FALSE(is_kept("orders.>", "orders.new"));
        CHECK_FALSE(is_kept("*.new", "orders.new"));
        CHECK_FALSE(is_kept(">", "orders"));
        CHECK_FALSE(is_kept("*", "orders"));
        CHECK_FALSE(is_kept("a.b.*", "a.b.c"));
    }
    CHECK(kept >= 45);
}

TEST_CASE("what_is_kept_of_results_is_bounded") {
    MatchCache cache;
    std::vector<std::unique_ptr<Matches>> out;
    const auto subscription = make("s.*");
    const KeyedHash hash = KeyedHash::from_system();
    const auto subject = [](int i) { return "s." + std::to_string(i); };
    size_t dropped = 0;
    for (int i = 0; i < 2000; ++i) {
        auto matches = std::make_unique<Matches>();
        matches->plain.assign(1000, subscription.get());
        cache.put(hash(subject(i)), subject(i), std::move(matches), out);
        dropped += out.size();
        out.clear();
    }
    size_t kept = 0;
    for (int i = 0; i < 2000; ++i) kept += cache.find(hash(subject(i)), subject(i)) ? 1 : 0;
    CHECK(kept > 0);
    CHECK(kept <= MatchCache::kReceiversMax / 1000);
    CHECK(kept + dropped == 2000);
}

TEST_CASE("large_results_are_not_kept") {
    Sublist sublist;
    std::vector<std::unique_ptr<Subscription>> held;
    for (int i = 0; i < 1024; ++i) {
        held.push_back(make(">", i % 2 == 0 ? "" : "q" + std::to_string(i)));
        sublist.insert(*held.back());
    }
    sublist.match("s");
    CHECK(sublist.match("s").receivers() == 1024);
    CHECK(sublist.last_was_cached());
    held.push_back(make("*"));
    sublist.insert(*held.back());
    for (int again = 0; again < 3; ++again) {
        CHECK(sublist.match("s").receivers() == 1025);
        CHECK_FALSE(sublist.last_was_cached());
    }
    for (const auto& subscription : held) sublist.remove(*subscription);
    CHECK(sublist.match("s").empty());
}

TEST_CASE("the_least_used_results_make_room_for_others") {
    Sublist sublist;
    const auto a = make("s.*");
    sublist.insert(*a);
    const auto look = [&](int i) { sublist.match("s." + std::to_string(i)); };
    const int count = static_cast<int>(MatchCache::kEntriesMax) * 2;
    for (int i = 0; i < count; ++i) {
        look(i);
        look(i);
        look(0);
        REQUIRE((i == 0 || sublist.last_was_cached()));
        sublist.sweep();
    }
    size_t kept = 0;
    for (int i = 0; i < count; ++i) {
        look(i);
        kept += sublist.last_was_cached() ? 1 : 0;
    }
    CHECK(kept > MatchCache::kEntriesMax / 2);
    CHECK(kept <= MatchCache::kEntriesMax);
    sublist.remove(*a);
}

// Each of these was once quadratic: with so many, a test that has become so again does not end.
TEST_CASE("many_queues_sids_and_tokens_cost_no_more_each") {
    Sublist sublist;
    std::vector<std::unique_ptr<Subscription>> held;
    for (int i = 0; i < 60'000; ++i) {
        const std::string id = std::to_string(i);
        held.push_back(make("one.subject", "queue" + id));
        held.push_back(make("one.*", "queue" + id));
        held.push_back(make("many." + id + ".*"));
    }
    for (const auto& subscription : held) sublist.insert(*subscription);
    CHECK(sublist.match("one.subject").queues.size() == 60'000);
    CHECK(sublist.match("many.77.x").plain.size() == 1);
    for (const auto& subscription : held) sublist.remove(*subscription);
    CHECK(sublist.size() == 0);
    CHECK(sublist.match("one.subject").empty());
}

TEST_CASE("subjects_with_empty_tokens_match_nothing") {
    Sublist sublist;
    const auto all = make(">");
    sublist.insert(*all);
    for (const char* bad : {"", ".", "a.", ".a", "a..b"}) {
        for (int again = 0; again < 3; ++again) CHECK(sublist.match(bad).empty());
    }
    CHECK(sublist.match("foo.*").plain.size() == 1);
    sublist.remove(*all);
}
