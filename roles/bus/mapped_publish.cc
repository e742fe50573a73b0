// What an account's JWT says of subjects, as the server follows it: mappings of what its clients
// publish, and what it shares with others.

#include "base/text.h"
#include "server.h"

namespace candela::bus_role {

void Server::take_shares(Account& account) {
    account.mappings = AccountMappings::create(
        account.claims.mappings, [&](std::string_view source, std::string_view problem) {
            log_.info("bus_mapping_not_active", {{"account", account.claims.name},
                                                 {"subject", printable(source)},
                                                 {"reason", problem}});
        });
    imports_->update(account);
}

bool Server::publish_mapped(Account& account, Connection& from, Message message) {
    switch (account.mappings->apply(message.subject, loop_.random(), mapped_)) {
        case AccountMappings::Outcome::kSame: break;
        case AccountMappings::Outcome::kMapped: message.subject = mapped_; break;
        case AccountMappings::Outcome::kLost:
            if (!message.reply.empty() && from.options().no_responders) {
                send_no_responders(account, from, message);
            }
            return true;
    }
    return publish(account, &from, message);
}

}  // namespace candela::bus_role
