//! Expressions as text for explanations. Long ones are cut, never recursed into.

use super::{Function, Id, Node, Pool};

/// Longest text of one expression, in bytes.
const SHOWN_BYTES_MAX: usize = 400;

impl Pool {
    pub(crate) fn show(&self, root: Id) -> String {
        let order = self.reachable(&[root]);
        let mut texts: Vec<String> = vec![String::new(); root.index() + 1];
        for id in order {
            let mut text = self.show_node(id, &texts);
            if text.len() > SHOWN_BYTES_MAX {
                text = "...".to_owned();
            }
            texts[id.index()] = text;
        }
        texts.pop().unwrap_or_default()
    }

    fn show_node(&self, id: Id, texts: &[String]) -> String {
        let at = |child: &Id| texts[child.index()].as_str();
        match self.node(id) {
            Node::Rational(value) => value.to_string(),
            Node::Pi => "pi".to_owned(),
            Node::Euler => "e".to_owned(),
            Node::Imaginary => "i".to_owned(),
            Node::Infinity => "infinity".to_owned(),
            Node::PlusMinus => "(+-1)".to_owned(),
            Node::Undefined => "undefined".to_owned(),
            Node::Variable(name) => self.name(*name).to_owned(),
            Node::Sum(left, right) => format!("({} + {})", at(left), at(right)),
            Node::Product(left, right) => format!("{}*{}", at(left), at(right)),
            Node::Quotient(left, right) => format!("({})/({})", at(left), at(right)),
            Node::Power(base, exponent) => format!("({})^({})", at(base), at(exponent)),
            Node::Apply(function, argument) => {
                format!("{}({})", function_name(*function), at(argument))
            }
            Node::Binomial(top, bottom) => format!("binomial({}, {})", at(top), at(bottom)),
            Node::Maximum(left, right) => format!("max({}, {})", at(left), at(right)),
            Node::Call(name, arguments) => {
                let inner: Vec<&str> = arguments.iter().map(at).collect();
                format!("{}({})", self.name(*name), inner.join(", "))
            }
        }
    }
}

const fn function_name(function: Function) -> &'static str {
    match function {
        Function::Sin => "sin",
        Function::Cos => "cos",
        Function::ArcSin => "arcsin",
        Function::ArcTan => "arctan",
        Function::Ln => "ln",
        Function::Abs => "abs",
        Function::Floor => "floor",
        Function::Ceiling => "ceil",
        Function::Sign => "sign",
        Function::Factorial => "factorial",
        Function::DoubleFactorial => "double_factorial",
        Function::RealPart => "re",
        Function::ImaginaryPart => "im",
        Function::Conjugate => "conj",
        Function::Argument => "arg",
    }
}
