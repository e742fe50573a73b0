#include "auth/permissions.h"

#include <catch2/catch_test_macros.hpp>

using namespace candela::auth;

TEST_CASE("patterns_match_subjects_token_by_token") {
    CHECK(subject_matches("foo.bar", "foo.bar"));
    CHECK(subject_matches("foo.*", "foo.bar"));
    CHECK(subject_matches("*.*", "foo.bar"));
    CHECK(subject_matches("foo.>", "foo.bar.baz"));
    CHECK(subject_matches(">", "foo"));
    CHECK_FALSE(subject_matches("foo.>", "foo"));
    CHECK_FALSE(subject_matches("foo.*", "foo"));
    CHECK_FALSE(subject_matches("foo.*", "foo.bar.baz"));
    CHECK_FALSE(subject_matches("foo*", "foobar"));
    CHECK_FALSE(subject_matches("foo", "foo.bar"));
}

TEST_CASE("patterns_contain_and_overlap_patterns") {
    CHECK(pattern_contains("foo.>", "foo.*"));
    CHECK(pattern_contains("foo.>", "foo.>"));
    CHECK(pattern_contains("foo.*", "foo.bar"));
    CHECK_FALSE(pattern_contains("foo.*", "foo.>"));
    CHECK_FALSE(pattern_contains("foo.bar", "foo.*"));
    CHECK(patterns_overlap("foo.*", "*.bar"));
    CHECK(patterns_overlap("foo.bar", "foo.>"));
    CHECK(patterns_overlap(">", "a.b"));
    CHECK_FALSE(patterns_overlap("foo.*", "bar.*"));
    CHECK_FALSE(patterns_overlap("foo.*", "foo.a.b"));
}

TEST_CASE("without_rules_everything_is_allowed") {
    const PermissionSet set((Permissions()));
    CHECK(set.may_publish("any.thing"));
    CHECK(set.may_subscribe(">"));
    CHECK_FALSE(set.needs_delivery_check(">"));
}

TEST_CASE("deny_wins_over_allow") {
    Permissions permissions;
    permissions.publish.allow = {"a.>"};
    permissions.publish.deny = {"a.secret", "a.x.*"};
    const PermissionSet set(permissions);
    CHECK(set.may_publish("a.b"));
    CHECK_FALSE(set.may_publish("a.secret"));
    CHECK_FALSE(set.may_publish("a.x.y"));
    CHECK_FALSE(set.may_publish("b"));
}

TEST_CASE("a_wildcard_subscription_must_lie_within_what_is_allowed") {
    Permissions permissions;
    permissions.subscribe.allow = {"a.*"};
    const PermissionSet set(permissions);
    CHECK(set.may_subscribe("a.b"));
    CHECK(set.may_subscribe("a.*"));
    CHECK_FALSE(set.may_subscribe("a.>"));
    CHECK_FALSE(set.may_subscribe(">"));
}

TEST_CASE("a_subscription_wider_than_a_denial_is_filtered_at_delivery") {
    Permissions permissions;
    permissions.subscribe.deny = {"a.secret"};
    const PermissionSet set(permissions);
    CHECK_FALSE(set.may_subscribe("a.secret"));
    CHECK(set.may_subscribe("a.*"));
    CHECK(set.needs_delivery_check("a.*"));
    CHECK_FALSE(set.needs_delivery_check("b.*"));
    CHECK_FALSE(set.may_receive("a.secret"));
    CHECK(set.may_receive("a.open"));
}

TEST_CASE("queue_entries_decide_for_members_of_queues") {
    Permissions permissions;
    permissions.subscribe.allow = {"foo", "bar v1", "bar v2.*"};
    const PermissionSet set(permissions);
    CHECK(set.may_subscribe("foo"));
    CHECK(set.may_subscribe("foo", "any"));
    CHECK_FALSE(set.may_subscribe("bar"));
    CHECK(set.may_subscribe("bar", "v1"));
    CHECK(set.may_subscribe("bar", "v2.prod"));
    CHECK_FALSE(set.may_subscribe("bar", "v3"));
}

TEST_CASE("allow_responses_without_an_allow_list_denies_all_other_publishing") {
    Permissions permissions;
    permissions.response = ResponsePermission{};
    CHECK_FALSE(PermissionSet(permissions).may_publish("foo"));
    permissions.publish.allow = {"foo"};
    CHECK(PermissionSet(permissions).may_publish("foo"));
}
