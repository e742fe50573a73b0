#pragma once

// One T on each loop of a process, for roles that work on every loop (a listener, a proxy). Owned
// by the control loop, which hands it work by posting; each T is made, used and destroyed on its
// own loop. When the owner goes, the Ts are destroyed soon after: what they refer to must last
// until the loops have run that.

#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/check.h"
#include "loop/flow.h"
#include "loop/loop.h"
#include "loop/task.h"

namespace candela {

template <class T>
class PerLoop {
public:
    PerLoop(Loop& control, std::span<Loop* const> loops) : control_(control) {
        for (Loop* loop : loops)
            seats_.push_back(Seat{loop, std::make_shared<std::unique_ptr<T>>()});
    }
    PerLoop(const PerLoop&) = delete;
    PerLoop& operator=(const PerLoop&) = delete;
    ~PerLoop() {
        for (Seat& seat : seats_) {
            if (seat.loop == &control_) {
                seat.place->reset();
            } else {
                seat.loop->post([place = seat.place] { place->reset(); });
            }
        }
    }

    size_t size() const { return seats_.size(); }
    Loop& loop(size_t index) { return *seats_[index].loop; }
    // For what T lets any thread do; once it was made and its making was waited for.
    T& at(size_t index) const {
        CANDELA_CHECK(*seats_[index].place != nullptr);
        return **seats_[index].place;
    }

    // Runs work(T&) on that loop, in order; nothing where there is no T.
    template <class Work>
    void post(size_t index, Work work) {
        seats_[index].loop->post([place = seats_[index].place, work = std::move(work)]() mutable {
            if (*place != nullptr) work(**place);
        });
    }
    template <class Work>
    void post_to_all(const Work& work) {
        for (size_t i = 0; i < seats_.size(); ++i) post(i, work);
    }

    // Runs work(place) on that loop, where `place` may be filled, and returns its result on the
    // control loop. When the flow is cancelled the work still runs. Name the callable first, as for
    // offload().
    template <class Work, class R = std::invoke_result_t<Work&, std::unique_ptr<T>&>>
    Task<R> run(size_t index, Work work) {
        struct State {
            std::optional<R> result;
            Completion<Done>* waiting = nullptr;  // null once the flow is gone
        };
        struct Detach {
            std::shared_ptr<State> state;
            explicit Detach(std::shared_ptr<State> s) : state(std::move(s)) {}
            ~Detach() { state->waiting = nullptr; }
        };
        Completion<Done> done;
        auto state = std::make_shared<State>();
        state->waiting = &done;
        Detach detach(state);
        seats_[index].loop->post([state, place = seats_[index].place, control = &control_,
                                  work = std::move(work)]() mutable {
            auto result = std::make_shared<R>(work(*place));
            control->post([state, result] {
                if (state->waiting == nullptr) return;
                state->result.emplace(std::move(*result));
                state->waiting->complete(Done());
            });
        });
        co_await done;
        co_return std::move(*state->result);
    }

private:
    struct Seat {
        Loop* loop;
        std::shared_ptr<std::unique_ptr<T>> place;
    };
    Loop& control_;
    std::vector<Seat> seats_;
};

}  // namespace candela
