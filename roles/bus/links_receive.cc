// The receiving half of Links: what other loops' records bring about here.

#include <algorithm>
#include <utility>

#include "connection.h"
#include "links.h"
#include "server.h"

namespace candela::bus_role {

namespace {

constexpr size_t kBacklogBytes = 1024 * 1024;  // a backlog worth telling to who asked
constexpr size_t kBacklogsMax = 4096;          // routes remembered for each loop

Message message_of(const LinkRecord& record) {
    Message message;
    message.subject = record.subject;
    message.reply = record.reply;
    message.body = record.body;
    message.header_bytes = record.head.header_bytes;
    return message;
}

std::string_view route_of(const LinkRecord& record) {
    return record.route.empty() ? record.subject : record.route;
}

}  // namespace

void Links::receive(size_t from) {
    Channel& channel = mesh_->channel(from, index_);
    channel.take(inbox_);
    for (const Block& block : inbox_) {
        std::string_view bytes = block.view();
        LinkRecord message;
        LinkRecord other;
        while (!bytes.empty()) handle(from, LinkRecord::read(bytes, message, other));
    }
    held_in_batch_.clear();
    reported_in_batch_.clear();
    if (channel.finish(inbox_)) {
        LinkRecord nudge;
        nudge.measure();
        append(from, nudge);
    }
    look_for_news();
}

void Links::handle(size_t from, const LinkRecord& record) {
    switch (record.head.kind) {
        case LinkKind::kMessage: take_message(from, record); break;
        case LinkKind::kQueued: take_queued(record); break;
        case LinkKind::kInterest: take_interest(from, record); break;
        case LinkKind::kHold:
            if (Connection* held = server_.find_connection(record.head.client))
                held->pause_reading();
            break;
        case LinkKind::kRelease:
            if (Connection* held = server_.find_connection(record.head.client))
                held->resume_reading();
            break;
        case LinkKind::kNoResponders:
            server_.answer_no_responders(record.head.client, record.subject);
            break;
        case LinkKind::kBacklog: {
            auto& backlogs = peers_[from].backlogs;
            if (backlogs.size() >= kBacklogsMax) backlogs.clear();
            backlogs[backlog_key(record.head.account, record.subject)] = {
                static_cast<size_t>(record.head.count), server_.loop().now()};
            break;
        }
        case LinkKind::kNudge:
        case LinkKind::kAgain: break;  // read() has turned it into what it repeats
    }
}

void Links::take_interest(size_t from, const LinkRecord& record) {
    Watch* watch = find(record.head.account);
    if (watch != nullptr) {
        watch->account.sublist.set_remote(record.subject, record.queue, static_cast<uint32_t>(from),
                                          static_cast<uint32_t>(record.head.count));
        server_.touch(watch->account);
    } else if (record.head.account > last_account_) {
        early_[record.head.account].push_back(Early{from, std::string(record.subject),
                                                    std::string(record.queue),
                                                    static_cast<uint32_t>(record.head.count)});
    }
}

const Matches& Links::find_matches(Account& account, std::string_view subject) {
    Sublist& sublist = account.sublist;
    if (route_.account == account.number && route_.generation == sublist.generation() &&
        sublist.is_current(*route_.matches) && route_.subject == subject) {
        return *route_.matches;
    }
    const Matches& matches = sublist.match(subject);
    if (sublist.last_was_cached()) {
        route_.account = account.number;
        route_.subject.assign(subject);
        route_.matches = &matches;
        route_.generation = sublist.generation();
    }
    server_.touch(account);
    return matches;
}

void Links::take_message(size_t from, const LinkRecord& record) {
    Watch* watch = find(record.head.account);
    size_t backlog = 0;
    bool is_delivered = false;
    if (watch != nullptr) {
        const Matches& matches = find_matches(watch->account, route_of(record));
        sender_ = record.head.client;
        is_delivered = server_.deliver_forwarded(watch->account, matches, message_of(record),
                                                 route_of(record), sender_, &backlog);
    }
    if (!is_delivered) answer_nobody(record);
    if ((record.head.flags & link_flags::kWantsBacklog) != 0) {
        report_backlog(from, record, backlog);
    }
}

void Links::take_queued(const LinkRecord& record) {
    Watch* watch = find(record.head.account);
    if (watch == nullptr) {
        answer_nobody(record);
        return;
    }
    const Matches& matches = find_matches(watch->account, route_of(record));
    size_t group = 0;
    while (group < matches.queues.size() && matches.queue_name(group) != record.queue) ++group;
    if (group == matches.queues.size()) {
        answer_nobody(record);
        return;
    }
    sender_ = record.head.client;
    if (server_.deliver_forwarded_to_one(matches.queues[group], message_of(record), sender_))
        return;
    // The member that was meant has left; another loop may have one.
    std::vector<uint32_t> loops;
    for (const RemoteMembers& remote : matches.remotes) {
        if (remote.group == group) loops.push_back(remote.loop);
    }
    if (loops.empty() || record.head.hops >= kHopsMax) {
        answer_nobody(record);
        return;
    }
    LinkRecord again = record;
    ++again.head.hops;
    again.measure();
    append(loops[server_.loop().random().below(loops.size())], again);
}

void Links::answer_nobody(const LinkRecord& record) {
    if ((record.head.flags & link_flags::kWantsAnswer) == 0) return;
    LinkRecord answer;
    answer.head.kind = LinkKind::kNoResponders;
    answer.head.client = record.head.client;
    answer.subject = record.reply;
    answer.measure();
    const size_t to = loop_of(record.head.client);
    if (to == index_)
        server_.answer_no_responders(record.head.client, record.reply);
    else
        append(to, answer);
}

void Links::report_backlog(size_t to, const LinkRecord& record, size_t backlog) {
    if (backlog < kBacklogBytes) return;
    std::string key = backlog_key(record.head.account, route_of(record));
    auto& reported = reported_in_batch_;
    if (std::find(reported.begin(), reported.end(), key) != reported.end()) return;
    reported.push_back(std::move(key));
    LinkRecord report;
    report.head.kind = LinkKind::kBacklog;
    report.head.account = record.head.account;
    report.head.count = backlog;
    report.subject = route_of(record);
    report.measure();
    append(to, report);
}

}  // namespace candela::bus_role
