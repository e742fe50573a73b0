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
    sublist.match("x");
    CHECK(sublist.last_was_cached());
    const uint64_t before = sublist.generation();
    const auto b = make(">");
    sublist.insert(*b);
    CHECK(sublist.generation() != before);
    CHECK(sublist.match("x").plain.size() == 2);
    CHECK(sublist.has_outdated());
    sublist.sweep();
    sublist.remove(*a);
    CHECK(sublist.match("x").plain.size() == 1);
    sublist.remove(*b);
    CHECK(sublist.match("x").empty());
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
