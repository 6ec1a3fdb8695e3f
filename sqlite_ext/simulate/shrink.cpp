// Shortening a plan that fails. See simulate.h.
#include <algorithm>

#include "sqlite_ext/simulate/simulate.h"

namespace syncline::simulate {

namespace {

struct Shrinker {
  const Blueprint& blueprint;
  const std::string& kind;
  std::chrono::steady_clock::time_point until;
  const Stop& stop;
  Plan best;

  bool out_of_time() const { return std::chrono::steady_clock::now() > until || stop(); }

  // Takes `plan` if it fails in the same way.
  bool try_plan(Plan plan) {
    if (out_of_time()) return false;
    const Failure failure =
        replay(blueprint, plan, nullptr, [this] { return out_of_time(); });
    if (failure.kind != kind) return false;
    best = std::move(plan);
    return true;
  }

  bool drop_actions() {
    bool shorter = false;
    for (size_t size = std::max<size_t>(best.actions.size() / 2, 1);; size /= 2) {
      for (size_t end = best.actions.size(); end > 0 && !out_of_time();) {
        const size_t begin = end > size ? end - size : 0;
        Plan plan = best;
        plan.actions.erase(plan.actions.begin() + static_cast<std::ptrdiff_t>(begin),
                           plan.actions.begin() + static_cast<std::ptrdiff_t>(end));
        shorter = try_plan(std::move(plan)) || shorter;
        end = std::min(begin, best.actions.size());
      }
      if (size <= 1) return shorter;
    }
  }

  // A site that nothing happens to: it goes, and those after it move up.
  bool drop_sites() {
    bool fewer = false;
    for (uint32_t i = static_cast<uint32_t>(best.sites.size()); i-- > 0 && best.sites.size() > 2;) {
      Plan plan = best;
      bool used = false;
      for (Action& action : plan.actions) {
        const bool two = action.step == Step::exchange;
        used = used || action.site == i || (two && action.other == i);
        if (action.site > i) --action.site;
        if (action.other > i) --action.other;
      }
      if (used) continue;
      plan.sites.erase(plan.sites.begin() + i);
      fewer = try_plan(std::move(plan)) || fewer;
    }
    return fewer;
  }

  template <typename Change>
  void simplify(Change change) {
    Plan plan = best;
    if (change(&plan)) (void)try_plan(std::move(plan));
  }

  void simplify_sites() {
    for (size_t i = 0; i < best.sites.size(); ++i) {
      simplify([i](Plan* plan) {
        SiteSetup& site = plan->sites[i];
        const bool plain = site.skew_ms == 0 && site.before.empty();
        site.skew_ms = 0;
        site.before.clear();
        return !plain;
      });
      for (size_t j = best.sites[i].before.size(); j-- > 0;) {
        simplify([i, j](Plan* plan) {
          plan->sites[i].before.erase(plan->sites[i].before.begin() +
                                      static_cast<std::ptrdiff_t>(j));
          return true;
        });
      }
    }
  }

  void simplify_actions() {
    for (size_t i = 0; i < best.actions.size() && !out_of_time(); ++i) {
      simplify([i](Plan* plan) {
        Transfer& transfer = plan->actions[i].transfer;
        const bool plain = !transfer.faulty() && transfer.max_bytes == Transfer().max_bytes;
        transfer = Transfer();
        return plan->actions[i].step == Step::exchange && !plain;
      });
      simplify([i](Plan* plan) {
        Transfer& transfer = plan->actions[i].transfer;
        const bool faulty = transfer.drop || transfer.repeat || transfer.reorder ||
                            transfer.damage || transfer.kill;
        transfer.drop = transfer.repeat = transfer.reorder = transfer.damage = transfer.kill = 0;
        return faulty;
      });
      simplify([i](Plan* plan) {
        const bool odd = plan->actions[i].end != End::commit;
        plan->actions[i].end = End::commit;
        return odd;
      });
      for (size_t j = best.actions[i].sql.size(); j-- > 0 && best.actions[i].sql.size() > 1;) {
        simplify([i, j](Plan* plan) {
          std::vector<std::string>& sql = plan->actions[i].sql;
          sql.erase(sql.begin() + static_cast<std::ptrdiff_t>(j));
          return true;
        });
      }
    }
  }
};

}  // namespace

Plan shrink(const Blueprint& blueprint, Plan plan, const std::string& kind,
            std::chrono::steady_clock::time_point until, const Stop& stop) {
  Shrinker shrinker{blueprint, kind, until, stop, std::move(plan)};
  for (bool again = true; again && !shrinker.out_of_time();) {
    again = shrinker.drop_actions();
    again = shrinker.drop_sites() || again;
    if (again) continue;
    shrinker.simplify_sites();
    shrinker.simplify_actions();
    again = shrinker.drop_actions();
  }
  return shrinker.best;
}

}  // namespace syncline::simulate
