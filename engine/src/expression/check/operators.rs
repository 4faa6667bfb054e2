//! Operators: arithmetic, comparison, logic.

use cel_core::{BinaryOp, SpannedExpr, UnaryOp};

use super::super::Type;
use super::super::node::{Comparison, Kind, Node};
use super::{Checker, Typed, mixing_hint, node};

impl Checker<'_> {
    pub(super) fn unary(&mut self, tree: &SpannedExpr, op: UnaryOp, of: &SpannedExpr) -> Typed {
        match op {
            UnaryOp::Not => {
                let of = self.condition(of);
                (node(tree, Kind::Not(Box::new(of))), Type::Bool)
            }
            UnaryOp::Neg => {
                let arg = self.check(of);
                self.resolve(tree, "-", false, vec![arg])
            }
        }
    }

    /// What must be true or false.
    pub(super) fn condition(&mut self, tree: &SpannedExpr) -> Node {
        let (node, ty) = self.check(tree);
        if !ty.fits(&Type::Bool) {
            let hint = match ty.solid() {
                Type::Optional(_) => "end it with .orValue(false)",
                _ => "compare it with something: ==, !=, >, size(x) > 0",
            };
            self.problem(
                tree,
                format!("true or false is needed, and this is {ty}"),
                hint,
            );
        }
        node
    }

    pub(super) fn binary(
        &mut self,
        tree: &SpannedExpr,
        op: BinaryOp,
        left: &SpannedExpr,
        right: &SpannedExpr,
    ) -> Typed {
        let arithmetic = |checker: &mut Self, name| {
            let args = vec![checker.check(left), checker.check(right)];
            checker.resolve(tree, name, false, args)
        };
        match op {
            BinaryOp::Add => arithmetic(self, "+"),
            BinaryOp::Sub => arithmetic(self, "-"),
            BinaryOp::Mul => arithmetic(self, "*"),
            BinaryOp::Div => arithmetic(self, "/"),
            BinaryOp::Mod => arithmetic(self, "%"),
            BinaryOp::Eq => self.equality(tree, left, right, false),
            BinaryOp::Ne => self.equality(tree, left, right, true),
            BinaryOp::Lt => self.ordering(tree, left, right, Comparison::Less),
            BinaryOp::Le => self.ordering(tree, left, right, Comparison::LessOrEqual),
            BinaryOp::Gt => self.ordering(tree, left, right, Comparison::Greater),
            BinaryOp::Ge => self.ordering(tree, left, right, Comparison::GreaterOrEqual),
            BinaryOp::In => self.membership(tree, left, right),
            BinaryOp::And => {
                let pair = (
                    Box::new(self.condition(left)),
                    Box::new(self.condition(right)),
                );
                (node(tree, Kind::And(pair.0, pair.1)), Type::Bool)
            }
            BinaryOp::Or => {
                let pair = (
                    Box::new(self.condition(left)),
                    Box::new(self.condition(right)),
                );
                (node(tree, Kind::Or(pair.0, pair.1)), Type::Bool)
            }
        }
    }

    pub(super) fn equality(
        &mut self,
        tree: &SpannedExpr,
        left: &SpannedExpr,
        right: &SpannedExpr,
        unequal: bool,
    ) -> Typed {
        let ((left, a), (right, b)) = (self.check(left), self.check(right));
        if !a.comparable(&b) {
            self.cannot_compare(tree, &a, &b);
        }
        (
            node(tree, Kind::Equal(Box::new([left, right]), unequal)),
            Type::Bool,
        )
    }

    pub(super) fn ordering(
        &mut self,
        tree: &SpannedExpr,
        left: &SpannedExpr,
        right: &SpannedExpr,
        comparison: Comparison,
    ) -> Typed {
        let ((left, a), (right, b)) = (self.check(left), self.check(right));
        let ordered = |ty: &Type| {
            matches!(
                ty.solid(),
                Type::Dyn
                    | Type::Bool
                    | Type::String
                    | Type::Bytes
                    | Type::Duration
                    | Type::Timestamp
            ) || ty.solid().is_number()
        };
        if !(ordered(&a) && ordered(&b) && a.comparable(&b)) {
            self.cannot_compare(tree, &a, &b);
        }
        let kind = Kind::Compare(Box::new([left, right]), comparison);
        (node(tree, kind), Type::Bool)
    }

    pub(super) fn cannot_compare(&mut self, tree: &SpannedExpr, a: &Type, b: &Type) {
        let message = format!("{a} and {b} cannot be compared");
        self.problem(
            tree,
            message,
            mixing_hint(a, b).unwrap_or("convert one of them, as in int(x) or string(x)"),
        );
    }

    pub(super) fn membership(
        &mut self,
        tree: &SpannedExpr,
        left: &SpannedExpr,
        right: &SpannedExpr,
    ) -> Typed {
        let ((left, what), (right, within)) = (self.check(left), self.check(right));
        let fits = match within.solid() {
            Type::Dyn => true,
            Type::List(element) => what.comparable(element),
            ty if ty.is_mapping() => what.comparable(&Type::String),
            _ => false,
        };
        if !fits {
            let hint = match within.solid() {
                Type::String => "for text inside text: x.contains(y)",
                _ => "in takes an element and a list, or a key and a mapping",
            };
            self.problem(tree, format!("{what} cannot be in {within}"), hint);
        }
        (node(tree, Kind::In(Box::new([left, right]))), Type::Bool)
    }

    pub(super) fn conditional(&mut self, tree: &SpannedExpr, parts: [&SpannedExpr; 3]) -> Typed {
        let condition = self.condition(parts[0]);
        let ((yes, a), (no, b)) = (self.check(parts[1]), self.check(parts[2]));
        let ty = a.join(&b).unwrap_or_default();
        (node(tree, Kind::If(Box::new([condition, yes, no]))), ty)
    }
}
