#include "jinja/python/value.hpp"

#include <algorithm>
#include <cmath>

#include "base/utf8.hpp"
#include "jinja/python/methods.hpp"
#include "jinja/python/print.hpp"

namespace elver::jinja {

Str::Str(Budget* budget, Text value, bool markup)
    : whole(std::move(value)),
      text(whole.bytes),
      n_chars(count_chars(text)),
      safe(markup),
      charge(budget, text.size() + whole.typed.size() * sizeof(Range) + sizeof(Str)) {}

StrPtr template_str(std::string text) {
    return std::make_shared<const Str>(nullptr, Text::of_template(std::move(text)), false);
}

namespace {
int checked_depth(Budget* budget, int below) {
    if (below + 1 > Budget::max_depth && budget) budget->over("a value is nested too deeply");
    return below + 1;
}
int depth_below(Budget* budget, const Values& values) {
    int depth = 0;
    for (const Value& v : values) depth = std::max(depth, depth_of(v));
    return checked_depth(budget, depth);
}
int depth_below(Budget* budget, const Pairs& pairs) {
    int depth = 0;
    for (const auto& [k, v] : pairs) depth = std::max({depth, depth_of(k), depth_of(v)});
    return checked_depth(budget, depth);
}
bool hashable(const Value& v) {
    if (const Seq* s = v.seq()) {
        if (s->kind == SeqKind::tuple) return std::all_of(s->items.begin(), s->items.end(), hashable);
        return s->kind == SeqKind::range || s->kind == SeqKind::iterator;
    }
    return !v.dict();
}
}  // namespace

Seq::Seq(Budget* budget, SeqKind k, Values values)
    : kind(k),
      items(std::move(values)),
      depth(depth_below(budget, items)),
      charge(budget, items.size() * sizeof(Value) + sizeof(Seq)) {}

Dict::Dict(Budget* paid_by, Pairs pairs)
    : depth(depth_below(paid_by, pairs)),
      charge(paid_by, pairs.size() * (sizeof(Pairs::value_type) + 48) + sizeof(Dict)) {
    Budget unlimited;
    Budget& budget = paid_by ? *paid_by : unlimited;
    items.reserve(pairs.size());
    for (auto& [key, value] : pairs) {
        need_hashable(budget, key);
        if (const Str* s = key.str()) {
            budget.work(s->text.size() / 16);
            const auto [it, is_new] = index_.try_emplace(s->text, items.size());
            if (!is_new) {
                items[it->second].second = std::move(value);
                continue;
            }
        } else {
            all_strings_ = false;
            budget.work(items.size());
            if (const Value* old = find(budget, key)) {
                *const_cast<Value*>(old) = std::move(value);  // our own item, under construction
                continue;
            }
        }
        items.emplace_back(std::move(key), std::move(value));
    }
}

const Value* Dict::find(std::string_view key) const {
    const auto it = index_.find(key);
    return it == index_.end() ? nullptr : &items[it->second].second;
}

const Value* Dict::find(Budget& budget, const Value& key) const {
    if (const Str* s = key.str()) return find(s->text);
    need_hashable(budget, key);
    if (all_strings_ || budget.failed()) return nullptr;
    for (const auto& [k, v] : items) {
        if (!k.str() && equal(budget, k, key)) return &v;
    }
    return nullptr;
}

Value Object::call(Env& env, Args) {
    return env.fail(cat("'", type_name(), "' object is not callable"));
}

Function::Function(std::string_view n, Native f, Value s)
    : Object(ObjectKind::function), name(n), native(f), self(std::move(s)) {
    depth = depth_of(self) + 1;
}
Value Function::call(Env& env, Args args) {
    env.charge_call(self, args);
    return native(env, self, args);
}

Value Env::str(std::string text, bool safe) {
    return str(Text::of_people(std::move(text)), safe);
}
Value Env::part(const Str& of, std::string_view part) {
    return str(of.whole.cut(part), of.safe);
}
Value Env::str(Text text, bool safe) {
    return Value(std::make_shared<const Str>(&budget, std::move(text), safe));
}
Value Env::list(Values items) {
    return seq(SeqKind::list, std::move(items));
}
Value Env::seq(SeqKind kind, Values items) {
    return Value(std::make_shared<Seq>(&budget, kind, std::move(items)));
}
Value Env::iterator(Values items, std::shared_ptr<const Error> failure) {
    auto s = std::make_shared<Seq>(&budget, SeqKind::iterator, std::move(items));
    s->failure = std::move(failure);
    return Value(std::move(s));
}
Value Env::dict(Pairs items) {
    return Value(DictPtr(std::make_shared<const Dict>(&budget, std::move(items))));
}
Value Env::bound(std::string_view name, Native native, const Value& self) {
    budget.work(1);
    checked_depth(&budget, depth_of(self));
    return Value(ObjectPtr(std::make_shared<Function>(name, native, self)));
}
Value Env::undefined(std::string message, bool security) {
    return Value(Undefined{std::make_shared<const std::string>(std::move(message)), security});
}

void need_hashable(Budget& budget, const Value& v) {
    if (hashable(v)) return;
    budget.stop(budget.at_line(Status::invalid_argument, cat("unhashable type: '", type_name(v), "'")));
}

void Env::charge_call(const Value& self, const Args& args) {
    const auto charge = [&](const Value& v) {
        const Str* s = v.str();
        const size_t n = s ? s->text.size() : v.seq() ? v.seq()->items.size() : v.dict() ? v.dict()->items.size() : 0;
        budget.work(n / 2 + 1);
    };
    charge(self);
    for (const Value& v : args.positional) charge(v);
    for (const auto& [name, v] : args.named) charge(v);
}

int depth_of(const Value& value) noexcept {
    if (const Seq* s = value.seq()) return s->depth;
    if (const Dict* d = value.dict()) return d->depth;
    if (const Object* o = value.object()) return o->depth;
    return 0;
}

std::string_view type_name(const Value& v) noexcept {
    if (v.is_undefined()) return "Undefined";
    if (v.is_none()) return "NoneType";
    if (v.as<bool>()) return "bool";
    if (v.as<Int>()) return "int";
    if (v.as<double>()) return "float";
    if (const Str* s = v.str()) return s->safe ? "Markup" : "str";
    if (const Seq* s = v.seq()) {
        static constexpr std::string_view names[] = {"list",      "tuple",       "range",    "dict_items",
                                                     "dict_keys", "dict_values", "generator"};
        return names[static_cast<int>(s->kind)];
    }
    if (v.dict()) return "dict";
    return v.object()->type_name();
}

Failed Env::fail_undefined(const Value& value) {
    const Undefined* u = value.as<Undefined>();
    return fail(u && u->message ? *u->message : std::string_view("an undefined value is used"));
}

bool truth(const Value& v) {
    if (v.is_undefined() || v.is_none()) return false;
    if (const bool* b = v.as<bool>()) return *b;
    if (const Int* i = v.as<Int>()) return *i != 0;
    if (const double* d = v.as<double>()) return *d != 0;
    if (const Str* s = v.str()) return !s->text.empty();
    if (const Seq* s = v.seq()) return s->kind == SeqKind::iterator || !s->items.empty();
    if (const Dict* d = v.dict()) return !d->items.empty();
    return true;
}

bool is_number(const Value& v) noexcept {
    return v.as<bool>() || v.as<Int>() || v.as<double>();
}
bool is_mapping(const Value& v) noexcept {
    return v.dict() != nullptr;
}

Int to_int(Env& env, const Value& v, std::string_view what) {
    if (const Int* i = v.as<Int>()) return *i;
    if (const bool* b = v.as<bool>()) return *b;
    if (v.is_undefined()) return env.fail_undefined(v);
    return env.fail(cat(what, " must be an integer, not ", type_name(v)));
}

double to_double(const Value& v) {
    if (const double* d = v.as<double>()) return *d;
    if (const Int* i = v.as<Int>()) return static_cast<double>(*i);
    return v.as<bool>() && *v.as<bool>() ? 1 : 0;
}

namespace {
Int integer(const Value& v) {  // of an int or bool
    const Int* i = v.as<Int>();
    return i ? *i : Int{*v.as<bool>()};
}
// -1, 0, 1, or 2 for not comparable (NaN).
int compare_numbers(const Value& a, const Value& b) {
    if (!a.as<double>() && !b.as<double>()) {
        const Int x = integer(a), y = integer(b);
        return x < y ? -1 : x > y;
    }
    const double x = to_double(a), y = to_double(b);
    if (std::isnan(x) || std::isnan(y)) return 2;
    return x < y ? -1 : x > y;
}

bool equal_items(Budget& budget, const Values& a, const Values& b) {
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i) {
        if (!same(a[i], b[i]) && !equal(budget, a[i], b[i])) return false;
    }
    return true;
}

bool equal_dicts(Budget& budget, const Dict& a, const Dict& b) {
    if (a.items.size() != b.items.size()) return false;
    for (const auto& [key, value] : a.items) {
        if (key.str()) budget.work(key.str()->text.size() / 16);
        const Value* other = b.find(budget, key);
        if (!other || !(same(value, *other) || equal(budget, value, *other))) return false;
    }
    return true;
}
}  // namespace

bool same(const Value& a, const Value& b) {
    if (a.index() != b.index()) return false;
    if (a.is_none()) return true;
    if (a.is_undefined()) return a.as<Undefined>()->message == b.as<Undefined>()->message;
    if (const bool* x = a.as<bool>()) return *x == *b.as<bool>();
    if (const Int* x = a.as<Int>()) return *x == *b.as<Int>();
    if (const double* x = a.as<double>()) return *x == *b.as<double>();
    if (const Str* x = a.str()) return x == b.str() || (x->safe == b.str()->safe && x->text == b.str()->text);
    return a.seq() ? a.seq() == b.seq() : a.dict() ? a.dict() == b.dict() : a.object() == b.object();
}

bool equal(Budget& budget, const Value& a, const Value& b) {
    budget.work(1);
    if (budget.failed()) return false;
    if (is_number(a) && is_number(b)) return compare_numbers(a, b) == 0;
    if (a.is_undefined() && b.is_undefined()) return true;
    if (a.str() && b.str()) {
        budget.work(a.str()->text.size() / 16);
        return a.str()->text == b.str()->text;
    }
    if (a.seq() && b.seq()) {
        const Seq &x = *a.seq(), &y = *b.seq();
        if (&x == &y) return true;
        const bool by_items = x.kind == y.kind && x.kind != SeqKind::iterator && x.kind != SeqKind::dict_values;
        return by_items && equal_items(budget, x.items, y.items);
    }
    if (a.dict() && b.dict()) return a.dict() == b.dict() || equal_dicts(budget, *a.dict(), *b.dict());
    return same(a, b);
}

bool less(Env& env, const Value& a, const Value& b, const char* op) {
    env.budget.work(1);
    if (env.failed()) return false;
    if (is_number(a) && is_number(b)) return compare_numbers(a, b) == -1;
    if (a.str() && b.str()) {
        env.budget.work(std::min(a.str()->text.size(), b.str()->text.size()) / 16);
        return a.str()->text < b.str()->text;  // UTF-8 sorts as its code points do
    }
    if (a.seq() && b.seq() && a.seq()->kind == b.seq()->kind && a.seq()->indexable()) {
        const Values &x = a.seq()->items, &y = b.seq()->items;
        for (size_t i = 0; i < x.size() && i < y.size(); ++i) {
            if (!equal(env, x[i], y[i])) return less(env, x[i], y[i], op);
        }
        return x.size() < y.size();
    }
    if (a.is_undefined()) return env.fail_undefined(a);
    if (b.is_undefined()) return env.fail_undefined(b);
    return env.fail(cat("'", op, "' not supported between instances of '", type_name(a), "' and '", type_name(b), "'"));
}

bool contains(Env& env, const Value& container, const Value& item) {
    if (const Str* s = container.str()) {
        if (item.is_undefined()) return env.fail_undefined(item);
        if (!item.str()) return env.fail(cat("'in <string>' requires string as left operand, not ", type_name(item)));
        env.budget.search(s->text.size(), item.str()->text.size());
        return s->text.find(item.str()->text) != std::string::npos;
    }
    if (item.str()) env.budget.work(item.str()->text.size() / 16);
    if (const Dict* d = container.dict()) return d->find(env.budget, item) != nullptr;
    if (!is_iterable(container)) return env.fail(cat("argument of type '", type_name(container), "' is not iterable"));
    for (const Value& v : iterate(env, container)) {
        if (same(v, item) || equal(env, v, item)) return true;
    }
    return false;
}

size_t length(Env& env, const Value& v) {
    if (v.is_undefined()) return 0;
    if (const Str* s = v.str()) return s->n_chars;
    if (const Seq* s = v.seq(); s && s->kind != SeqKind::iterator) return s->items.size();
    if (const Dict* d = v.dict()) return d->items.size();
    return env.fail(cat("object of type '", type_name(v), "' has no len()"));
}

bool is_iterable(const Value& v) noexcept {
    return v.is_undefined() || v.str() || v.seq() || v.dict();
}

Values iterate(Env& env, const Value& v) {
    Values out;
    if (const Str* s = v.str()) {
        const bool fits = env.budget.take(s->n_chars * sizeof(Str));
        env.budget.give(s->n_chars * sizeof(Str));
        if (!fits) return out;
        for (std::string_view rest = s->text; !rest.empty() && !env.failed();) {
            const size_t n = static_cast<size_t>(decode_utf8(rest).n_bytes);
            out.push_back(env.str(s->whole.cut(rest.substr(0, n))));  // not Markup, as in Python
            rest.remove_prefix(n);
        }
    } else if (Seq* q = v.seq()) {
        env.budget.work(q->items.size() - q->next + 1);
        out.assign(q->items.begin() + static_cast<std::ptrdiff_t>(q->next), q->items.end());
        if (q->kind == SeqKind::iterator) {
            q->next = q->items.size();
            if (q->failure) env.budget.stop(*q->failure);
        }
    } else if (const Dict* d = v.dict()) {
        env.budget.work(d->items.size() + 1);
        for (const auto& [key, value] : d->items) out.push_back(key);
    } else if (!v.is_undefined()) {
        return env.fail(cat("'", type_name(v), "' object is not iterable"));
    }
    return out;
}

std::string_view char_range(const Str& s, size_t first, size_t last) noexcept {
    if (first >= last) return {};
    if (s.ascii()) return std::string_view(s.text).substr(first, last - first);
    const auto offset = [&](size_t from, size_t n) {
        while (n > 0 && from < s.text.size()) {
            do ++from;
            while (from < s.text.size() && (s.text[from] & 0xC0) == 0x80);
            --n;
        }
        return from;
    };
    const size_t begin = offset(0, first);
    return std::string_view(s.text).substr(begin, offset(begin, last - first) - begin);
}

std::string_view char_at(const Str& s, size_t i) noexcept {
    return char_range(s, i, i + 1);
}

namespace {
// The item of a sequence or string at an index that may count from the end; missing where it is out of range.
Value item_at(Env& env, const Value& v, Int index) {
    const Int n = static_cast<Int>(length(env, v));
    if (index < 0) index += n;
    if (index < 0 || index >= n) return {};
    const auto i = static_cast<size_t>(index);
    if (const Seq* s = v.seq()) return s->items[i];
    env.budget.work(v.str()->ascii() ? 1 : v.str()->text.size() / 4 + 1);
    return env.part(*v.str(), char_at(*v.str(), i));
}

// obj[key] as Python has it; missing where Python raises TypeError or LookupError.
Value subscript(Env& env, const Value& v, const Value& key) {
    if (const Dict* d = v.dict()) {
        if (key.str()) env.budget.work(key.str()->text.size() / 16);
        if (key.dict() || (key.seq() && key.seq()->kind == SeqKind::list)) return {};
        const Value* found = d->find(env.budget, key);
        return found ? *found : Value();
    }
    const bool indexable = v.str() || (v.seq() && v.seq()->indexable());
    if (indexable && (key.as<Int>() || key.as<bool>())) return item_at(env, v, to_int(env, key, "an index"));
    return {};
}

// getattr(obj, name); missing where Python raises AttributeError.
Value attribute(Env& env, const Value& v, std::string_view name) {
    if (Object* o = v.object()) return o->attribute(env, name);
    return method(env, v, name);
}

Value no_such(Env& env, const Value& v, const Value& key) {
    const std::string shown = key.str() ? cat("attribute '", key.str()->text, "'") : cat("element ", to_str(env, key));
    if (v.is_none()) return env.undefined(cat("'None' has no ", shown));
    return env.undefined(cat("'", type_name(v), " object' has no ", shown));
}
}  // namespace

Value get_attribute(Env& env, const Value& v, std::string_view name) {
    if (v.is_undefined()) return env.fail_undefined(v);
    Value found = attribute(env, v, name);
    if (!found.is_missing()) return found;
    if (const Dict* d = v.dict()) {
        if (const Value* item = d->find(name)) return *item;
    }
    return no_such(env, v, env.str(std::string(name)));
}

Value get_item(Env& env, const Value& v, const Value& key) {
    if (v.is_undefined()) return env.fail_undefined(v);
    Value found = subscript(env, v, key);
    if (!found.is_missing()) return found;
    if (const Str* s = key.str()) {
        found = attribute(env, v, s->text);
        if (!found.is_missing()) return found;
    }
    return no_such(env, v, key);
}

Value make_range(Env& env, Int start, Int stop, Int step) {
    static constexpr Int far = Int{1} << 100, max_items = 100000;  // the sandbox's limit
    if (step == 0) return env.fail("range() arg 3 must not be zero");
    if (std::max({start, stop, step}) > far || std::min({start, stop, step}) < -far) return env.fail("Range too big");
    const Int n = step > 0 ? (stop - start + step - 1) / step : (start - stop - step - 1) / -step;
    if (n > max_items)
        return env.fail(
            cat("Range too big. The sandbox blocks ranges larger than MAX_RANGE (", int_text(max_items), ")."));
    Values items;
    for (Int i = 0; i < n; ++i) items.emplace_back(start + i * step);
    auto s = std::make_shared<Seq>(&env.budget, SeqKind::range, std::move(items));
    s->start = start;
    s->stop = stop;
    s->step = step;
    return Value(std::move(s));
}

Value get_slice(Env& env, const Value& v, const Value& start, const Value& stop, const Value& step) {
    if (v.is_undefined()) return env.fail_undefined(v);
    if (!v.str() && !(v.seq() && v.seq()->indexable()))
        return env.fail(cat("'", type_name(v), "' object is not subscriptable by a slice"));
    const Int n = static_cast<Int>(length(env, v));
    const Int by = step.is_none() ? 1 : to_int(env, step, "a slice index");
    if (by == 0) return env.fail("slice step cannot be zero");
    const Int low = by < 0 ? -1 : 0, high = by < 0 ? n - 1 : n;
    const auto bound = [&](const Value& value, Int otherwise) {
        if (value.is_none()) return otherwise;
        Int i = to_int(env, value, "a slice index");
        if (i < 0) i += n;
        return std::clamp(i, low, std::max(low, high));
    };
    const Int from = bound(start, by < 0 ? high : low), to = bound(stop, by < 0 ? low : high);
    if (const Str* s = v.str()) {
        env.budget.work(s->text.size() / 4 + 1);
        if (by == 1) return env.part(*s, char_range(*s, static_cast<size_t>(from), static_cast<size_t>(to)));
        const std::u32string chars = decode(s->text);
        std::u32string out;
        for (Int i = from; by > 0 ? i < to : i > to; i += by) out.push_back(chars[static_cast<size_t>(i)]);
        return env.str(Text::computed(encode(out), s->whole.any_typed()), s->safe);
    }
    const Seq& q = *v.seq();
    if (q.kind == SeqKind::range) {
        const Int stride = std::clamp(by, -n - 1, n + 1);  // a longer one would give the same items, or exceed 128 bits
        return make_range(env, q.start + from * q.step, q.start + to * q.step, q.step * stride);
    }
    Values out;
    for (Int i = from; by > 0 ? i < to : i > to; i += by) out.push_back(v.seq()->items[static_cast<size_t>(i)]);
    return env.seq(v.seq()->kind == SeqKind::tuple ? SeqKind::tuple : SeqKind::list, std::move(out));
}

}  // namespace elver::jinja
