// Calls one function of a candidate and writes what it returned, as plain data.
//
// Comes before the candidate; the call itself comes after it. Standard input holds the arguments.
// What was expected is not here and never comes here: the result is compared outside. What the
// candidate prints goes to standard error.
#include <bits/stdc++.h>
#include <unistd.h>

namespace assay_call {

struct Json {
    enum Kind { null, boolean, number, text, list, object } kind = null;
    bool truth = false;
    std::string word;
    std::vector<Json> items;
    std::vector<std::pair<std::string, Json>> entries;
};

struct Reader {
    const std::string &text;
    size_t at = 0;

    void space() { while (at < text.size() && strchr(" \t\r\n", text[at])) at++; }

    static void utf8(unsigned code, std::string &out)
    {
        if (code < 0x80) out += char(code);
        else if (code < 0x800) { out += char(0xc0 | code >> 6); out += char(0x80 | (code & 63)); }
        else if (code < 0x10000) {
            out += char(0xe0 | code >> 12); out += char(0x80 | (code >> 6 & 63)); out += char(0x80 | (code & 63));
        } else {
            out += char(0xf0 | code >> 18); out += char(0x80 | (code >> 12 & 63));
            out += char(0x80 | (code >> 6 & 63)); out += char(0x80 | (code & 63));
        }
    }

    unsigned hex() { unsigned code = std::stoul(text.substr(at + 1, 4), nullptr, 16); at += 4; return code; }

    std::string string()
    {
        std::string out;
        for (at++; text.at(at) != '"'; at++) {
            if (text[at] != '\\') { out += text[at]; continue; }
            switch (text.at(++at)) {
            case 'b': out += '\b'; break;
            case 'f': out += '\f'; break;
            case 'n': out += '\n'; break;
            case 'r': out += '\r'; break;
            case 't': out += '\t'; break;
            case 'u': {
                unsigned code = hex();
                if (code >= 0xd800 && code < 0xdc00 && text.compare(at + 1, 2, "\\u") == 0) {
                    at += 2;
                    code = 0x10000 + ((code - 0xd800) << 10) + (hex() - 0xdc00);
                }
                utf8(code, out);
                break;
            }
            default: out += text[at];
            }
        }
        at++;
        return out;
    }

    Json value()
    {
        space();
        Json found;
        char first = text.at(at);
        if (first == '"') {
            found.kind = Json::text;
            found.word = string();
        } else if (first == '[' || first == '{') {
            found.kind = first == '[' ? Json::list : Json::object;
            for (at++;;) {
                space();
                if (text.at(at) == ']' || text[at] == '}') break;
                if (text[at] == ',') { at++; space(); }
                if (first == '[') { found.items.push_back(value()); continue; }
                std::string key = string();
                space();
                at++;
                found.entries.emplace_back(key, value());
            }
            at++;
        } else {
            size_t start = at;
            while (at < text.size() && !strchr(",]} \t\r\n", text[at])) at++;
            found.word = text.substr(start, at - start);
            if (found.word == "true" || found.word == "false") {
                found.kind = Json::boolean;
                found.truth = found.word == "true";
            } else if (found.word != "null") {
                found.kind = Json::number;
            }
        }
        return found;
    }
};

[[noreturn]] inline void mismatch(const char *wanted)
{
    fprintf(stderr, "an argument is no %s\n", wanted);
    _exit(1);
}

template <class T, class = void> struct Decode;

template <> struct Decode<bool> {
    static bool from(const Json &json) { if (json.kind != Json::boolean) mismatch("bool"); return json.truth; }
};
template <> struct Decode<char> {
    static char from(const Json &json) { if (json.kind != Json::text || json.word.empty()) mismatch("char"); return json.word[0]; }
};
template <> struct Decode<std::string> {
    static std::string from(const Json &json) { if (json.kind != Json::text) mismatch("string"); return json.word; }
};
template <class T> struct Decode<T, std::enable_if_t<std::is_integral_v<T>>> {
    static T from(const Json &json)
    {
        if (json.kind != Json::number) mismatch("integer");
        return std::is_signed_v<T> ? T(strtoll(json.word.c_str(), nullptr, 10)) : T(strtoull(json.word.c_str(), nullptr, 10));
    }
};
template <class T> struct Decode<T, std::enable_if_t<std::is_floating_point_v<T>>> {
    static T from(const Json &json) { if (json.kind != Json::number) mismatch("float"); return T(strtold(json.word.c_str(), nullptr)); }
};
template <class C> struct Sequence {
    static C from(const Json &json)
    {
        if (json.kind != Json::list) mismatch("list");
        C all;
        for (const Json &item : json.items) all.insert(all.end(), Decode<typename C::value_type>::from(item));
        return all;
    }
};
template <class T> struct Decode<std::vector<T>> : Sequence<std::vector<T>> {};
template <class T> struct Decode<std::deque<T>> : Sequence<std::deque<T>> {};
template <class T> struct Decode<std::list<T>> : Sequence<std::list<T>> {};
template <class T> struct Decode<std::set<T>> : Sequence<std::set<T>> {};
template <class T> struct Decode<std::unordered_set<T>> : Sequence<std::unordered_set<T>> {};
template <class A, class B> struct Decode<std::pair<A, B>> {
    static std::pair<A, B> from(const Json &json)
    {
        if (json.kind != Json::list || json.items.size() != 2) mismatch("pair");
        return {Decode<A>::from(json.items[0]), Decode<B>::from(json.items[1])};
    }
};
template <class T> struct Decode<std::optional<T>> {
    static std::optional<T> from(const Json &json)
    {
        if (json.kind == Json::null) return std::nullopt;
        return Decode<T>::from(json);
    }
};
template <class M> struct Entries {
    static M from(const Json &json)
    {
        if (json.kind != Json::object) mismatch("map");
        M all;
        for (const auto &[key, item] : json.entries) {
            Json name;
            name.kind = std::is_arithmetic_v<typename M::key_type> ? Json::number : Json::text;
            name.word = key;
            all.emplace(Decode<typename M::key_type>::from(name), Decode<typename M::mapped_type>::from(item));
        }
        return all;
    }
};
template <class K, class V> struct Decode<std::map<K, V>> : Entries<std::map<K, V>> {};
template <class K, class V> struct Decode<std::unordered_map<K, V>> : Entries<std::unordered_map<K, V>> {};

template <class T, class = void> struct is_range : std::false_type {};
template <class T>
struct is_range<T, std::void_t<decltype(std::declval<const T &>().begin()), decltype(std::declval<const T &>().end())>> : std::true_type {};
template <class T, class = void> struct is_keyed : std::false_type {};
template <class T> struct is_keyed<T, std::void_t<typename T::key_type>> : std::true_type {};
template <class T, class = void> struct is_mapped : std::false_type {};
template <class T> struct is_mapped<T, std::void_t<typename T::mapped_type>> : std::true_type {};

inline void quote(const std::string &text, std::string &out)
{
    out += '"';
    for (unsigned char c : text) {
        if (c == '"' || c == '\\') { out += '\\'; out += char(c); }
        else if (c < 0x20) { char code[8]; snprintf(code, sizeof code, "\\u%04x", c); out += code; }
        else out += char(c);
    }
    out += '"';
}

template <class T> void encode(const T &value, std::string &out);
template <class A, class B> void encode(const std::pair<A, B> &value, std::string &out)
{
    out += "{\"tuple\":[";
    encode(value.first, out);
    out += ',';
    encode(value.second, out);
    out += "]}";
}
template <class... T> void encode(const std::tuple<T...> &value, std::string &out)
{
    out += "{\"tuple\":[";
    const char *comma = "";
    std::apply([&](const auto &...items) { ((out += comma, encode(items, out), comma = ","), ...); }, value);
    out += "]}";
}
template <class T> void encode(const std::optional<T> &value, std::string &out)
{
    if (value) encode(*value, out);
    else out += "null";
}
template <class T> void encode(const T &value, std::string &out)
{
    if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::vector<bool>::reference>
                  || std::is_same_v<T, std::vector<bool>::const_reference>) {
        out += value ? "true" : "false";
    } else if constexpr (std::is_same_v<T, char>) {
        quote(std::string(1, value), out);
    } else if constexpr (std::is_integral_v<T>) {
        out += std::to_string(value);
    } else if constexpr (std::is_floating_point_v<T>) {
        double number = double(value);
        if (number != number) out += "{\"float\":\"nan\"}";
        else if (std::isinf(number)) out += number > 0 ? "{\"float\":\"inf\"}" : "{\"float\":\"-inf\"}";
        else {
            char text[40];
            snprintf(text, sizeof text, "%.17g", number);
            out += text;
            if (!strpbrk(text, ".e")) out += ".0";
        }
    } else if constexpr (std::is_convertible_v<const T &, std::string>) {
        quote(value, out);
    } else if constexpr (is_range<T>::value) {
        constexpr bool map = is_mapped<T>::value, set = is_keyed<T>::value && !map;
        out += map ? "{\"dict\":[" : set ? "{\"set\":[" : "[";
        const char *comma = "";
        for (auto item = value.begin(); item != value.end(); ++item) {
            out += comma;
            comma = ",";
            if constexpr (map) {
                out += '[';
                encode(item->first, out);
                out += ',';
                encode(item->second, out);
                out += ']';
            } else if constexpr (std::is_same_v<T, std::vector<bool>>) {
                out += *item ? "true" : "false";
            } else {
                encode(*item, out);
            }
        }
        out += map || set ? "]}" : "]";
    } else {
        out += "{\"other\":\"a type of its own\"}";
    }
}

struct Call {
    int out;
    std::string input;
    Json args;

    Call()
    {
        char part[65536];
        ssize_t length;
        while ((length = read(0, part, sizeof part)) > 0) input.append(part, size_t(length));
        out = dup(1);
        dup2(2, 1);
        Reader reader{input};
        args = reader.value();
    }

    template <class F, class... A, size_t... I> void with(F call, std::index_sequence<I...>)
    {
        if (args.items.size() != sizeof...(A)) {
            fprintf(stderr, "the function takes %zu arguments, not %zu\n", sizeof...(A), args.items.size());
            _exit(1);
        }
        std::tuple<std::decay_t<A>...> values{Decode<std::decay_t<A>>::from(args.items[I])...};
        std::string frame = "\n";
        if constexpr (std::is_void_v<decltype(call(std::get<I>(values)...))>) {
            call(std::get<I>(values)...);
            frame += "null";
        } else {
            encode(call(std::get<I>(values)...), frame);
        }
        fflush(nullptr);
        frame += '\n';
        for (size_t at = 0; at < frame.size();) {
            ssize_t written = write(out, frame.data() + at, frame.size() - at);
            if (written <= 0) _exit(1);
            at += size_t(written);
        }
        _exit(0);
    }

    template <class R, class C, class... A> void run(R (C::*method)(A...))
    {
        C self{};
        auto call = [&](auto &...values) -> R { return (self.*method)(static_cast<A>(values)...); };
        with<decltype(call), A...>(call, std::index_sequence_for<A...>{});
    }
    template <class R, class C, class... A> void run(R (C::*method)(A...) const)
    {
        C self{};
        auto call = [&](auto &...values) -> R { return (self.*method)(static_cast<A>(values)...); };
        with<decltype(call), A...>(call, std::index_sequence_for<A...>{});
    }
    template <class R, class... A> void run(R (*function)(A...))
    {
        auto call = [&](auto &...values) -> R { return function(static_cast<A>(values)...); };
        with<decltype(call), A...>(call, std::index_sequence_for<A...>{});
    }
};

}  // namespace assay_call

using namespace std;
