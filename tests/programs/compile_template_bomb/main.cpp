#include <cstdio>

template <int A, int B> struct Bomb {
    static const long value = Bomb<A - 1, B>::value + Bomb<A - 1, B + (1 << (A % 24))>::value;
};
template <int B> struct Bomb<0, B> {
    static const long value = B;
};

int main() {
    std::printf("%ld\n", Bomb<800, 0>::value);
}
