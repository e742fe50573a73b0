// Imports, as messages go through them.

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "imports.h"
#include "server.h"

namespace candela::bus_role {

namespace {

constexpr std::string_view kInfoHeader = "Nats-Request-Info";
constexpr std::string_view kHeaderLine = "NATS/1.0\r\n";
// Acks of streams name what they ack; another name would be of no use to the stream.
constexpr std::string_view kAckPrefix = "$JS.ACK.";

// The header block without the lines of that key, and without its end.
void append_other_headers(std::string& out, std::string_view block, std::string_view key) {
    if (block.size() < bus::kLineEnd.size()) {
        out += kHeaderLine;
        return;
    }
    block.remove_suffix(bus::kLineEnd.size());
    while (!block.empty()) {
        const size_t end = block.find('\n');
        const std::string_view line =
            block.substr(0, end == std::string_view::npos ? end : end + 1);
        block.remove_prefix(line.size());
        const bool is_it = line.size() > key.size() && line[key.size()] == ':' &&
                           ascii_iequals(line.substr(0, key.size()), key);
        if (!is_it) out += line;
    }
}

// As the account that it comes to has it, by mappings of its own; false where the message is lost.
bool map_subject(const Account& to, Random& random, std::string& subject, std::string& scratch) {
    if (to.mappings == nullptr) return true;
    const auto outcome = to.mappings->apply(subject, random, scratch);
    if (outcome == AccountMappings::Outcome::kMapped) subject.swap(scratch);
    return outcome != AccountMappings::Outcome::kLost;
}

}  // namespace

bool Imports::send(Account& account, Connection* from, const Message& message,
                   std::string_view route_subject, size_t* backlog) {
    const Matches& matches = account.sublist.match(route_subject);
    server_.touch(account);
    if (matches.empty()) return false;
    if (!matches.passages.empty()) return route(account, from, message, route_subject, backlog);
    return server_.deliver_all(account, matches, from, message, route_subject, backlog);
}

Imports::Frame& Imports::take_frame() {
    while (frames_.size() <= path_.size()) frames_.push_back(std::make_unique<Frame>());
    return *frames_[path_.size()];
}

Imports::Leg& Imports::take_leg(Account& account) {
    if (legs_used_ == legs_.size()) legs_.push_back(std::make_unique<Leg>());
    Leg& leg = *legs_[legs_used_++];
    leg.account = &account;
    return leg;
}

// Each leg's receivers are looked up anew for each step: what is delivered ends subscriptions, and
// a subscription may be reached by several legs.
bool Imports::route(Account& account, Connection* from, const Message& message,
                    std::string_view route_subject, size_t* backlog) {
    const bool is_shown_apart = route_subject != message.subject;
    const size_t base = legs_used_;
    const size_t first_ask = asks_.size();
    take_leg(account).subject.assign(route_subject);
    for (Subscription* subscription : account.sublist.match(legs_[base]->subject).passages) {
        Passage& passage = *subscription->passage;
        if (legs_used_ - base - 1 + asks_.size() - first_ask >= kPassagesMax) break;
        if (passage.kind == Passage::Kind::kStream)
            passage.mapping.apply(route_subject, take_leg(*passage.to).subject);
        else
            asks_.push_back(Ask{&passage, base});
    }
    bool is_delivered = false;
    bool has_groups = false;
    for (size_t i = base; i < legs_used_; ++i) {
        const Leg& leg = *legs_[i];
        Message named = message;
        if (!is_shown_apart) named.subject = leg.subject;
        const Matches& matches = leg.account->sublist.match(leg.subject);
        has_groups = has_groups || !matches.queues.empty();
        is_delivered =
            server_.deliver_plain(*leg.account, matches, from, named, leg.subject, backlog) ||
            is_delivered;
        server_.touch(*leg.account);
    }
    if (has_groups) {
        const std::string_view shown = is_shown_apart ? message.subject : std::string_view();
        is_delivered = route_to_groups(base, from, message, shown) || is_delivered;
    }
    for (size_t i = first_ask; i < asks_.size(); ++i) {
        Passage& passage = *asks_[i].passage;
        const std::string& subject = legs_[asks_[i].leg]->subject;
        is_delivered = (passage.kind == Passage::Kind::kService
                            ? ask(passage, subject, from, message)
                            : answer(passage, subject, from, message, is_shown_apart, backlog)) ||
                       is_delivered;
    }
    asks_.resize(first_ask);
    legs_used_ = base;
    return is_delivered;
}

// Members of one name are one group, in whichever account they are: the lot is among all of them.
bool Imports::route_to_groups(size_t base, Connection* from, const Message& message,
                              std::string_view shown) {
    std::vector<Part>& parts = parts_;
    parts.clear();
    for (size_t i = base; i < legs_used_; ++i) {
        const Leg& leg = *legs_[i];
        const Matches& matches = leg.account->sublist.match(leg.subject);
        for (size_t group = 0; group < matches.queues.size(); ++group) {
            const size_t members = matches.queues[group].size() + matches.remote_members(group);
            parts.push_back(Part{std::string(matches.queue_name(group)), i, members});
        }
    }
    std::stable_sort(parts.begin(), parts.end(),
                     [](const Part& a, const Part& b) { return a.name < b.name; });
    bool is_delivered = false;
    for (size_t start = 0; start < parts.size();) {
        size_t end = start;
        size_t total = 0;
        for (; end < parts.size() && parts[end].name == parts[start].name; ++end) {
            total += parts[end].members;
        }
        size_t lot = server_.loop().random().below(total);
        size_t chosen = start;
        while (lot >= parts[chosen].members) lot -= parts[chosen++].members;
        // Where none of that account's members can take it, another account's may.
        bool is_taken = false;
        for (size_t i = 0; i < end - start && !is_taken; ++i) {
            const Part& part = parts[start + (chosen - start + i) % (end - start)];
            const Leg& leg = *legs_[part.leg];
            Message named = message;
            named.subject = shown.empty() ? std::string_view(leg.subject) : shown;
            const Matches& matches = leg.account->sublist.match(leg.subject);
            for (size_t group = 0; group < matches.queues.size(); ++group) {
                if (matches.queue_name(group) != part.name) continue;
                is_taken = server_.deliver_to_group(*leg.account, matches, group, from, named,
                                                    leg.subject);
                break;
            }
            server_.touch(*leg.account);
        }
        is_delivered = is_delivered || is_taken;
        start = end;
    }
    return is_delivered;
}

bool Imports::answer_forwarded(Account& account, const Message& message,
                               std::string_view route_subject) {
    const auto found = states_.find(&account);
    if (found == states_.end() || found->second.answers == nullptr) return false;
    if (responses_.find(route_subject) == nullptr) return false;
    return answer(*found->second.answers, route_subject, nullptr, message,
                  route_subject != message.subject, nullptr);
}

bool Imports::make_reply(Account& asker, Account& answerer, std::string_view reply,
                         auth::ResponseType type, Duration threshold, std::string& out) {
    out.clear();
    if (reply.empty()) return true;
    if (reply.starts_with(kAckPrefix)) {
        out.assign(reply);
        return true;
    }
    State& state = states_[&answerer];
    if (state.answers == nullptr) {
        state.answers = std::make_unique<Passage>();
        state.answers->kind = Passage::Kind::kResponse;
        state.answers->from = &answerer;
        insert(*state.answers);
    }
    if (responses_.add(asker, reply, type, threshold, out)) return true;
    server_.log().warn("bus_responses_exceeded",
                       {{"account", asker.claims.name}, {"waiting", responses_.waiting()}});
    return false;
}

bool Imports::ask(Passage& passage, std::string_view subject, Connection* from,
                  const Message& message) {
    const bool is_circle = std::find(path_.begin(), path_.end(), &passage) != path_.end();
    if (is_circle || path_.size() >= kDepthMax) return false;
    Frame& frame = take_frame();
    passage.mapping.apply(subject, frame.subject);
    if (!map_subject(*passage.to, server_.loop().random(), frame.subject, frame.mapped))
        return false;
    if (!make_reply(*passage.from, *passage.to, message.reply, passage.response_type,
                    passage.response_threshold, frame.reply)) {
        return false;
    }
    Message asked = message;
    asked.subject = frame.subject;
    asked.reply = frame.reply;
    if (from != nullptr) {
        add_request_info(passage, *from, message, frame.body, asked.header_bytes);
        asked.body = frame.body;
    }
    path_.push_back(&passage);
    const bool is_delivered = send(*passage.to, from, asked, asked.subject, nullptr);
    path_.pop_back();
    if (!is_delivered) {
        if (Responses::Entry* entry = responses_.find(frame.reply)) responses_.remove(*entry);
    }
    return is_delivered;
}

bool Imports::answer(Passage& passage, std::string_view subject, Connection* from,
                     const Message& message, bool is_shown_apart, size_t* backlog) {
    Responses::Entry* entry = responses_.find(subject);
    if (entry == nullptr || path_.size() >= kDepthMax) return false;
    Frame& frame = take_frame();
    Account& asker = *entry->asker;
    frame.subject.assign(entry->reply);
    responses_.note_answer(*entry, message.body.size() == bus::kLineEnd.size());
    if (!map_subject(asker, server_.loop().random(), frame.subject, frame.mapped)) return false;
    // An answer may ask back.
    if (!make_reply(*passage.from, asker, message.reply, auth::ResponseType::kSingleton, 0ns,
                    frame.reply)) {
        return false;
    }
    Message answered = message;
    if (!is_shown_apart) answered.subject = frame.subject;
    answered.reply = frame.reply;
    path_.push_back(&passage);
    const bool is_delivered = send(asker, from, answered, frame.subject, backlog);
    path_.pop_back();
    return is_delivered;
}

void Imports::add_request_info(const Passage& passage, const Connection& from,
                               const Message& message, std::string& body,
                               size_t& header_bytes) const {
    // Once the asker's account has agreed to share, further ones do not hide it again.
    const Passage& first = path_.empty() ? passage : *path_.front();
    const bool is_shared = (path_.empty() ? passage : *path_.back()).share;
    body.clear();
    append_other_headers(body, message.headers(), kInfoHeader);
    body += kInfoHeader;
    body += ": ";
    if (is_shared || !path_.empty()) {
        Json info = is_shared ? from.describe() : Json::object();
        if (from.rtt() != 0ns) info["rtt"] = from.rtt().count();
        info["acc"] = first.from->key();
        if (!path_.empty()) info["svc"] = passage.from->key();
        body += dump_json(info);
    } else if (from.rtt() != 0ns) {
        fmt::format_to(std::back_inserter(body), R"({{"acc":"{}","rtt":{}}})", first.from->key(),
                       from.rtt().count());
    } else {
        fmt::format_to(std::back_inserter(body), R"({{"acc":"{}"}})", first.from->key());
    }
    body += bus::kLineEnd;
    body += bus::kLineEnd;
    header_bytes = body.size();
    body += message.payload();
    body += bus::kLineEnd;
}

bool Imports::has_interest(Account& account, std::string_view subject) {
    const Matches& matches = account.sublist.match(subject);
    server_.touch(account);
    if (matches.has_receivers()) return true;
    if (path_.size() >= kDepthMax) return false;
    const std::vector<Subscription*> passages = matches.passages;
    std::string mapped;
    bool is_heard = false;
    for (size_t i = 0; i < passages.size() && !is_heard; ++i) {
        const Passage& passage = *passages[i]->passage;
        Account* to = passage.to;
        if (passage.kind == Passage::Kind::kResponse) {
            const Responses::Entry* entry = responses_.find(subject);
            if (entry == nullptr) continue;
            to = entry->asker;
            mapped = entry->reply;
        } else {
            passage.mapping.apply(subject, mapped);
        }
        if (passage.kind == Passage::Kind::kStream) {
            is_heard = to->sublist.match(mapped).has_receivers();
            server_.touch(*to);
            continue;
        }
        if (std::find(path_.begin(), path_.end(), &passage) != path_.end()) continue;
        path_.push_back(&passage);
        is_heard = has_interest(*to, mapped);
        path_.pop_back();
    }
    return is_heard;
}

}  // namespace candela::bus_role
