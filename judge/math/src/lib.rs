//! Equivalence of mathematical answers by exact rules.
