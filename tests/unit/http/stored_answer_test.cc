// What RFC 9111 says of one answer: whether it is kept, how long it is good, for whom, and what is
// answered from it.

#include "http/stored_answer.h"

#include <catch2/catch_test_macros.hpp>

#include "http/cache_key.h"

using namespace candela;
using namespace candela::http;

namespace {

constexpr int64_t kNow = 1'700'000'000;

struct Answer {
    Headers request{{"host", "a.example"}};
    ResponseHead head;
    Framing framing;
    CacheRules rules;

    explicit Answer(std::initializer_list<std::pair<std::string_view, std::string_view>> fields,
                    int status = 200) {
        head.status = status;
        head.headers = Headers(fields);
        framing.body = BodyKind::kLength;
        framing.content_length = 5;
    }
    std::optional<Freshness> kept() const {
        return may_store(AnswerFacts{request, nullptr, head, framing, kNow, kNow}, rules);
    }
    bool is_kept() const { return kept().has_value(); }
    int64_t lifetime() const { return kept().value().lifetime; }
    StoredAnswer stored() const {
        StoredAnswer made;
        made.freshness = *kept();
        copy_for_store(head, made.head);
        made.body = std::make_shared<const std::string>("hello");
        return made;
    }
};

CacheControl asked(std::string_view text) {
    return parse_request_cache_control(Headers{{"cache-control", text}});
}

}  // namespace

TEST_CASE("directives are read as they are quoted, doubled, and spelled") {
    const auto said = [](std::string_view text) {
        return parse_cache_control(Headers{{"Cache-Control", text}});
    };
    CHECK(said("MAX-AGE=60").max_age == 60);
    CHECK(said("max-age=\"60\"").max_age == 60);
    CHECK(said("max-age=60, max-age=10").max_age == 10);
    CHECK(said("max-age=sixty").max_age == 0);
    CHECK(said("max-age").max_age == 0);
    CHECK(said("max-age=-1").max_age == 0);
    CHECK(said("max-age=99999999999999999999").max_age == kCacheSecondsMax);
    CHECK(said(" ,, public ,").is_public);
    CHECK_FALSE(said("private=\"x, public, max-age=9\"").is_public);
    CHECK_FALSE(said("private=\"x, public, max-age=9\"").max_age);
    CHECK(said("private=\"x\"").is_private);
    CHECK(said("no-cache=\"set-cookie\"").no_cache);
    CHECK(said("max-stale").takes_any_stale);
    CHECK(said("max-stale=5").max_stale == 5);
    CHECK_FALSE(said("x=\"no-store").no_store);
    const Headers two{{"Cache-Control", "no-cache"}, {"cache-control", "no-store"}};
    CHECK(parse_cache_control(two).no_cache);
    CHECK(parse_cache_control(two).no_store);
    CHECK(parse_request_cache_control(Headers{{"Pragma", "no-cache"}}).no_cache);
    const Headers both{{"Pragma", "no-cache"}, {"Cache-Control", "max-age=5"}};
    CHECK_FALSE(parse_request_cache_control(both).no_cache);
}

TEST_CASE("dates are read in their three forms, and nothing else") {
    CHECK(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT") == 784111777);
    CHECK(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT") == 784111777);
    CHECK(parse_http_date("Sun Nov  6 08:49:37 1994") == 784111777);
    for (const std::string_view text :
         {"", "0", "-1", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:49:37 GMT",
          "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 06 nov 1994 08:49:37 GMT", "06 Nov 1994 08:49:37",
          ",", ", GMT", "Sun, 0x Nov 1994 08:49:37 GMT"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_http_date(text));
    }
}

TEST_CASE("an answer is kept where it says how long it is good") {
    CHECK(Answer({{"Cache-Control", "max-age=60"}}).lifetime() == 60);
    CHECK(Answer({{"Cache-Control", "max-age=60, s-maxage=5"}}).lifetime() == 5);
    CHECK(Answer({{"Cache-Control", "max-age=60"}, {"Expires", "0"}}).lifetime() == 60);
    CHECK(Answer({{"Date", format_http_date(kNow)}, {"Expires", format_http_date(kNow + 30)}})
              .lifetime() == 30);
    CHECK(Answer({{"Expires", format_http_date(kNow + 30)}}).lifetime() == 30);
    CHECK_FALSE(Answer({{"Expires", "0"}}).is_kept());
    CHECK_FALSE(Answer({}).is_kept());
    CHECK_FALSE(Answer({{"ETag", "\"a\""}}).is_kept());
    // What must be asked about each time is kept, if it can be asked about.
    CHECK(Answer({{"Cache-Control", "no-cache"}, {"ETag", "\"a\""}}).is_kept());
    CHECK_FALSE(Answer({{"Cache-Control", "no-cache"}}).is_kept());
    CHECK(Answer({{"Cache-Control", "max-age=0"}, {"Last-Modified", format_http_date(kNow)}})
              .is_kept());
    Answer silent({});
    silent.rules.fresh = 10s;
    CHECK(silent.lifetime() == 10);
}

TEST_CASE("an answer is not kept where it, or who asked, is not for others") {
    for (const std::string_view text : {"no-store, max-age=60", "private, max-age=60"}) {
        CHECK_FALSE(Answer({{"Cache-Control", text}}).is_kept());
    }
    CHECK(Answer({{"Cache-Control", "no-store, must-understand, max-age=60"}}).is_kept());
    CHECK_FALSE(Answer({{"Cache-Control", "must-understand, max-age=60"}}, 299).is_kept());
    CHECK_FALSE(Answer({{"Cache-Control", "max-age=60"}, {"Set-Cookie", "a=b"}}).is_kept());
    CHECK_FALSE(Answer({{"Cache-Control", "public, max-age=60"}, {"Vary", "*"}}).is_kept());
    CHECK_FALSE(Answer({{"Cache-Control", "max-age=60"}, {"Vary", "X-Forwarded-For"}}).is_kept());
    CHECK_FALSE(Answer({{"Cache-Control", "max-age=60"}}, 206).is_kept());
    CHECK_FALSE(Answer({{"Cache-Control", "max-age=60"}}, 500).is_kept());
    CHECK(Answer({{"Cache-Control", "max-age=60"}}, 404).is_kept());
    for (const std::string_view field : {"Authorization", "Cookie"}) {
        Answer answer({{"Cache-Control", "max-age=60"}});
        answer.request.add(field, "x");
        CHECK_FALSE(answer.is_kept());
        for (const std::string_view text :
             {"public, max-age=60", "s-maxage=60", "must-revalidate, max-age=60"}) {
            answer.head.headers.set("Cache-Control", text);
            CHECK(answer.is_kept());
        }
    }
    Answer refused({{"Cache-Control", "max-age=60"}});
    refused.request.add("Cache-Control", "no-store");
    CHECK_FALSE(refused.is_kept());
    Answer large({{"Cache-Control", "max-age=60"}});
    large.framing.content_length = large.rules.object_bytes_max + 1;
    CHECK_FALSE(large.is_kept());
    Answer endless({{"Cache-Control", "max-age=60"}});
    endless.framing.body = BodyKind::kUntilClose;
    CHECK_FALSE(endless.is_kept());
    Answer claimed({{"Cache-Control", "max-age=60"}, {"Vary", "X-User"}});
    const Headers added{{"X-User", "ann"}};
    CHECK_FALSE(
        may_store(AnswerFacts{claimed.request, &added, claimed.head, claimed.framing, kNow, kNow},
                  claimed.rules));
}

TEST_CASE("an answer ages where it comes from, on its way, and here") {
    Answer answer({{"Cache-Control", "max-age=60"}, {"Age", "20"}});
    CHECK(answer.kept()->age(kNow) == 20);
    CHECK(answer.kept()->ttl(kNow + 10) == 30);
    CHECK(answer.kept()->age(kNow - 3600) == 20);  // a clock that was set back
    Answer dated({{"Cache-Control", "max-age=60"}, {"Date", format_http_date(kNow - 15)}});
    CHECK(dated.kept()->age(kNow) == 15);
    Answer slow({{"Cache-Control", "max-age=60"}, {"Age", "5"}});
    const auto kept = may_store(
        AnswerFacts{slow.request, nullptr, slow.head, slow.framing, kNow - 7, kNow}, slow.rules);
    CHECK(kept->age(kNow) == 12);
    CHECK_FALSE(Answer({{"Cache-Control", "max-age=60"}, {"Age", "60"}}).is_kept());
}

TEST_CASE("what a client demands of an answer is heeded") {
    const StoredAnswer stored = Answer({{"Cache-Control", "max-age=60"}}).stored();
    const auto use = [&](std::string_view text, int64_t age) {
        return may_use(stored, asked(text), kNow + age);
    };
    CHECK(use("", 59) == Usable::kYes);
    CHECK(use("", 60) == Usable::kNo);
    CHECK(use("no-cache", 0) == Usable::kNo);
    CHECK(use("max-age=10", 10) == Usable::kYes);
    CHECK(use("max-age=10", 11) == Usable::kNo);
    CHECK(use("min-fresh=30", 30) == Usable::kYes);
    CHECK(use("min-fresh=30", 31) == Usable::kNo);
    CHECK(use("max-stale", 9999) == Usable::kYes);
    CHECK(use("max-stale=10", 70) == Usable::kYes);
    CHECK(use("max-stale=10", 71) == Usable::kNo);
    for (const std::string_view text :
         {"max-age=60, must-revalidate", "max-age=60, proxy-revalidate", "s-maxage=60"}) {
        const StoredAnswer strict = Answer({{"Cache-Control", text}}).stored();
        CHECK(may_use(strict, asked("max-stale"), kNow + 61) == Usable::kNo);
    }
}

TEST_CASE("a stale answer is used while a newer one is fetched, or can't be") {
    const StoredAnswer stored =
        Answer({{"Cache-Control", "max-age=60, stale-while-revalidate=10, stale-if-error=100"}})
            .stored();
    CHECK(may_use(stored, CacheControl(), kNow + 69) == Usable::kWhileFetched);
    CHECK(may_use(stored, CacheControl(), kNow + 70) == Usable::kNo);
    CHECK(may_use_after_error(stored, CacheControl(), kNow + 159));
    CHECK_FALSE(may_use_after_error(stored, CacheControl(), kNow + 160));
    // One that is good is not given to those who want it validated, without a word that it may be.
    const StoredAnswer fresh = Answer({{"Cache-Control", "max-age=60"}}).stored();
    CHECK_FALSE(may_use_after_error(fresh, CacheControl(), kNow));
    Answer ruled({{"Cache-Control", "max-age=60"}});
    ruled.rules.stale_if_error = 30s;
    ruled.rules.stale_while_revalidate = 5s;
    CHECK(may_use_after_error(ruled.stored(), CacheControl(), kNow + 89));
    CHECK(may_use(ruled.stored(), CacheControl(), kNow + 64) == Usable::kWhileFetched);
    ruled.head.headers.set("Cache-Control", "max-age=60, must-revalidate");
    CHECK_FALSE(may_use_after_error(ruled.stored(), CacheControl(), kNow + 61));
    CHECK(may_use(ruled.stored(), CacheControl(), kNow + 61) == Usable::kNo);
}

TEST_CASE("one answer is for those who ask alike in what its Vary names") {
    StoredAnswer stored;
    const Headers request{{"Accept-Encoding", "gzip,br"}, {"X-A", "1"}, {"X-A", "2"}};
    for (const std::string name : {"accept-encoding", "x-a", "x-none"}) {
        stored.vary.emplace_back(name, vary_value(request, name));
    }
    CHECK(matches_vary(stored, Headers{{"accept-encoding", "gzip , br"}, {"x-a", "1, 2"}}));
    CHECK_FALSE(matches_vary(stored, Headers{{"accept-encoding", "br, gzip"}, {"x-a", "1, 2"}}));
    CHECK_FALSE(matches_vary(stored, Headers{{"accept-encoding", "gzip, br"}, {"x-a", "1"}}));
    // A field that is empty is not one that is absent.
    CHECK_FALSE(matches_vary(
        stored, Headers{{"accept-encoding", "gzip, br"}, {"x-a", "1, 2"}, {"x-none", ""}}));
    CHECK(vary_names(Headers{{"Vary", "B, a"}, {"vary", "b"}})->size() == 2);
    CHECK_FALSE(vary_names(Headers{{"Vary", "a, *"}}));
    std::string many;
    for (size_t i = 0; i <= kVaryNamesMax; ++i) many += fmt::format("x-{}, ", i);
    CHECK_FALSE(vary_names(Headers{{"Vary", many}}));
}

TEST_CASE("conditions and ranges are answered from a whole answer") {
    ResponseHead head;
    head.headers = Headers{{"ETag", "\"v,1\""},
                           {"Last-Modified", format_http_date(kNow)},
                           {"Content-Type", "text/plain"},
                           {"Content-Length", "10"}};
    const auto status =
        [&](std::initializer_list<std::pair<std::string_view, std::string_view>> f) {
            return select(Headers(f), head, 10).status;
        };
    CHECK(status({}) == 200);
    CHECK(status({{"If-None-Match", "\"x\", W/\"v,1\""}}) == 304);
    CHECK(status({{"If-None-Match", "*"}}) == 304);
    CHECK(status({{"If-None-Match", "\"x\""}, {"If-Modified-Since", format_http_date(kNow)}}) ==
          200);
    CHECK(status({{"If-Modified-Since", format_http_date(kNow)}}) == 304);
    CHECK(status({{"If-Modified-Since", format_http_date(kNow - 1)}}) == 200);
    CHECK(status({{"Range", "bytes=0-0"}}) == 206);
    CHECK(status({{"Range", "bytes=10-"}}) == 416);
    CHECK(status({{"Range", "bytes=-0"}}) == 416);
    for (const std::string_view text : {"bytes=0-1,3-4", "bytes=5-2", "lines=0-1",
                                        "bytes=", "bytes=a-b", "bytes=99999999999999999999-"}) {
        CAPTURE(text);
        CHECK(status({{"Range", text}}) == 200);
    }
    CHECK(status({{"Range", "bytes=0-0"}, {"If-Range", "\"v,1\""}}) == 206);
    CHECK(status({{"Range", "bytes=0-0"}, {"If-Range", "W/\"v,1\""}}) == 200);
    CHECK(status({{"Range", "bytes=0-0"}, {"If-Range", format_http_date(kNow)}}) == 206);
    CHECK(status({{"Range", "bytes=0-0"}, {"If-Range", format_http_date(kNow + 1)}}) == 200);
    const Selection part = select(Headers{{"Range", "bytes=-3"}}, head, 10);
    const ResponseHead cut = selected_head(head, part, 10);
    CHECK(cut.headers.get("content-range") == "bytes 7-9/10");
    CHECK(cut.headers.get("content-length") == "3");
    const ResponseHead same = selected_head(head, Selection{304, 0, 0}, 10);
    CHECK_FALSE(same.headers.contains("content-type"));
    CHECK(same.headers.contains("etag"));
}

TEST_CASE("a 304 makes what is stored as good as new") {
    StoredAnswer old =
        Answer({{"Cache-Control", "max-age=60"}, {"ETag", "\"a\""}, {"X-A", "1"}, {"X-B", "2"}})
            .stored();
    old.head.headers.add("Content-Length", "5");
    Answer newer({{"Cache-Control", "max-age=100"}, {"X-A", "3"}, {"Content-Length", "99"}}, 304);
    const AnswerFacts facts{newer.request, nullptr,   newer.head,
                            newer.framing, kNow + 70, kNow + 70};
    const auto made = refresh(old, facts, CacheRules());
    REQUIRE(made != nullptr);
    CHECK(made->freshness.ttl(kNow + 70) == 100);
    CHECK(made->head.headers.get("x-a") == "3");
    CHECK(made->head.headers.get("x-b") == "2");
    CHECK(made->head.headers.get("content-length") == "5");
    CHECK(made->body == old.body);
    newer.head.headers.add("ETag", "\"b\"");
    CHECK(refresh(old, facts, CacheRules()) == nullptr);
}

TEST_CASE("a key is of one request only") {
    std::string a, b;
    REQUIRE(make_cache_key({"s/x", "Shop.Example:81", "/a?B=c"}, a));
    CHECK(parse_cache_key(a)->authority == "shop.example:81");
    CHECK(parse_cache_key(a)->target == "/a?B=c");
    REQUIRE(make_cache_key({"s/x", "shop.example:81", "/a?b=c"}, b));
    CHECK(a != b);
    CHECK_FALSE(make_cache_key({"s/x", "a\nb", "/"}, a));
    CHECK_FALSE(make_cache_key({"s/x", "a", std::string(20'000, 'x')}, a));
    REQUIRE(make_cache_origin({"https", "", "/a", "/p", "id"}, a));
    REQUIRE(make_cache_origin({"https", "/a", "", "/p", "id"}, b));
    CHECK(a != b);
}
