// Runs a bound syntax tree over a caller's variables. One interpreter renders once.
#pragma once

#include <memory>
#include <string>

#include "jinja/python/clock.hpp"
#include "jinja/syntax.hpp"

namespace elver::jinja {

// The variables of one frame while it runs; a loop's is one for all its turns, as macros made within it see.
struct Scope : std::enable_shared_from_this<Scope> {
    std::shared_ptr<Scope> parent;
    Values slots;
    bool kept = false;
};
using ScopePtr = std::shared_ptr<Scope>;

struct Namespace;

class Interpreter final : public Env {
  public:
    Interpreter(const Syntax& syntax, std::optional<LocalTime> now) : syntax_(syntax), now_(now) {}
    ~Interpreter() override;

    // variables: a dict. The error has the line in its message.
    Result<Text> run(const Value& variables);

    std::string strftime_now(std::string_view format) override;
    Value make_namespace(Pairs attributes) override;

    // For the objects that hold a part of the tree.
    Text call_function(const Stmt& function, const ScopePtr& outer, Args args);
    bool loop_test(const Stmt& stmt, const ScopePtr& outer, const Value& item);

  private:
    enum class Flow { next, break_loop, continue_loop };

    // Counts nested evaluation while it lives; too much is a failure.
    class Deeper {
      public:
        explicit Deeper(Interpreter& in) : in_(in) {
            if (++in_.depth > max_nesting) in_.over_budget("the template nests too deeply");
        }
        Deeper(const Deeper&) = delete;
        Deeper& operator=(const Deeper&) = delete;
        ~Deeper() { --in_.depth; }

      private:
        // 370 KB of stack at most: an app's threads may have 512 KiB.
        static constexpr int max_nesting = 500;
        Interpreter& in_;
    };

    ScopePtr enter(const Frame& frame, const ScopePtr& outer);
    void load(const Frame& frame, Scope& scope);
    Value& slot(Scope& scope, SlotRef ref);
    Value resolve(const std::string& name);
    Scope* keep(const ScopePtr& scope);

    Flow exec(const Body& body, const ScopePtr& scope);
    Flow exec(const Stmt& stmt, const ScopePtr& scope);
    Flow exec_if(const Stmt& stmt, const ScopePtr& scope);
    Flow exec_with(const Stmt& stmt, const ScopePtr& scope);
    void exec_print(const Stmt& stmt, const ScopePtr& scope);
    void exec_set(const Stmt& stmt, const ScopePtr& scope);
    void exec_set_block(const Stmt& stmt, const ScopePtr& scope);
    void exec_filter_block(const Stmt& stmt, const ScopePtr& scope);
    void exec_macro(const Stmt& stmt, const ScopePtr& scope);
    void exec_for(const Stmt& stmt, const ScopePtr& scope);
    Text captured(const Body& body, const ScopePtr& scope);
    void assign(const Expr& target, const Value& value, Scope& scope);

    Value eval(const Expr& e, Scope& scope);
    Value eval_deep(const Expr& e, Scope& scope);
    Value eval_name(const Expr& e, Scope& scope);
    Value eval_sequence(const Expr& e, Scope& scope);
    Value eval_dict(const Expr& e, Scope& scope);
    Value eval_concat(const Expr& e, Scope& scope);
    Value eval_compare(const Expr& e, Scope& scope);
    Value eval_conditional(const Expr& e, Scope& scope);
    Value eval_slice(const Expr& e, Scope& scope);
    Value eval_call(const Expr& e, Scope& scope);
    Value eval_filter(const Expr& e, Scope& scope);
    Value eval_test(const Expr& e, Scope& scope);
    Args eval_args(const Expr& e, Scope& scope);

    const Syntax& syntax_;
    std::optional<LocalTime> now_;
    Value variables_;
    std::vector<ScopePtr> kept_;
    std::vector<std::shared_ptr<Namespace>> namespaces_;
    Value filter_input_;  // of a filter or set block
    Text* out_ = nullptr;
};

}  // namespace elver::jinja
