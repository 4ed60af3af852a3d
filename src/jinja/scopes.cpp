#include "jinja/scopes.hpp"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "jinja/builtins.hpp"
#include "jinja/lexer.hpp"

namespace elver::jinja {
namespace {

constexpr size_t max_copied = 5'000'000;

// The names of one frame while it is analysed. A branch of an if works on a copy.
struct Symbols {
    const Symbols* parent = nullptr;
    Frame* frame = nullptr;
    std::unordered_map<std::string, int> slots;
    std::set<std::string> stored;
    size_t* n_copied = nullptr;             // names copied for the branches of ifs, in the whole template
    std::optional<Error>* error = nullptr;  // the first, of the whole template

    // Hops to the frame that knows the name; -1: none.
    SlotRef find(const std::string& name) const {
        int hops = 0;
        for (const Symbols* s = this; s; s = s->parent, ++hops) {
            const auto it = s->slots.find(name);
            if (it != s->slots.end()) return {hops, it->second};
        }
        return {};
    }
    SlotRef find_outside(const std::string& name) const { return parent ? parent->find(name) : SlotRef{}; }

    int define(const std::string& name, Load load) {
        const auto [it, is_new] = slots.try_emplace(name, static_cast<int>(frame->slots.size()));
        if (is_new)
            frame->slots.push_back(std::move(load));
        else
            frame->slots[static_cast<size_t>(it->second)] = std::move(load);
        return it->second;
    }
    int parameter(const std::string& name) {
        stored.insert(name);
        return define(name, {LoadKind::parameter, name, {}});
    }
    void read(const std::string& name) {
        if (find(name).slot < 0) define(name, {LoadKind::context, name, {}});
    }
    void store(const std::string& name) {
        stored.insert(name);
        if (slots.count(name)) return;
        const SlotRef outer = find_outside(name);
        define(name, {outer.slot < 0 ? LoadKind::missing : LoadKind::outer, name, outer});
    }
};

// What one frame's statements mention, in order, without entering the frames inside.
class FrameReader {
  public:
    explicit FrameReader(Symbols& symbols) : s_(&symbols) {}

    void body(const Body& body) {
        for (const StmtPtr& stmt : body) statement(*stmt);
    }

    void expr(const Expr* e) {
        if (!e) return;
        if (e->kind == ExprKind::name || e->kind == ExprKind::attribute_target) s_->read(e->name);
        for (const ExprPtr& operand : e->operands) expr(operand.get());
        for (const auto& [name, value] : e->keywords) expr(value.get());
    }

    void target(const Expr& e, bool parameter) {
        if (e.kind == ExprKind::name) {
            if (parameter)
                s_->parameter(e.name);
            else
                s_->store(e.name);
        } else if (e.kind == ExprKind::attribute_target) {
            s_->read(e.name);
        }
        for (const ExprPtr& operand : e.operands) target(*operand, parameter);
    }

  private:
    void statement(const Stmt& s) {
        switch (s.kind) {
            case StmtKind::print:
            case StmtKind::for_loop:
            case StmtKind::filter_block:
                return expr(s.expr.get());
            case StmtKind::set:
                expr(s.expr.get());
                return target(*s.target, false);
            case StmtKind::set_block:
            case StmtKind::macro:
                return target(*s.target, false);
            case StmtKind::with:
                for (const ExprPtr& value : s.defaults) expr(value.get());
                return;
            case StmtKind::if_else:
                return branches(s, 0);
            default:
                return;
        }
    }

    // elif is an if within else: what both sides store is joined at each level.
    void branches(const Stmt& s, size_t i) {
        const Branch& branch = s.branches[i];
        expr(branch.test.get());
        Symbols& whole = *s_;
        *whole.n_copied += whole.slots.size() + whole.stored.size() + 1;
        if (*whole.n_copied > max_copied) {
            if (!*whole.error)
                *whole.error = unsupported_at(
                    s.line, cat("too many variables are set inside nested conditions (limit ", max_copied, ")"));
            return;
        }
        Symbols sides[] = {whole, whole};
        // Slots that the first side adds are known to the frame, not to the other side's names.
        s_ = &sides[0];
        body(branch.body);
        merge(sides[1], sides[0], false);
        s_ = &sides[1];
        if (i + 1 < s.branches.size()) {
            if (s.branches[i + 1].test)
                branches(s, i + 1);
            else
                body(s.branches[i + 1].body);
        }
        s_ = &whole;
        std::set<std::string> fresh;
        for (const Symbols& side : sides) {
            for (const std::string& name : side.stored) {
                if (!whole.stored.count(name)) fresh.insert(name);
            }
        }
        for (const Symbols& side : sides) merge(whole, side, true);
        for (const std::string& name : fresh) {
            const SlotRef outer = whole.find_outside(name);
            whole.define(name, {outer.slot < 0 ? LoadKind::context : LoadKind::outer, name, outer});
        }
    }

    static void merge(Symbols& into, const Symbols& from, bool stores) {
        into.slots.insert(from.slots.begin(), from.slots.end());
        if (stores) into.stored.insert(from.stored.begin(), from.stored.end());
    }

    Symbols* s_;
};

// Whether a name stands in an expression or a statement, frames inside included.
bool mentions(const Expr* e, std::string_view name) {
    if (!e) return false;
    if (e->kind == ExprKind::name && e->name == name) return true;
    const auto any = [&](const ExprPtr& x) { return mentions(x.get(), name); };
    return std::any_of(e->operands.begin(), e->operands.end(), any) ||
           std::any_of(e->keywords.begin(), e->keywords.end(), [&](auto& k) { return any(k.second); });
}

bool mentions(const Body& body, std::string_view name) {
    return std::any_of(body.begin(), body.end(), [&](const StmtPtr& s) {
        const auto any = [&](const ExprPtr& x) { return mentions(x.get(), name); };
        return any(s->expr) || any(s->test) || std::any_of(s->defaults.begin(), s->defaults.end(), any) ||
               mentions(s->body, name) || mentions(s->else_body, name) ||
               std::any_of(s->branches.begin(), s->branches.end(),
                           [&](const Branch& b) { return mentions(b.test.get(), name) || mentions(b.body, name); });
    });
}

// Gives each name its slot and enters the frames inside.
class Binder {
  public:
    Result<void> root(Syntax& syntax) {
        Symbols symbols;
        symbols.frame = &syntax.frame;
        symbols.n_copied = &n_copied_;
        symbols.error = &error_;
        FrameReader(symbols).body(syntax.body);
        if (!error_) body(syntax.body, symbols, false);
        if (error_) return *std::move(error_);
        return {};
    }

  private:
    static Symbols inside(const Symbols& outer, Frame& frame) {
        Symbols s;
        s.parent = &outer;
        s.frame = &frame;
        s.n_copied = outer.n_copied;
        s.error = outer.error;
        return s;
    }

    void body(Body& body, const Symbols& s, bool soft) {
        for (StmtPtr& stmt : body) {
            if (error_) return;
            statement(*stmt, s, soft);
        }
    }

    // soft: within an if, where an unknown filter fails only when it is reached.
    void expr(Expr* e, const Symbols& s, bool soft) {
        if (!e) return;
        if (e->kind == ExprKind::name || e->kind == ExprKind::attribute_target) e->slot = s.find(e->name);
        if (e->kind == ExprKind::filter) e->native = find_filter(e->name);
        if (e->kind == ExprKind::test) e->predicate = find_test(e->name);
        if (!soft && !error_ && e->kind == ExprKind::filter && !e->native)
            error_ = unsupported_at(e->line, cat("filter ", in_quotes(e->name), " is not supported"));
        if (!soft && !error_ && e->kind == ExprKind::test && !e->predicate)
            error_ = unsupported_at(e->line, cat("test ", in_quotes(e->name), " is not supported"));
        const bool inner = soft || e->kind == ExprKind::conditional;
        for (ExprPtr& operand : e->operands) expr(operand.get(), s, inner);
        for (auto& [name, value] : e->keywords) expr(value.get(), s, inner);
    }

    void statement(Stmt& st, const Symbols& s, bool soft) {
        switch (st.kind) {
            case StmtKind::if_else:
                for (Branch& branch : st.branches) {
                    expr(branch.test.get(), s, true);
                    body(branch.body, s, true);
                }
                return;
            case StmtKind::for_loop:
                return for_loop(st, s, soft);
            case StmtKind::macro:
                expr(st.target.get(), s, soft);
                return function(st, s);
            case StmtKind::with:
                return with(st, s, soft);
            case StmtKind::set_block:
            case StmtKind::filter_block: {
                expr(st.expr.get(), s, soft);
                expr(st.target.get(), s, soft);
                Symbols inner = inside(s, st.frame);
                FrameReader(inner).body(st.body);
                return body(st.body, inner, false);
            }
            default:
                expr(st.expr.get(), s, soft);
                expr(st.target.get(), s, soft);
        }
    }

    void for_loop(Stmt& st, const Symbols& s, bool soft) {
        expr(st.expr.get(), s, soft);
        if (st.test) {
            Symbols test = inside(s, st.test_frame);
            FrameReader reader(test);
            reader.target(*st.target, true);
            reader.expr(st.test.get());
            st.test_target = copy_target(*st.target);
            expr(st.test_target.get(), test, false);
            expr(st.test.get(), test, false);
        }
        Symbols loop = inside(s, st.frame);
        st.loop = {0, loop.parameter("loop")};
        FrameReader reader(loop);
        reader.target(*st.target, true);
        reader.body(st.body);
        expr(st.target.get(), loop, false);
        body(st.body, loop, false);
        Symbols otherwise = inside(s, st.else_frame);
        FrameReader(otherwise).body(st.else_body);
        body(st.else_body, otherwise, false);
    }

    static ExprPtr copy_target(const Expr& target) {
        auto copy = std::make_unique<Expr>();
        copy->kind = target.kind;
        copy->line = target.line;
        copy->name = target.name;
        for (const ExprPtr& operand : target.operands) copy->operands.push_back(copy_target(*operand));
        return copy;
    }

    void with(Stmt& st, const Symbols& s, bool soft) {
        for (ExprPtr& value : st.defaults) expr(value.get(), s, soft);
        Symbols inner = inside(s, st.frame);
        FrameReader reader(inner);
        for (ExprPtr& target : st.params) reader.target(*target, true);
        reader.body(st.body);
        for (ExprPtr& target : st.params) expr(target.get(), inner, false);
        body(st.body, inner, false);
    }

    void function(Stmt& st, const Symbols& s) {
        Symbols inner = inside(s, st.frame);
        FrameReader reader(inner);
        for (ExprPtr& param : st.params) reader.target(*param, true);
        for (ExprPtr& value : st.defaults) reader.expr(value.get());
        reader.body(st.body);
        for (const char* name : {"caller", "varargs", "kwargs"}) {
            const auto is_it = [&](const ExprPtr& param) { return param->name == name; };
            if (!std::any_of(st.params.begin(), st.params.end(), is_it) && mentions(st.body, name) && !error_)
                error_ = unsupported_at(st.line, cat(name, " of a macro is not supported"));
        }
        for (ExprPtr& param : st.params) expr(param.get(), inner, false);
        for (ExprPtr& value : st.defaults) expr(value.get(), inner, false);
        body(st.body, inner, false);
    }

    size_t n_copied_ = 0;
    std::optional<Error> error_;
};

}  // namespace

Result<void> bind_names(Syntax& syntax) {
    return Binder().root(syntax);
}

bool reads(const Syntax& syntax, std::string_view variable) {
    return mentions(syntax.body, variable);
}

}  // namespace elver::jinja
