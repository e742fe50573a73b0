#pragma once

// A verb of `candela ctl` as data: its name, what it takes, and the flow that does it. cli.cc makes
// the command line from the table; completion.cc reads the same table.

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ctl/session.h"
#include "loop/task.h"

namespace candela::ctl {

// Exit codes (design.md §11).
enum Exit : int {
    kOk = 0,
    kFailed = 1,
    kUsage = 2,
    kNotFound = 3,
    kDenied = 4,
    kConflict = 5,
    kUnreachable = 6,
    kStillGoing = 7,
    kRolledBack = 8,
    kDiffers = 10,
};
int exit_code_of(const Error& error);

struct VerbArgument {
    std::string_view name;  // "SERVICE"
    std::string_view help;
    bool is_required = true;
    bool is_rest = false;  // it takes all words that are left
};

struct VerbOption {
    std::string_view name;        // "--follow"
    std::string_view short_name;  // "-f"; may be empty
    std::string_view value_name;  // "N"; empty: a flag
    std::string_view help;
    bool is_repeated = false;  // it may be given several times: Arguments::list()
};

// What was given, after the command line's own checks.
class Arguments {
public:
    void set(std::string_view name, std::string value) {
        values_[std::string(name)] = std::move(value);
    }
    bool has(std::string_view name) const { return values_.contains(name); }
    std::string text(std::string_view name, std::string_view fallback = "") const;
    void set_list(std::string_view name, std::vector<std::string> values) {
        lists_[std::string(name)] = std::move(values);
    }
    // Of an argument that takes all words that are left, or an option that is repeated.
    std::vector<std::string> list(std::string_view name) const;
    // kInvalid names the option and what it takes.
    Result<uint64_t> number(std::string_view name, uint64_t fallback, uint64_t min,
                            uint64_t max) const;
    Result<Duration> duration(std::string_view name, Duration fallback) const;

private:
    std::map<std::string, std::string, std::less<>> values_;
    std::map<std::string, std::vector<std::string>, std::less<>> lists_;
};

struct Verb {
    std::string_view group;  // "keys" in "keys create"; usually empty
    std::string_view name;
    std::string_view summary;
    std::vector<VerbArgument> arguments;
    std::vector<VerbOption> options;
    bool needs_lighthouse = true;
    // Prints its result and returns an exit code; an error is printed by the caller.
    Task<Result<int>> (*run)(Session& session, Arguments arguments);
};

std::span<const Verb> verb_table();

// One function a file.
Verb status_verb();
Verb deploy_verb();
Verb plan_verb();
Verb diff_verb();
Verb restart_verb();
Verb pause_verb();
Verb resume_verb();
Verb promote_verb();
Verb lock_verb();
Verb unlock_verb();
Verb releases_verb();
Verb rollback_verb();
Verb logs_verb();
Verb exec_verb();
Verb port_forward_verb();
Verb scale_verb();
Verb stop_verb();
Verb delete_verb();
Verb services_verb();
Verb instances_verb();
Verb nodes_list_verb();
Verb nodes_show_verb();
Verb nodes_cordon_verb();
Verb nodes_uncordon_verb();
Verb nodes_drain_verb();
Verb nodes_remove_verb();
Verb nodes_revoke_verb();
Verb nodes_join_token_verb();
Verb nodes_join_tokens_verb();
Verb nodes_join_token_remove_verb();
Verb spaces_list_verb();
Verb spaces_create_verb();
Verb spaces_delete_verb();
Verb spaces_quota_verb();
Verb keys_create_verb();
Verb keys_list_verb();
Verb keys_rotate_verb();
Verb keys_revoke_verb();
Verb keys_grant_verb();
Verb certificates_list_verb();
Verb certificates_add_verb();
Verb certificates_delete_verb();
Verb secrets_list_verb();
Verb secrets_set_verb();
Verb secrets_history_verb();
Verb secrets_rollback_verb();
Verb secrets_remove_verb();
Verb secrets_rotate_key_verb();
Verb config_list_verb();
Verb config_get_verb();
Verb config_set_verb();
Verb config_history_verb();
Verb config_rollback_verb();
Verb config_remove_verb();
Verb flags_list_verb();
Verb flags_get_verb();
Verb flags_set_verb();
Verb flags_history_verb();
Verb flags_remove_verb();
Verb jobs_list_verb();
Verb jobs_run_verb();
Verb jobs_history_verb();
Verb jobs_show_verb();
Verb jobs_cancel_verb();
Verb jobs_pause_verb();
Verb jobs_resume_verb();
Verb audit_list_verb();
Verb audit_verify_verb();
Verb backup_verb();
Verb events_verb();
Verb version_verb();
Verb purge_verb();
Verb maintenance_verb();
Verb completion_verb();

}  // namespace candela::ctl
